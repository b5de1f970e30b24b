"""onset.simulate.explain: what a sentence says holds for the curves that are drawn, and for the settings it names."""

from __future__ import annotations

import re

import numpy as np
import pytest

from onset.simulate.explain import explain, explanation
from onset.theory.derivations.softmax_law import wait
from onset.theory.laws.terms import terms
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.setting_changes import setting_from

MIXED = Setting.of("linear", states=3, context=200)
LAG_LIMITED = Setting.of("linear", context=5000)
AMPLIFIED = Setting.of("softmax", states=3, context=100)


def changed(setting: Setting, **changes) -> Setting:
    return setting_from(setting.to_dict(), {name.replace("__", "."): value for name, value in changes.items()})


@pytest.mark.parametrize("setting", [MIXED, LAG_LIMITED, AMPLIFIED], ids=lambda setting: setting.label)
def test_stages_say_what_the_curves_do(setting):
    """Values at both ends, and the share of the loss's fall; shares of all stages add up."""
    explained = explain(setting)
    run, shares = explained.trajectory, []
    curves = {
        "distance to unigram": run.distances["unigram"],
        "distance to bigram": run.distances["bigram"],
        "share of attention": run.attention[:, 0, 1],
    }
    for stage in explained.stages:
        at = [stage.start, stage.end]
        for name, curve in curves.items():
            if name in stage.description:
                before, after = map(float, re.search(r"from (\S+) to (\S+?),? ", stage.description + " ").groups())
                assert [before, after] == pytest.approx(np.interp(at, run.steps, curve), rel=0.06)
        before, after = np.interp(at, run.steps, run.loss)
        shares.append(int(re.search(r"falls by (-?\d+)% of its whole fall", stage.description)[1]))
        assert shares[-1] == pytest.approx(100 * (before - after) / (run.loss[0] - run.loss[-1]), abs=0.51)
    assert sum(shares) == pytest.approx(100, abs=0.51 * len(shares))
    plateau = next(stage for stage in explained.stages if stage.name == "plateau")
    assert any(f"slowest stage is {plateau.name}, steps {plateau.start:.0f}" in text for text in explained.sentences)


def ratio(setting: Setting) -> float:
    formation = terms(setting)["formation"]
    return formation.delay / formation.slow


def test_mixed_becomes_lag_or_match_limited_as_it_says():
    explained = explain(MIXED)
    assert explained.regime == "mixed"
    assert f"the delay is {ratio(MIXED):.2g} of the slow time" in explained.sentences[4]
    rates = MIXED.training.optimizer.learning_rate
    assert ratio(changed(MIXED, optimizer__learning_rate__match=1.5 * rates["match"])) < ratio(MIXED)
    assert ratio(changed(MIXED, context=240)) < ratio(MIXED)
    assert ratio(changed(MIXED, optimizer__learning_rate__lag_logits=1.5 * rates["lag_logits"])) > ratio(MIXED)


def test_lag_limited_depends_on_the_lag_logits_rate_alone():
    """In proportion to within the delay's share, and hardly on the match's rate and start."""
    explained = explain(LAG_LIMITED)
    assert explained.regime == "lag-limited"
    share = abs(ratio(LAG_LIMITED))

    def time(**changes) -> float:
        return terms(changed(LAG_LIMITED, **changes))["formation"].step

    rates, start = LAG_LIMITED.training.optimizer.learning_rate, LAG_LIMITED.model.initialization["match"]
    assert time(optimizer__learning_rate__lag_logits=1.2 * rates["lag_logits"]) == pytest.approx(
        time() / 1.2, rel=share
    )
    assert time(optimizer__learning_rate__match=1.2 * rates["match"]) == pytest.approx(time(), rel=share)
    assert time(initialization__match=1.2 * start) == pytest.approx(time(), rel=share)


def test_amplified_waits_for_more_e_folds_at_a_shorter_context():
    """Which takes from the push."""
    explained, shorter = explain(AMPLIFIED), explain(changed(AMPLIFIED, context=AMPLIFIED.task.context // 2))
    assert explained.regime == shorter.regime == "amplified"
    usual, short = (run.numbers["escape"] for run in (explained, shorter))
    assert short["gamma"] < usual["gamma"]
    assert short["steps"] / short["e_fold"] > usual["steps"] / usual["e_fold"]
    assert f"e-folds of {usual['e_fold']:.0f} steps" in explained.sentences[3]


def test_the_wait_goes_with_rates_as_it_says():
    """At a fixed kick: as (rate of the match × rate of the lag logits)^-1/2 where the kick is small."""
    base = wait(0.1, 0.2, 0.01, 0.5, 0.0, 3.0)
    assert wait(0.4, 0.2, 0.01, 0.5, 0.0, 3.0) == pytest.approx(base / 2)
    assert wait(0.1, 0.8, 0.01, 0.5, 0.0, 3.0) == pytest.approx(base / 2)


def test_the_drives_that_are_listed_lead_as_it_says():
    explained = explain(MIXED)
    drives = explained.numbers["plateau"]["drives"]
    listed = {int(r): float(d) for r, d in re.findall(r"lag (\d) (-?[\d.e-]+)[,.]", explained.sentences[2])}
    assert list(listed.values()) == pytest.approx(drives[1:], rel=0.01)
    assert f"Lag {max(listed, key=lambda r: listed[r])} leads" in explained.sentences[2]


def test_outside_is_said_in_words():
    """The title of the picture, and the law's reason."""
    pytest.importorskip("matplotlib")
    from onset.paper.figures.explain import compute

    explained = explain(Setting.of("linear", prior=DoublyStochastic(3), context=64))
    assert explained.regime == "outside"
    assert compute(explained).title.endswith("the plateau law has no terms")
    assert explained.sentences[0].startswith("The plateau law has no terms here: ")
    assert compute(explain(MIXED)).title.endswith("mixed")


def test_numbers_that_are_said_are_those_of_the_law():
    """A is the drive of lag 1; the kick is what the push gives, or makes up for, in the steps that are named."""
    plateau = explain(MIXED).numbers["plateau"]
    assert plateau["A"] == plateau["drives"][1]
    explained = explain(AMPLIFIED)
    escape, rate = explained.numbers["escape"], AMPLIFIED.training.optimizer.learning_rate["match"]
    steps = escape["kick"] / (rate / (AMPLIFIED.task.states - 1) * escape["push"])
    sign, said = {True: (1, "as much as the push gives in"), False: (-1, "which makes up for it in")}[steps > 0]
    assert f"{said} {sign * steps:.0f} steps." in explained.sentences[1]


@pytest.mark.parametrize(("share", "regime"), [(0.085, "lag-limited"), (0.12, "mixed")])
def test_a_tenth_of_the_slow_time_is_where_lag_1_alone_limits(share, regime):
    """The delay is in proportion to the inverse of the match's rate."""
    rate = LAG_LIMITED.training.optimizer.learning_rate["match"]
    setting = changed(LAG_LIMITED, optimizer__learning_rate__match=rate * ratio(LAG_LIMITED) / share)
    assert ratio(setting) == pytest.approx(share, rel=0.05)
    assert explain(setting).regime == regime


def test_the_start_is_over_where_nine_tenths_of_the_way_to_unigram_are_made():
    """e^{-t/50} falls below a tenth at 50 ln 10 = 115 steps."""
    steps = np.arange(0, 1000.0)
    distances = {"uniform": steps, "unigram": np.exp(-steps / 50), "bigram": np.ones(1000)}
    curve = Trajectory(steps, steps, distances, np.zeros((1000, 1, 2)), {})
    assert explanation._settling_step(curve) == np.ceil(50 * np.log(10))

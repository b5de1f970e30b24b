"""Findings over several settings: series, exponents, errors, basins, and disagreements in words, on made-up
comparisons.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.theory.laws.basins import Basin
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.store.jobs import Observation
from onset.validate.suite.basins import basins, fate
from onset.validate.suite.comparisons import CaseResult, Comparison
from onset.validate.suite.errors import error_summaries, promises
from onset.validate.suite.exponents import exponents
from onset.validate.suite.sentences import disagreements
from onset.validate.suite.series import series
from onset.validate.suite.settings import Case
from onset.validate.suite.tolerances import TRAINED

CONTEXTS = (50, 100, 200, 400)
SETTINGS = {s.label: s for s in (Setting.of("linear", states=3, context=t) for t in CONTEXTS)}


@pytest.fixture(scope="session")
def power_laws(comparison) -> Callable[[float], list[Comparison]]:
    """Trained times go as T^0.8, finite context as T^(0.8 + difference), the mean field with an error of 3 ln T/T."""

    def comparisons_of(difference: float) -> list[Comparison]:
        return [
            comparison(
                s,
                {"finite-context": 5 * t ** (0.8 + difference), "mean-field": 5 * t**0.8 * (1 + 3 * np.log(t) / t)},
                5 * t**0.8,
            )
            for t, s in zip(CONTEXTS, SETTINGS.values(), strict=True)
        ]

    return comparisons_of


def test_exponents_of_power_laws_are_found(power_laws):
    """Exactly, with no standard error; a rung's difference with the error that ± 1% at both gives, and z."""
    (finding,) = exponents(power_laws(0.02), SETTINGS)
    trained, rung = finding.slopes[TRAINED], finding.slopes["finite-context"]
    assert trained.exponent == pytest.approx(0.8)
    assert trained.error == pytest.approx(0, abs=1e-12)
    assert rung.exponent == pytest.approx(0.82)
    assert rung.difference == pytest.approx(0.02)
    off = np.log(CONTEXTS) - np.log(CONTEXTS).mean()
    assert rung.difference_error == pytest.approx(0.01 * 2**0.5 / 1.96 / (off @ off) ** 0.5)
    assert rung.z == pytest.approx(0.02 / rung.difference_error)
    assert finding.tolerance == pytest.approx(2 * 0.05 / np.log(8))
    assert finding.stated is not None
    assert finding.stated["source"] == "leading logarithmic integral"


def test_an_exponent_that_differs_by_more_than_the_tolerance_disagrees(power_laws):
    """And is told in words."""
    (finding,) = exponents(power_laws(0.1), SETTINGS)
    assert finding.slopes["finite-context"].verdict == "disagrees"
    (sentence,) = [s for s in disagreements((), (), (), (finding,)) if "finite-context" in s]
    assert "context^0.900, trained models as ^0.800" in sentence


def test_series_hold_what_differs_in_one_number_only():
    """By context at the same ratio of rates to their defaults, by the match's rate at the same context; not the
    transformer, nor other priors.
    """
    eight = [Setting.of("linear", states=8, context=t, learning_rate={"match": 1600 / t**2}) for t in (50, 100)]
    rates = [Setting.of("linear", states=3, context=100, learning_rate={"match": rate}) for rate in (0.0025, 0.04)]
    others = [Setting.of("linear", states=8, context=100), Setting.of("transformer", states=3, context=50)]
    chosen = [*SETTINGS.values(), *eight, *rates, *others]
    by_context = {one.label: one.values for one in series(chosen, "context")}
    assert by_context == {"linear sgd k=3 T=50…400": CONTEXTS, "linear sgd k=8 T=50…100 η(match)×16": (50, 100)}
    by_rate = {one.label: one.values for one in series(chosen, "learning-rate.match")}
    assert by_rate == {
        "linear sgd k=3 T=100 η(match)=0.0025…0.04": (0.0025, 0.01, 0.04),
        "linear sgd k=8 T=100 η(match)=0.01…0.16": (0.01, 0.16),
    }


def test_errors_of_pairs_are_summed_up(power_laws):
    """Median and largest of |error|, where it was, and how verdicts fell; groups that hold nothing are left out."""
    summaries = {(s.lower, s.upper): s for s in error_summaries(power_laws(0.0), SETTINGS) if not s.group}
    exact, limit = summaries["finite-context", TRAINED], summaries["mean-field", TRAINED]
    assert exact.median == pytest.approx(0)
    assert exact.verdicts == {"agrees": 4, "inconclusive": 0, "disagrees": 0}
    assert limit.largest == pytest.approx(3 * np.log(50) / 50)
    assert limit.where == "linear sgd k=3 T=50, formation"
    assert limit.verdicts["disagrees"] == 4
    assert ("law", "mean-field") not in summaries


def test_promises_hold_as_long_as_the_errors_do(power_laws):
    """The median of finite context, and the fall of the mean field's error, promised in the linear family under SGD."""
    fine = list(promises(power_laws(0.0), SETTINGS))
    assert [p.verdict for p in fine] == ["agrees", "agrees"]
    assert all(p.promised for p in fine)
    median, _ = promises(power_laws(0.1), SETTINGS)
    assert not median.holds


@pytest.mark.parametrize(("ends", "verdict"), [(0.2, "agrees"), (0.24, "inconclusive"), (0.5, "disagrees")])
def test_an_error_has_risen_only_if_its_intervals_say_so(comparison, power_laws, ends, verdict):
    """From 3 ln 50/50 = 23.5% at T = 50, known to about 2%."""
    *others, last = SETTINGS.values()
    comparisons = [*power_laws(0.0)[: len(others)], comparison(last, {"mean-field": 100 * (1 + ends)}, 100.0)]
    (falls,) = [p for p in promises(comparisons, SETTINGS) if "falls" in p.name]
    assert falls.verdict == verdict
    assert falls.holds == (verdict != "disagrees")


def _run(lag_1: float) -> Trajectory:
    """Five records along which lag 1's share goes from 0.04 to `lag_1`."""
    share = np.linspace(0.04, lag_1, 5)
    attention = np.stack([1 - share, share], axis=1)[:, None, :]
    distances = {name: np.zeros(5) for name in ("uniform", "unigram", "bigram")}
    return Trajectory(np.arange(5.0), np.zeros(5), distances, attention)


@pytest.mark.parametrize(("lag_1", "name"), [(0.5, "escaped"), (0.01, "trapped"), (0.08, "undecided")])
def test_a_run_is_trapped_if_lag_one_lost_attention(lag_1, name):
    assert fate(_run(lag_1)) == name


@pytest.mark.parametrize(
    ("sign", "ends", "verdict"),
    [
        (1, (0.5, 0.5), "agrees"),
        (1, (0.5, 0.01), "disagrees"),
        (-1, (0.01, 0.01), "agrees"),
        (1, (0.5, 0.08), "inconclusive"),
        (0, (0.5, 0.5), "inconclusive"),
    ],
)
def test_basins_agree_if_all_seeds_go_as_predicted(sign, ends, verdict):
    """One that went the other way is a disagreement, one that has not gone yet leaves it open, and so does a sign that
    is none.
    """
    setting = Setting.of("softmax", states=2, context=25)
    basin = Basin(sign, 0.1 * sign, 0.01, 1.0, 0.0, np.zeros(3), (1,), "so it goes")
    seen = Observation(setting, (0, 1), tuple(map(_run, ends)), ({}, {}))
    (finding,) = basins([CaseResult(Case(setting), {}, seen, basin)])
    assert finding.verdict == verdict
    assert sum(finding.trained.values()) == 2


def test_disagreements_are_told_once_per_rung_promised_ones_first(comparison):
    """With both sides' steps, the sign of the error and its tolerance."""
    wrong = comparison(SETTINGS["linear sgd k=3 T=100"], {"mean-field": 150.0, "finite-context": 120.0}, 100.0)
    first, second = disagreements([wrong], (), (), ())
    assert first.startswith(
        "counted on, but linear sgd k=3 T=100, formation: finite-context 120 [119, 121]; trained 100"
    )
    assert "20% too late" in first
    assert "mean-field 150 [149, 151]; finite-context 120 [119, 121], trained 100 [99, 101]: 50% too late" in second

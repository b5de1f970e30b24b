"""onset.validate.claims: each claim agrees with runs made to obey it, and disagrees with runs made to break it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.simulate.losses import strategy_losses
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims import CLAIMS, evaluate, jobs, select
from onset.validate.claims.claim import compare_published, holds_in_all, is_above
from onset.validate.claims.markov.alternation import alternation
from onset.validate.claims.markov.delay import delay, half_drop
from onset.validate.claims.markov.long_context import unigram_phase
from onset.validate.claims.markov.ngrams import heads_divide_lags, taken
from onset.validate.claims.markov.published import published
from onset.validate.claims.markov.readings import no_repeats, probe_curve, stages, untrained, value_at
from onset.validate.claims.markov.toy_delay import TOYS
from onset.validate.execution import compute
from onset.validate.inspection.formation import HEAD_KINDS
from onset.validate.judging.intervals import mean_interval
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE
from onset.validate.store.jobs import Job, Observation
from onset.validate.store.probes import LAW, PROBES, SCORES
from onset.validate.store.runs import Store

STEPS = np.arange(0, 2501, 10.0)


def made_run(
    setting: Setting,
    seed: int,
    bigram: float | None = 1590.0,
    unigram: float | None = 60.0,
    formed: float | None = 1500.0,
    further: tuple[float | None, ...] = (),
) -> Trajectory:
    """A run that passes where it is told to (`further`: beyond bigram), with published distances on its plateau; seeds
    differ by a few steps and thousandths.
    """
    noise = np.random.default_rng(seed)
    shift = float(noise.normal(0, 5))
    passed = [np.inf if t is None else t + t / 1500 * shift for t in (unigram, bigram, *further)]
    near = np.max([np.where(step > STEPS, 0, n + 1) for n, step in enumerate(passed)], axis=0)
    distances = {
        name: np.where(near == n, 0.02 + 0.001 * noise.random(), 0.1 + 0.05 * abs(n - near))
        for n, name in enumerate(setting.task.strategies)
    }
    heads = setting.task.order - 1
    lags = np.full((len(STEPS), heads, setting.task.context), 1 / setting.task.context)
    if setting.task.prior.kind != "unigram":
        lags[1:, 0, 3:10:2] *= 1.2 + 0.01 * noise.normal()
    for head in range(heads):
        lags[:, head, 1 + head] = np.where((np.inf if formed is None else formed + shift) > STEPS, 0.02, 0.5)
    last = {"uniform": 0.10, "unigram": 0.019, "bigram": 0.146, "true": 0.1735}
    shapes = {
        name: [len(dimension.labels(setting)) for dimension in probe.dimensions]
        for name, probe in PROBES.items()
        if name != "tested_on" or setting.task.tested_on
    }
    probes = {name: np.zeros((len(STEPS), *shape)) for name, shape in shapes.items()}
    if (setting.task.states, setting.task.order) == (3, 2):
        probes["last"][:] = [last[law] + 0.001 * noise.normal() for law in LAW.labels(setting)]
        probes["last"][0, -1] = 0.293 + 0.001 * noise.normal()
    else:
        probes["last"][:, :-1] = np.array(list(distances.values())).T
    uniform = np.log(setting.task.states)
    probes["unseen"][:] = uniform - 0.01
    probes["movement"][:] = (
        np.outer(STEPS, [1.0, 1.0, 2.0 + 0.1 * noise.normal(), 1.0][: len(setting.model.parts)]) + 1e-9
    )
    for layer, score in enumerate(HEAD_KINDS.values()):
        if layer < probes["head_score"].shape[2]:
            probes["head_score"][:, SCORES.index(score), layer, 0] = 0.9 * (lags[:, 0, 1] > FORMATION_LEVEL)
    if "tested_on" in probes:
        levels = (0.22, 0.235, 0.05) if setting.task.tested_on[0].kind == "doubly-stochastic" else (0.314, 0.24, 0.06)
        probes["tested_on"][:, 0] = np.array(levels)[near] + 0.001 * noise.normal()
    excess = {name: np.full((len(STEPS), 2), 0.0005) for name in setting.task.strategies}
    excess["bigram"][:, 0] = np.where(near == 2, 0.0005, 0.1) * (1 + 0.01 * noise.normal())
    return Trajectory(
        STEPS, np.where(STEPS > 0, uniform - 0.15, uniform + 1e-3 * noise.normal()), distances, lags, {}, excess, probes
    )


def observed(setting: Setting, seeds: int = 4, **how: Any) -> Observation:
    return Observation(
        setting, tuple(range(seeds)), tuple(made_run(setting, n, **how) for n in range(seeds)), ({},) * seeds
    )


DELAYED = {
    "doubly stochastic": {"formed": 900.0, "bigram": 900.0},
    "mixture": {"formed": 2040.0, "bigram": 2040.0},
}
"""By 1.7 doubly stochastic sequences for one."""

OBEY = {
    "phases": {"k=2": {"bigram": 1180.0}, "k=3": {}, "unigram chains": {"bigram": None}},
    "second-layer-first": {
        "all": {},
        "layer 1 frozen": {"bigram": None, "formed": None},
        "layer 2 frozen": {"bigram": None, "formed": None},
    },
    "alternation": {"transformer": {}, "linear toy": {}, "softmax toy": {}, "unigram chains": {"formed": None}},
    "delay": DELAYED,
    "toy-delay": {f"{toy}{arm}": how for toy in ("", *(f"{toy}, " for toy in TOYS)) for arm, how in DELAYED.items()},
    "n-grams": {
        "n=3": {"unigram": 30.0, "bigram": 1510.0, "further": (1720.0,)},
        "n=4": {"unigram": 30.0, "bigram": 1090.0, "further": (1270.0, 1360.0)},
        "n=3, one head": {"further": (None,)},
    },
    "one-layer": {"one layer": {"bigram": None}, "two layers": {}},
    "out-of-distribution": {"k=3": {}},
    "long-context": {"T=100": {"unigram": 1400.0}, "T=200": {}},
    "plateaus": {"k=2": {}, "k=3": {}},
}


def verdicts(claim: str, how: dict[str, dict[str, Any]]) -> dict[str, str]:
    runs = {name: observed(need.setting, **how[name]) for name, need in CLAIMS[claim].needs("standard").items()}
    return {finding.quantity: finding.verdict.kind for finding in CLAIMS[claim].judge(runs)}


@pytest.mark.parametrize("claim", OBEY)
def test_runs_that_obey_a_claim_agree_with_it(claim):
    """Every finding of every claim agrees; the scaling, which needs more of its runs, is in `test_scaling`."""
    assert set(verdicts(claim, OBEY[claim]).values()) == {AGREES}


@pytest.mark.parametrize(
    ("claim", "name", "how", "quantity"),
    [
        ("phases", "k=3", {"bigram": 1000.0}, "k=3: unigram → bigram"),
        ("phases", "k=3", {"bigram": None}, "k=3: order uniform → unigram → bigram"),
        ("phases", "k=2", {"unigram": 300.0, "bigram": 200.0}, "k=2: order uniform → unigram → bigram"),
        ("phases", "unigram chains", {"bigram": 900.0}, "control: on unigram chains"),
        ("second-layer-first", "all", {"formed": 1200.0}, "previous-token head in layer 1 forms at the passage"),
        ("second-layer-first", "all", {"formed": 1900.0}, "induction head in layer 2 forms at the passage"),
        ("second-layer-first", "layer 1 frozen", {"bigram": 900.0}, "layer 1 frozen: no passage to bigram"),
        ("second-layer-first", "layer 2 frozen", {"formed": 900.0}, "layer 2 frozen: no head in layer 1"),
        ("delay", "mixture", {"formed": 2040.0, "bigram": 1000.0}, "half-drop with the mixture / without"),
        (
            "delay",
            "mixture",
            {"formed": 2040.0, "bigram": 1000.0},
            "ln of the half-drops' ratio, seed by seed",
        ),
        (
            "toy-delay",
            "mixture",
            {"formed": 1000.0, "bigram": 2040.0},
            "formation with the mixture / without: linear toy, mean field",
        ),
        (
            "delay",
            "mixture",
            {"unigram": 2300.0, "bigram": 2040.0},
            "the mixture takes the unigram strategy before the bigram one",
        ),
        (
            "n-grams",
            "n=3",
            {"unigram": 30.0, "bigram": 1510.0, "further": (1300.0,)},
            "n=3: order uniform → unigram → bigram → trigram",
        ),
        ("n-grams", "n=4", {"formed": None, "further": (1270.0, 1360.0)}, "n=4: each of 3 lags has a head of its own"),
        ("n-grams", "n=3, one head", {"further": (1720.0,)}, "n=3, one head: no passage to trigram"),
        ("long-context", "T=100", {"unigram": 700.0}, "T=100: no unigram phase"),
        ("long-context", "T=200", {"unigram": None}, "T=200: a unigram phase"),
        ("one-layer", "two layers", {"bigram": None}, "control: two layers pass to bigram"),
        ("one-layer", "one layer", {"bigram": 900.0}, "no passage to bigram"),
        ("one-layer", "one layer", {"unigram": None, "bigram": None}, "passage to unigram"),
    ],
)
def test_runs_that_break_a_claim_disagree_with_it(claim, name, how, quantity):
    """The finding that is broken, and it is named."""
    assert verdicts(claim, OBEY[claim] | {name: how})[quantity] == DISAGREES


def test_signs_turn_with_the_runs():
    """Layer 1 ahead, even lags above odd ones, a loss that falls out of distribution: disagree."""
    obeying = observed(published(3))
    for claim, probe, change in (
        ("second-layer-first", "movement", lambda values: values[:, [0, 2, 1, 3]]),
        ("out-of-distribution", "tested_on", lambda values: 0.4 - values),
    ):
        turned = tuple(
            replace(run, probes=run.probes | {probe: change(run.probes[probe])}) for run in obeying.trajectories
        )
        frozen = observed(published(3), bigram=None, formed=None)
        runs = {"all": replace(obeying, trajectories=turned), "k=3": replace(obeying, trajectories=turned)}
        runs |= {f"layer {n} frozen": frozen for n in (1, 2)}
        assert CLAIMS[claim].judge(runs)[0].verdict.kind == DISAGREES
    attention = np.full(100, 0.01)
    attention[4:12:2] += 0.001
    assert alternation(attention) < 0 < alternation(0.02 - attention)
    assert alternation(np.linspace(1, 0, 100)) == pytest.approx(0, abs=1e-12)


def test_a_published_number_is_one_more_seed():
    """Inside Student's prediction interval it agrees, beyond it disagrees, and the interval covers new draws as often
    as it says.
    """
    values = [100.0, 104.0, 96.0, 102.0]
    sd = float(np.std(values, ddof=1))
    room = 3.182446 * sd * np.sqrt(1.25)  # Student's 97.5% quantile for three degrees of freedom
    for off, kind in ((0.99, AGREES), (1.01, DISAGREES)):
        assert compare_published("x", "steps", 100.5 + off * room, values).verdict.kind == kind
        assert compare_published("x", "steps", (100.5 + off * room, 1e6), values).verdict.kind == kind
    assert compare_published("x", "steps", 100.5 + 1.01 * room, values, resolution=room).verdict.kind == AGREES
    assert compare_published("x", "steps", 1.0, [None, None]).verdict.kind == DISAGREES
    assert compare_published("x", "steps", 1.0, [None, 1.0, 2.0]).verdict.kind == INCONCLUSIVE
    assert compare_published("x", "steps", 1.0, [1.0]).verdict.decides == "more seeds"
    wide = compare_published("x", "steps", 100.0, [50.0, 150.0]).verdict
    assert (wide.kind, str(wide.decides)[:15]) == (INCONCLUSIVE, "more seeds than")


def test_means_and_signs_have_intervals_over_seeds(within):
    """The interval of a mean covers it in 95% of cases; a sign needs an interval without zero; one seed has none."""
    draws = np.random.default_rng(0).normal(1.0, 2.0, size=(2000, 4))
    covered = np.mean([interval.low < 1.0 < interval.high for interval in map(mean_interval, draws)])
    within("coverage", covered, 0.95, np.sqrt(0.95 * 0.05 / 2000))
    assert is_above("x", "1", [1.0, 1.1, 0.9]).verdict.kind == AGREES
    assert is_above("x", "1", [-1.0, -1.1, -0.9]).verdict.kind == DISAGREES
    assert is_above("x", "1", [1.0, -1.1, 0.9]).verdict.kind == INCONCLUSIVE
    assert is_above("x", "1", [1.0]).verdict.kind == INCONCLUSIVE
    finding = is_above("x", "1", [1.0, 1.1, 0.9], 2.0)
    assert (finding.verdict.kind, finding.predicted.reason) == (DISAGREES, "above 2")
    assert (finding.observed.value, finding.verdict.p) == (pytest.approx(1), pytest.approx(0.0033, rel=0.01))
    assert [holds_in_all("x", held, "hold").verdict.kind for held in ([True, True], [True, False])] == [
        AGREES,
        DISAGREES,
    ]


def test_curves_are_read_between_records_and_held_past_the_last():
    """Linear between records; the last value after the end; a probe's curve is picked by its labels."""
    run = made_run(published(3), 0)
    assert value_at(run, STEPS**1.0, 1234.5) == pytest.approx(1234.5)
    assert value_at(run, STEPS**1.0, 1e9) == STEPS[-1]
    assert np.array_equal(probe_curve(published(3), run, "movement", "layer_2"), run.probes["movement"][:, 2])


def test_the_delay_is_a_ratio_of_means_of_pairs():
    """Counted in doubly stochastic sequences; arms whose seeds go together have a ratio without spread, others one that
    holds it.
    """
    pure = [900.0, 1000.0, 1300.0]
    together = delay(pure, [2 * step for step in pure])
    assert (together.value, together.low, together.high) == pytest.approx((1.5, 1.5, 1.5))
    apart = delay(pure, [2600.0, 2000.0, 1800.0])
    assert apart.value == pytest.approx(1.5)
    assert apart.low < 1.4
    assert apart.high > 1.6
    assert delay([1000.0], [2000.0]).error is None


def test_half_of_the_drop_lies_half_way_between_uniform_and_bigram():
    """On a straight line between their KL at four states and T = 100, .314 and .049 (literature), half-drop comes
    half-way; unigram, .227, is not there yet.
    """
    run = made_run(published(4, prior=DoublyStochastic(4), tested_on=[Dirichlet(4)]), 0)
    line = np.interp(STEPS, (0, 2000), (0.314, 0.049))
    drop = half_drop(replace(run, probes={"tested_on": line[:, None]}))
    # Both numbers have three digits, the level four standard errors; the line's slope makes steps of them.
    error = strategy_losses(Setting.of(states=4, context=100))["bigram"].last_error
    assert drop.step == pytest.approx(1000, abs=(5e-4 + 2 * error) / (0.265 / 2000))
    plateau = np.where(STEPS < 100, 0.314, 0.227)
    assert half_drop(replace(run, probes={"tested_on": plateau[:, None]})).step is None


def test_a_phase_is_a_share_of_the_way_to_bigram():
    """Nearest to unigram from step 500 to 2000 of a way of 2000: three quarters; interrupted in the middle, the longer
    part.
    """
    setting = published(8)
    run = made_run(setting, 0)
    near = np.where(STEPS < 500, 0, np.where(STEPS < 2000, 1, 2))
    last = 1.0 - (near[:, None] == np.arange(4))
    assert unigram_phase(setting, replace(run, probes={"last": last})) == pytest.approx(0.75)
    last[STEPS == 1000, :2] = [0.0, 1.0]
    assert unigram_phase(setting, replace(run, probes={"last": last})) == pytest.approx(0.495)
    last[:, 1] = 2.0
    assert unigram_phase(setting, replace(run, probes={"last": last})) == 0.0


def test_stages_are_those_of_the_nearest_strategy():
    """In order, each at its step, whatever curves do that lie above; a strategy that is skipped is not taken, and its
    stage is the next one's.
    """
    setting = published(3, order=3)
    run = made_run(setting, 0)
    far = np.full((len(STEPS), 5), 1.0)
    near = np.where(STEPS < 100, 0, np.where(STEPS < 500, 1, np.where(STEPS < 900, 2, 3)))
    far[np.arange(len(STEPS)), near] = 0.0
    reached = stages(setting, replace(run, probes={"last": far}))
    assert [stage.step for stage in reached] == [95.0, 495.0, 895.0]
    assert taken(near) == [0, 1, 2, 3]
    crossed = far + np.outer(STEPS, [0.0, 1.0, 0.0, 0.0, 0.0]) * (near[:, None] > 1)
    assert [stage.step for stage in stages(setting, replace(run, probes={"last": crossed}))] == [95.0, 495.0, 895.0]
    skipping = np.where(near == 2, 1, near)
    far = 1.0 - (skipping[:, None] == np.arange(5))
    assert [stage.step for stage in stages(setting, replace(run, probes={"last": far}))] == [95.0, 895.0, 895.0]
    assert taken(skipping) == [0, 1, 3]
    skipping[50] = 2
    assert taken(skipping) == [0, 1, 3]


def test_each_lag_wants_a_head_of_its_own():
    """Whichever head it is; two lags on one head, or a lag that none attends to, do not count."""
    attention = np.full((2, 10), 0.01)
    attention[1, 1] = attention[0, 2] = 0.5
    assert heads_divide_lags(attention, 2)
    attention[1, 2] = 0.6
    assert not heads_divide_lags(attention, 2)
    attention[1, 2] = attention[0, 2] = 0.05
    assert not heads_divide_lags(attention, 2)


def test_controls_catch_a_model_that_cannot_know_what_it_knows():
    """A gain where nothing was there to count, and a start that is not uniform."""
    obeying = observed(published(3))
    assert no_repeats("x", obeying).verdict.kind == untrained("x", obeying.trajectories).verdict.kind == AGREES
    knowing = [replace(run, probes={"unseen": np.full(len(STEPS), np.log(3) - 0.1)}) for run in obeying.trajectories]
    assert no_repeats("x", replace(obeying, trajectories=tuple(knowing))).verdict.kind == DISAGREES
    assert (
        untrained(
            "x",
            [
                replace(run, distances=dict(reversed(run.distances.items())) | {"uniform": run.distances["bigram"]})
                for run in obeying.trajectories
            ],
        ).verdict.kind
        == DISAGREES
    )


def test_claims_share_what_they_train_and_say_what_is_missing(tmp_path):
    """The published configuration of k = 3 is trained once for all claims; without runs a claim is inconclusive and
    names them.
    """
    todo = jobs(select(), "standard")
    assert len(todo) == len(set(todo))
    assert sum(job.setting == published(3) for job in todo) == 5
    assert jobs(select(["one-layer"]), "quick") == []
    store = Store(tmp_path)
    result = evaluate(CLAIMS["phases"], "standard", store)
    assert result is not None
    assert (result.verdict, len(result.missing)) == (INCONCLUSIVE, 12)
    assert "not trained yet" in str(result.decides)
    assert evaluate(CLAIMS["one-layer"], "quick", store) is None
    with pytest.raises(ValueError, match="did you mean 'phases'"):
        select(["phase"])
    with pytest.raises(ValueError, match="seeds = 0"):
        jobs(select(), "standard", seeds=0)


def test_a_claim_is_told_from_trained_runs(tmp_path, monkeypatch):
    """Trained for a few steps, the transformer has not passed: the claim says so, as plain data."""
    short = published(2, steps=20)
    monkeypatch.setattr("onset.validate.claims.markov.phases.published", lambda states, **more: short)
    store = Store(tmp_path)
    compute([Job(short, "train", seed) for seed in (0, 1)], store, workers=1)
    result = evaluate(CLAIMS["phases"], "quick", store)
    assert result is not None
    data = result.to_dict()
    assert data["verdict"] == DISAGREES
    assert data["settings"]["k=2"]["setting"]["id"] == short.id
    assert {finding["verdict"]["kind"] for finding in data["findings"] if finding["control"]} == {AGREES}

"""validate.claims: each claim agrees with runs made to obey it, and disagrees with runs made to break it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from theory.dynamics import Trajectory
from theory.setting import Setting
from validate.claims import CLAIMS, chosen, tasks, tell
from validate.claims.alternation import alternation
from validate.claims.claim import mean, one_more, positive, share
from validate.claims.trained import at, published, seen
from validate.execution import compute
from validate.observed import Observation, Task
from validate.probes import PROBES, labels
from validate.runs import Store
from validate.verdicts import AGREES, DISAGREES, INCONCLUSIVE

STEPS = np.arange(0, 2501, 10.0)


def made(
    setting: Setting,
    seed: int,
    bigram: float | None = 1590.0,
    unigram: float | None = 60.0,
    formed: float | None = 1500.0,
) -> Trajectory:
    """A run that passes where it is told to, with published distances on its plateau; seeds differ by a few steps and thousandths."""
    noise = np.random.default_rng(seed)
    shift = float(noise.normal(0, 5))
    first, second = (np.inf if t is None else t + shift for t in (unigram, bigram))
    near = np.where(first > STEPS, 0, np.where(second > STEPS, 1, 2))
    distances = {
        name: np.where(near == n, 0.01, 0.1 + 0.05 * abs(n - near)) for n, name in enumerate(setting.strategies)
    }
    lags = np.full((len(STEPS), 1, setting.context), 1 / setting.context)
    lags[:, 0, 3:10:2] *= 1.2 + 0.01 * noise.normal()
    lags[:, 0, 1] = np.where((np.inf if formed is None else formed + shift) > STEPS, 0.02, 0.5)
    last = {"uniform": 0.10, "unigram": 0.019, "bigram": 0.146, "true": 0.1735}
    shapes = {
        name: [len(labels(setting, d)) for d in probe.dims]
        for name, probe in PROBES.items()
        if name != "tested_on" or setting.tested_on
    }
    probes = {name: np.zeros((len(STEPS), *shape)) for name, shape in shapes.items()}
    probes["last"][:] = [last[law] + 0.001 * noise.normal() for law in labels(setting, "law")]
    probes["last"][0, -1] = 0.293 + 0.001 * noise.normal()
    probes["movement"][:] = np.outer(STEPS, [1.0, 1.0, 2.0 + 0.1 * noise.normal(), 1.0][: len(setting.parts)]) + 1e-9
    if "tested_on" in probes:
        probes["tested_on"][:, 0] = np.where(near == 0, 0.22, np.where(near == 1, 0.235, 0.05)) + 0.001 * noise.normal()
    excess = {name: np.full((len(STEPS), 2), 0.0005) for name in setting.strategies}
    excess["bigram"][:, 0] = np.where(near == 2, 0.0005, 0.1) * (1 + 0.01 * noise.normal())
    return Trajectory(STEPS, np.full(len(STEPS), 0.8), distances, lags, {}, excess, probes)


def observed(setting: Setting, seeds: int = 4, **how: float | None) -> Observation:
    return Observation(
        setting, tuple(range(seeds)), tuple(made(setting, n, **how) for n in range(seeds)), ({},) * seeds
    )


OBEY = {
    "phases": {"k=2": {"bigram": 1180.0}, "k=3": {}, "unigram chains": {"bigram": None}},
    "second-layer-first": {
        "all": {},
        "layer 1 frozen": {"bigram": None, "formed": None},
        "layer 2 frozen": {"bigram": None, "formed": None},
    },
    "alternation": {"transformer": {}, "linear toy": {}, "softmax toy": {}},
    "one-layer": {"one layer": {"bigram": None}},
    "out-of-distribution": {"k=3": {}},
    "plateaus": {"k=2": {}, "k=3": {}},
}


def verdicts(claim: str, how: dict[str, dict[str, float | None]]) -> dict[str, str]:
    runs = {name: observed(need.setting, **how[name]) for name, need in CLAIMS[claim].needs("standard").items()}
    return {one.quantity: one.verdict.kind for one in CLAIMS[claim].judge(runs)}


@pytest.mark.parametrize("claim", CLAIMS)
def test_runs_that_obey_a_claim_agree_with_it(claim):
    """Every finding of every claim agrees."""
    assert set(verdicts(claim, OBEY[claim]).values()) == {AGREES}


@pytest.mark.parametrize(
    ("claim", "name", "how", "quantity"),
    [
        ("phases", "k=3", {"bigram": 1000.0}, "k=3: unigram → bigram"),
        ("phases", "k=3", {"bigram": None}, "k=3: order uniform → unigram → bigram"),
        ("phases", "k=2", {"unigram": 300.0, "bigram": 200.0}, "k=2: order uniform → unigram → bigram"),
        ("phases", "unigram chains", {"bigram": 900.0}, "control: on unigram chains"),
        ("second-layer-first", "layer 1 frozen", {"bigram": 900.0}, "layer 1 frozen: no passage to bigram"),
        ("second-layer-first", "layer 2 frozen", {"formed": 900.0}, "layer 2 frozen: no head in layer 1"),
        ("one-layer", "one layer", {"bigram": 900.0}, "no passage to bigram"),
        ("one-layer", "one layer", {"unigram": None, "bigram": None}, "passage to unigram"),
    ],
)
def test_runs_that_break_a_claim_disagree_with_it(claim, name, how, quantity):
    """The finding that is broken, and it is named."""
    assert verdicts(claim, OBEY[claim] | {name: how})[quantity] == DISAGREES


def test_signs_turn_with_the_runs():
    """Layer 1 ahead, even lags above odd ones, a loss that falls out of distribution: disagree."""
    whole = observed(published(3))
    for claim, probe, change in (
        ("second-layer-first", "movement", lambda found: found[:, [0, 2, 1, 3]]),
        ("out-of-distribution", "tested_on", lambda found: 0.4 - found),
    ):
        turned = tuple(
            replace(one, probes=one.probes | {probe: change(one.probes[probe])}) for one in whole.trajectories
        )
        frozen = observed(published(3), bigram=None, formed=None)
        runs = {"all": replace(whole, trajectories=turned), "k=3": replace(whole, trajectories=turned)}
        runs |= {f"layer {n} frozen": frozen for n in (1, 2)}
        assert CLAIMS[claim].judge(runs)[0].verdict.kind == DISAGREES
    attention = np.full(100, 0.01)
    attention[4:12:2] += 0.001
    assert alternation(attention) < 0 < alternation(0.02 - attention)
    assert alternation(np.linspace(1, 0, 100)) == pytest.approx(0, abs=1e-12)


def test_a_published_number_is_one_more_seed():
    """Inside Student's prediction interval it agrees, beyond it disagrees, and the interval covers new draws as often as it says."""
    values = [100.0, 104.0, 96.0, 102.0]
    sd = float(np.std(values, ddof=1))
    room = 3.182446 * sd * np.sqrt(1.25)  # Student's 97.5% quantile for three degrees of freedom
    for off, kind in ((0.99, AGREES), (1.01, DISAGREES)):
        assert one_more("x", "steps", 100.5 + off * room, values).verdict.kind == kind
        assert one_more("x", "steps", (100.5 + off * room, 1e6), values).verdict.kind == kind
    assert one_more("x", "steps", 100.5 + 1.01 * room, values, steps=room).verdict.kind == AGREES
    assert one_more("x", "steps", 1.0, [None, None]).verdict.kind == DISAGREES
    assert one_more("x", "steps", 1.0, [None, 1.0, 2.0]).verdict.kind == INCONCLUSIVE
    assert one_more("x", "steps", 1.0, [1.0]).verdict.decides == "more seeds"
    wide = one_more("x", "steps", 100.0, [50.0, 150.0]).verdict
    assert (wide.kind, str(wide.decides)[:15]) == (INCONCLUSIVE, "more seeds than")


def test_means_and_signs_have_intervals_over_seeds(within):
    """The interval of a mean covers it in 95% of cases; a sign needs an interval without zero, and one seed has none."""
    draws = np.random.default_rng(0).normal(1.0, 2.0, size=(2000, 4))
    covered = np.mean([interval.low < 1.0 < interval.high for interval in map(mean, draws)])
    within("coverage", covered, 0.95, np.sqrt(0.95 * 0.05 / 2000))
    assert positive("x", "1", [1.0, 1.1, 0.9]).verdict.kind == AGREES
    assert positive("x", "1", [-1.0, -1.1, -0.9]).verdict.kind == DISAGREES
    assert positive("x", "1", [1.0, -1.1, 0.9]).verdict.kind == INCONCLUSIVE
    assert positive("x", "1", [1.0]).verdict.kind == INCONCLUSIVE
    assert [share("x", held, "hold").verdict.kind for held in ([True, True], [True, False])] == [AGREES, DISAGREES]


def test_curves_are_read_between_records_and_held_past_the_last():
    """Linear between records; the last value after the end; a probe's curve is picked by its labels."""
    run = made(published(3), 0)
    assert at(run, STEPS**1.0, 1234.5) == pytest.approx(1234.5)
    assert at(run, STEPS**1.0, 1e9) == STEPS[-1]
    assert np.array_equal(seen(published(3), run, "movement", "layer_2"), run.probes["movement"][:, 2])


def test_claims_share_what_they_train_and_say_what_is_missing(tmp_path):
    """The published configuration of k = 3 is trained once for all claims; without runs a claim is inconclusive and names them."""
    todo = tasks(chosen(), "standard")
    assert len(todo) == len(set(todo))
    assert sum(task.setting == published(3) for task in todo) == 5
    assert tasks(chosen(["one-layer"]), "quick") == []
    store = Store(tmp_path)
    told = tell(CLAIMS["phases"], "standard", store)
    assert told is not None
    assert (told.verdict, len(told.missing)) == (INCONCLUSIVE, 12)
    assert "not trained yet" in str(told.decides)
    assert tell(CLAIMS["one-layer"], "quick", store) is None
    with pytest.raises(ValueError, match="did you mean 'phases'"):
        chosen(["phase"])


def test_a_claim_is_told_from_trained_runs(tmp_path, monkeypatch):
    """Trained for a few steps, the transformer has not passed: the claim says so, as plain data."""
    short = published(2, steps=20)
    monkeypatch.setattr("validate.claims.phases.published", lambda states, **more: short)
    store = Store(tmp_path)
    compute([Task(short, "train", seed) for seed in (0, 1)], store, workers=1)
    told = tell(CLAIMS["phases"], "quick", store)
    assert told is not None
    data = told.to_dict()
    assert data["verdict"] == DISAGREES
    assert data["settings"]["k=2"]["setting"]["id"] == short.id
    assert {one["verdict"]["kind"] for one in data["findings"] if one["control"]} == {AGREES}

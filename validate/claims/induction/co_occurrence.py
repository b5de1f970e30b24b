"""Induction heads form in the same short stage of training in which in-context learning appears and the loss falls.

On repeated random segments three steps are read from each run: when the first induction head forms, when the
in-context-learning score (the loss at the last position less that at a tenth of it) has made half of its way, and when
the loss has. Published models make the change within a factor of two of training time (2.5 to 5 billion tokens). Of a
toy all three steps are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.theory.estimates import NUMERICAL, StandardError, ends
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.validate.claims.claim import (
    Claim,
    Finding,
    Need,
    Runs,
    compare_numbers,
    first_paragraph,
    holds_in_all,
    is_above,
)
from onset.validate.claims.induction.readings import best_scores, formed, of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.claims.markov.published import published
from onset.validate.inspection.formation import halfway
from onset.validate.judging.intervals import Interval, mean_interval
from onset.validate.judging.verdicts import Tolerance
from onset.validate.store.jobs import Observation

__all__ = ["CLAIM"]

WINDOW = 2.0
"""Published ratio of the end of the stage to its start."""

TOY, PREDICTED, SCORES = "softmax toy", "softmax toy, finite context", "softmax toy, scores by finite context"

WITHIN = Tolerance(0.05, "fixed beforehand: as for finite context against trained toys in all suites")

LEAST_GAIN = 4.0
"""How many times more two layers learn in context than one, whose heads see no earlier token's predecessor."""


def needs(size: str) -> Mapping[str, Need]:
    runs = {"two layers": Need(segments(), SEEDS[size])}
    if size == "quick":
        return runs
    chains = published(3, steps=2000, record_every=20)
    toys = {
        TOY: Need(_toy(), SEEDS[size]),
        PREDICTED: Need(_toy(), kind="finite-context"),
        SCORES: Need(_toy(), kind="in-context"),
    }
    return runs | {"one layer": Need(segments(1), SEEDS[size]), "chains": Need(chains, 3)} | toys


def _toy() -> Setting:
    return Setting.of("softmax", states=3, context=50, optimizer="adam", record_every=2)


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name in ("two layers", "chains"):
        if name not in runs:
            continue
        inside, order = [], []
        for trained in of_seeds(runs[name]):
            run, step = trained.curve, formed(trained.setting, trained.curve)
            others = [halfway(run.steps, trained.in_context_scores), halfway(run.steps, run.loss)]
            inside.append(step is not None and max(step, *others) <= WINDOW * min(step, *others))
            order.append(np.nan if step is None else np.log(others[0] / step))
        findings.append(holds_in_all(f"{name}: formation, score and loss within a factor of two", inside, "seeds do"))
        if np.isfinite(order).all() and len(order) > 1:
            findings.append(is_above(f"{name}: ln step of the score's half after that of formation", "1", order))
    if "one layer" in runs:
        findings += _control(runs)
    if PREDICTED in runs:
        findings += _predicted(runs[TOY], runs[PREDICTED], runs[SCORES][0])
    return findings


def _predicted(trained: Observation, prediction: Prediction, scores: Mapping[str, Any]) -> list[Finding]:
    """Of a toy all three steps are predicted: by its finite context, and from its match, read-out and lag logits."""
    curves, by_chains = prediction.trajectories, np.array(scores["halfway"])
    steps = {
        "formation": (Interval.of(prediction.transitions()[1]), Interval.of(trained.transitions()[1])),
        "half of the score": (
            _interval(by_chains.mean(axis=1), StandardError.of_mean(by_chains.mean(axis=0))),
            mean_interval([halfway(run.curve.steps, run.in_context_scores) for run in of_seeds(trained)]),
        ),
        "half of the loss": (
            _interval([halfway(curve.steps, curve.loss) for curve in curves]),
            mean_interval([halfway(run.steps, run.loss) for run in trained.trajectories]),
        ),
    }
    return [
        compare_numbers(f"{TOY}: {name}", "steps", *pair, WITHIN, seeds=len(trained.seeds))
        for name, pair in steps.items()
    ]


def _interval(steps: Sequence[float] | Array, *errors: StandardError) -> Interval:
    """Mean of the step that curves predict, with the error of their computation, beside others."""
    step, error = float(np.mean(steps)), StandardError.of_mean(steps).beside(*errors)
    return Interval(step, *ends(step, error, {}), kind=NUMERICAL, error=error)


def _control(runs: Runs) -> list[Finding]:
    """One layer has no induction head, and learns little from context."""
    never = [formed(trained.setting, trained.curve) is None for trained in of_seeds(runs["one layer"])]
    gains = {name: [-run.in_context_scores[-1] for run in of_seeds(runs[name])] for name in ("one layer", "two layers")}
    more = np.mean(gains["two layers"]) - LEAST_GAIN * np.array(gains["one layer"])
    start = [float(best_scores(run)[0]) < 0.05 for run in runs["two layers"].trajectories]
    return [
        holds_in_all("one layer, control: no induction head", never, "seeds have none", control=True),
        is_above(
            f"in-context learning of two layers above {LEAST_GAIN:g} times that of one", "nats", more, control=True
        ),
        holds_in_all("two layers, control: no head before training", start, "seeds have none", control=True),
    ]


CLAIM = Claim(
    id="co-occurrence",
    title="Induction heads form as in-context learning appears",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 1",
    needs=needs,
    judge=judge,
    untested="Large models, and natural text.",
    sizes=tuple(SEEDS),
)

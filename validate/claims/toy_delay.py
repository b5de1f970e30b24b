"""Our own: by how much theory says that unigram chains delay a toy's head, beside the transformer's delay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from onset.theory.setting import Setting
from onset.theory.transitions import Transition
from onset.validate.claims import delay
from onset.validate.claims.claim import Claim, Finding, Need, Runs
from onset.validate.claims.delay import ARMS, CONTEXT, PART
from onset.validate.claims.trained import published
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Tolerance
from onset.validate.judging.verdicts import judge as judge_number

__all__ = ["CLAIM", "TOYS"]

TOYS = {
    "linear toy, mean field": ("linear", "mean-field"),
    "linear toy, finite context": ("linear", "finite-context"),
    "softmax toy under Adam, finite context": ("softmax", "finite-context"),
}
"""Family and method of each prediction; the linear toy under SGD, the softmax toy, whose mean field has no gradient without a unigram signal, under Adam at the transformer's rate."""


def needs(size: str) -> Mapping[str, Need]:
    trained = delay.needs(size)
    if not trained:
        return {}
    told = {f"{name}, {arm}": Need(_toy(family, arm), kind=by) for name, (family, by) in TOYS.items() for arm in ARMS}
    return {**trained, **told}


def _toy(family: str, arm: str) -> Setting:
    optimizer = published(delay.STATES).training.optimizer
    adam = {
        "optimizer": "adam",
        "learning_rate": optimizer.learning_rate["weights"],
        "betas": optimizer.betas,
        "steps": 8000,
        "record_every": 20,
    }
    return Setting.of(family, prior=ARMS[arm], context=CONTEXT, **(adam if family == "softmax" else {}))


def judge(runs: Runs) -> list[Finding]:
    formed = [[one.transitions()[1].step for one in runs[arm].trajectories] for arm in ARMS]
    # A method that does not answer is left out.
    return [_beside(name, runs, *formed) for name in TOYS if all(f"{name}, {arm}" in runs for arm in ARMS)]


def _beside(name: str, runs: Runs, pure: Sequence[float | None], mixed: Sequence[float | None]) -> Finding:
    told = _ratio(*(runs[f"{name}, {arm}"].transitions()[1] for arm in ARMS))
    steps = [[step for step in each if step is not None] for each in (pure, mixed)]
    whole = all(len(some) == len(each) for some, each in zip(steps, (pure, mixed), strict=True))
    seen = delay.delay(*steps) if whole else Interval(None, reason="a seed forms no head")
    order = math.log(CONTEXT) / CONTEXT
    tolerance = Tolerance(2 * order, f"twice the order of what the limit T → ∞ neglects, ln T/T = {order:.2g}")
    verdict = judge_number(told, seen, tolerance, seeds=len(pure))
    return Finding(f"formation with the mixture / without: {name}", "1", told, seen, verdict)


def _ratio(pure: Transition, mixed: Transition) -> Interval:
    """Of predicted steps, counted in doubly stochastic sequences; halves of both intervals added in squares."""
    if pure.step is None or mixed.step is None:
        return Interval(None, reason=pure.reason or mixed.reason)
    value = PART * mixed.step / pure.step
    half = value * math.hypot(*((t.high - t.low) / 2 / t.step for t in (pure, mixed)))  # type: ignore[operator]
    return Interval(value, value - half, value + half)


CLAIM = Claim(
    id="toy-delay",
    title="Unigram chains delay the toys' head as much",
    statement="Counted in doubly stochastic sequences, a quarter of unigram chains delays the transformer's previous-token head by the factor that theory predicts of the toy families.",
    source="derived here: derivation mixture-delay",
    needs=needs,
    judge=judge,
    untested="Longer contexts and larger shares of unigram chains, where theory says that the toys' delay appears.",
)

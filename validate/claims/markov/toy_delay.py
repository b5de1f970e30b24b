"""Counted in doubly stochastic sequences, a quarter of unigram chains delays the transformer's previous-token head by
the factor that theory predicts of the toy families.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from onset.theory.estimates import NUMERICAL, StandardError
from onset.theory.setting import Setting
from onset.theory.transitions import Transition
from onset.validate.claims.claim import Claim, Finding, Need, Runs, compare_numbers, first_paragraph
from onset.validate.claims.markov import delay
from onset.validate.claims.markov.delay import ARMS, CONTEXT, SHARES
from onset.validate.claims.markov.published import published
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Tolerance

__all__ = ["CLAIM", "TOYS"]

TOYS = {
    "linear toy, mean field": ("linear", "mean-field"),
    "linear toy, finite context": ("linear", "finite-context"),
    "softmax toy under Adam, finite context": ("softmax", "finite-context"),
}
"""Family and method of each prediction.

The linear toy trains under SGD; the softmax toy, whose mean field has no gradient without a unigram signal, under Adam
at the transformer's rate.
"""


def needs(size: str) -> Mapping[str, Need]:
    toys = {
        f"{name}, {arm}": Need(_toy(family, arm), kind=method)
        for name, (family, method) in TOYS.items()
        for arm in ARMS
    }
    return {**delay.needs(size), **toys}


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
    formations = [[run.transitions()[1].step for run in runs[arm].trajectories] for arm in ARMS]
    # A method that does not answer is left out.
    return [_compare(name, runs, *formations) for name in TOYS if all(f"{name}, {arm}" in runs for arm in ARMS)]


def _compare(name: str, runs: Runs, pure: Sequence[float | None], mixed: Sequence[float | None]) -> Finding:
    predicted = _ratio(*(runs[f"{name}, {arm}"].transitions()[1] for arm in ARMS))
    observed = Interval(None, reason="a seed forms no head")
    if None not in (*pure, *mixed):
        observed = delay.delay(pure, mixed)  # type: ignore[arg-type]
    order = math.log(CONTEXT) / CONTEXT
    tolerance = Tolerance(2 * order, f"twice the order of what the limit T → ∞ neglects, ln T/T = {order:.2g}")
    quantity = f"formation with the mixture / without: {name}"
    return compare_numbers(quantity, "1", predicted, observed, tolerance, seeds=len(pure))


def _ratio(pure: Transition, mixed: Transition) -> Interval:
    """Ratio of predicted steps, counted in doubly stochastic sequences, with the standard errors of both."""
    if pure.step is None or mixed.step is None:
        return Interval(None, reason=pure.reason or mixed.reason)
    value = SHARES["mixture"] * mixed.step / pure.step
    errors = [(t.error or StandardError(0.0)).times(value / t.step) for t in (pure, mixed) if t.step is not None]
    return Interval.around(value, errors[0].beside(*errors[1:]), NUMERICAL)


CLAIM = Claim(
    id="toy-delay",
    title="Unigram chains delay the toys' head as much",
    statement=first_paragraph(__doc__),
    source="derived here: derivation mixture-delay",
    needs=needs,
    judge=judge,
    untested="Longer contexts and larger shares of unigram chains, where theory says that the toys' delay appears.",
)

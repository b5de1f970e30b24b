r"""Rules of verdicts, by version. A rule is fixed before the results that it judges; earlier ones stay, and are shown.

Let e be the relative error of a prediction, s its standard error by both sides (without what the theory neglects), with
ν degrees of freedom, and τ the tolerance.

=====  ======================================  =======================================================================
rule   numbers                                 where one side never gets there
=====  ======================================  =======================================================================
1      agrees if \|e\| ≤ τ and h ≤ 2τ,         two "never" agree; a number and "never" disagree, also where some
       disagrees if \|e\| - h > τ, h = half    curves get there and some do not
       of the 95% interval
2      as 1                                    shares of curves disagree if Fisher's exact test gives p < 5%; a side
                                               without a share counts as many curves as the other
3      agrees if \|e\| + t s ≤ τ, disagrees    a theory states "always" or "never", which one trained model refutes; a
       if \|e\| - t s > τ, t the 95% quantile  prediction whose replicates go both ways states nothing
       of Student's law with ν
=====  ======================================  =======================================================================

Rule 2 was made after results had been seen under rule 1. It cannot disagree at four seeds: with one of four going the
other way, p ≥ 0.14. Rule 3 was fixed before the results stored with it were computed. A wrong verdict has at most 5%
chance on either side, and a rule must be able to disagree at the suites' own number of seeds
(``tests/validate/judging/test_rules.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import stdtr
from scipy.stats import fisher_exact, norm

from onset.theory.estimates import SEEDS, StandardError, student
from onset.validate.judging.intervals import Interval

__all__ = [
    "AGREES",
    "CURRENT",
    "DISAGREES",
    "INCONCLUSIVE",
    "RULES",
    "Rule",
    "decide",
    "probability",
    "relative_spread",
]

AGREES, DISAGREES, INCONCLUSIVE = "agrees", "disagrees", "inconclusive"

ONE_SIDED = 0.9
"""Confidence of the two-sided interval whose ends are one-sided at 95%."""

WIDEST = 2
"""Rules 1 and 2: half-width of the widest interval with which a number still agrees, in tolerances."""

SIGNIFICANCE = 0.05
"""Rule 2: probability by chance below which shares of curves disagree."""

CURRENT = 3


@dataclass(frozen=True)
class Rule:
    """A version of the rule.

    Attributes
    ----------
    numbers : callable
        From e, its `StandardError` and τ to a verdict.
    never : callable
        From predicted and observed interval, at least one without a value, to a verdict. Runs that ended too early to
        tell have been left out before.
    """

    numbers: Callable[[float, StandardError, float], str]
    never: Callable[[Interval, Interval], str]


def relative_spread(predicted: Interval, reference: Interval) -> StandardError | None:
    """Standard error of the relative error; None unless that of both sides is known."""
    if predicted.error is None or reference.error is None or not reference.value or predicted.value is None:
        return None
    return predicted.error.times(1 / reference.value).beside(
        reference.error.times(predicted.value / reference.value**2)
    )


def decide(error: float, spread: StandardError, allowed: float) -> str:
    """Rule 3 for an error with this standard error, both in the unit of the tolerance `allowed`."""
    half = spread.value and student(spread.freedom, ONE_SIDED) * spread.value
    if abs(error) + half <= allowed:
        return AGREES
    return DISAGREES if abs(error) - half > allowed else INCONCLUSIVE


def probability(error: float, spread: StandardError, allowed: float) -> float:
    """Probability of an error this large if the true one is within the tolerance."""
    if spread.value == 0:
        return float(abs(error) <= allowed)
    excess = (abs(error) - allowed) / spread.value
    return float(norm.sf(excess) if math.isinf(spread.freedom) else stdtr(spread.freedom, -excess))


def _by_width(error: float, spread: StandardError, allowed: float) -> str:
    if abs(error) <= allowed and spread.half <= WIDEST * allowed:
        return AGREES
    return DISAGREES if abs(error) - spread.half > allowed else INCONCLUSIVE


def _never_1(predicted: Interval, reference: Interval) -> str:
    if predicted.value is None and reference.value is None:
        if predicted.share is None and reference.share is None:
            return AGREES
        return INCONCLUSIVE if predicted.share is not None and reference.share is not None else DISAGREES
    return DISAGREES


def _never_2(predicted: Interval, reference: Interval) -> str:
    if predicted.share is None and reference.share is None:
        return AGREES if predicted.value is reference.value else DISAGREES
    curves, table = max(predicted.curves or 1, reference.curves or 1), []
    for side in (predicted, reference):
        count = curves if side.share is None else side.curves or 1
        share = float(side.value is not None) if side.share is None else side.share
        table.append([round(share * count), round((1 - share) * count)])
    return DISAGREES if fisher_exact(table).pvalue < SIGNIFICANCE else INCONCLUSIVE  # type: ignore[attr-defined]


def _never_3(predicted: Interval, reference: Interval) -> str:
    undecided = reference.share is not None and reference.kind != SEEDS
    if predicted.share is not None or undecided:
        return INCONCLUSIVE
    return AGREES if predicted.value is None and reference.value is None and reference.share is None else DISAGREES


RULES = {1: Rule(_by_width, _never_1), 2: Rule(_by_width, _never_2), 3: Rule(decide, _never_3)}

"""Verdicts: whether a number agrees with another within a tolerance, by the current rule of `judging.rules`.

The size of what a theory neglects does not excuse it here: the verdict is on the number. Whether the theory's interval
holds the observation is told beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from onset.theory.arrays import Array
from onset.theory.estimates import StandardError, student
from onset.validate.judging.intervals import Interval, relative_error
from onset.validate.judging.rules import (
    AGREES,
    CURRENT,
    DISAGREES,
    INCONCLUSIVE,
    ONE_SIDED,
    RULES,
    decide,
    probability,
    relative_spread,
)

__all__ = ["AGREES", "DISAGREES", "INCONCLUSIVE", "Tolerance", "Verdict"]
__all__ += ["counted", "decide", "holm", "holm_adjusted", "judge", "of_share", "two_sided", "worst"]


@dataclass(frozen=True)
class Tolerance:
    """A relative tolerance, fixed beforehand, and its source."""

    value: float
    source: str


@dataclass(frozen=True)
class Verdict:
    """Whether a comparison agrees.

    Attributes
    ----------
    kind : {"agrees", "disagrees", "inconclusive"}
    tolerance : Tolerance
    error : float or None
        (predicted - reference)/reference.
    half : float or None
        Half the width of its 95% interval, without what the theory neglects.
    z : float or None
        The difference in units of its standard error.
    p : float or None
        Probability of a deviation this large if the statement holds; 0 for a counterexample.
    holds : bool or None
        Whether the theory's interval, with what it neglects, holds the reference.
    because : str
        Reason in words.
    decides : str or None
        What would decide an inconclusive comparison.
    by_rule : mapping of int to str
        The verdict by each version of the rule.
    """

    kind: str
    tolerance: Tolerance
    error: float | None = None
    half: float | None = None
    z: float | None = None
    p: float | None = None
    holds: bool | None = None
    because: str = ""
    decides: str | None = None
    by_rule: dict[int, str] = field(default_factory=dict)


IN_ALL = Tolerance(0.0, "holds for every trained model or does not")

FAMILY = 0.05
"""Probability that any finding of a family that holds is refuted."""


def judge(predicted: Interval, reference: Interval, tolerance: Tolerance, *, seeds: int | None = None) -> Verdict:
    """Verdict on `predicted` by `reference`, which rests on `seeds` trained models (None: on no training)."""
    error = relative_error(predicted, reference)
    if error is None:
        return _without_number(predicted, reference, tolerance)
    spread, allowed, holds = relative_spread(predicted, reference), tolerance.value, predicted.holds(reference)
    if spread is None:
        because = f"error {100 * error:+.1f}%, of unknown standard error, tolerance {100 * allowed:.3g}%"
        decides = "more seeds: one has no spread" if reference.error is None else "a prediction with an interval"
        return Verdict(INCONCLUSIVE, tolerance, error, holds=holds, because=because, decides=decides)
    because = f"error {100 * error:+.1f} ± {100 * spread.half:.1f}%, tolerance {100 * allowed:.3g}%"
    verdict = Verdict(
        decide(error, spread, allowed),
        tolerance,
        error,
        spread.half,
        error / spread.value if spread.value else None,
        probability(error, spread, allowed),
        holds,
        because,
        by_rule={version: rule.numbers(error, spread, allowed) for version, rule in RULES.items()},
    )
    if verdict.kind != INCONCLUSIVE:
        return verdict
    return replace(verdict, decides=_decides(predicted, reference, spread, abs(abs(error) - allowed), seeds))


def of_share(holding: int, total: int, what: str) -> Verdict:
    """Verdict on a statement that must hold for all of `total` models and holds for `holding`."""
    kind = AGREES if holding == total else DISAGREES
    p = None if holding == total else 0.0
    return Verdict(kind, IN_ALL, holding / total - 1, p=p, because=f"{holding} of {total} {what}")


def holm(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts of a family: those that chance alone would make with more than 5% in the family are inconclusive.

    Holm's step-down procedure (Scandinavian Journal of Statistics 6 (1979), 65-70) on the p of those that can disagree.
    """
    adjusted = holm_adjusted(np.array([np.nan if verdict.p is None else verdict.p for verdict in verdicts]))
    result, tested = list(verdicts), int((~np.isnan(adjusted)).sum())
    for n, verdict in enumerate(verdicts):
        if verdict.kind == DISAGREES and adjusted[n] > FAMILY:
            because = f"{verdict.because}; p = {verdict.p:.2g}, too large for one of {tested} findings"
            decides = "more seeds, for a smaller p"
            result[n] = replace(verdict, kind=INCONCLUSIVE, because=because, decides=decides)
    return result


def holm_adjusted(p: Array) -> Array:
    """Adjusted p of a family, of any shape, by Holm's procedure; NaN are left out.

    Those of at most 5% are refuted (Scandinavian Journal of Statistics 6 (1979), 65-70).
    """
    flat = p.ravel()
    known = np.flatnonzero(~np.isnan(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    adjusted = np.full_like(flat, np.nan)
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * flat[order]))
    return adjusted.reshape(p.shape)


def two_sided(distance: float, error: StandardError) -> float:
    """Probability of a deviation beyond `distance` on either side by chance; 1 for a distance below zero."""
    if distance <= 0:
        return 1.0
    if error.value == 0:
        return 0.0
    return 2 * probability(distance, error, 0.0)


def counted(kinds: Iterable[str]) -> dict[str, int]:
    """Number of each verdict."""
    counts = Counter(kinds)
    return {kind: counts[kind] for kind in (AGREES, INCONCLUSIVE, DISAGREES)}


def worst(kinds: Sequence[str]) -> str | None:
    """The worst of several verdicts, None of none."""
    return next((kind for kind in (DISAGREES, INCONCLUSIVE, AGREES) if kind in kinds), None)


def _without_number(predicted: Interval, reference: Interval, tolerance: Tolerance) -> Verdict:
    """Verdict where at least one side has no number."""
    because = f"{_text(predicted)} beside {_text(reference)}"
    number, never = (predicted, reference) if reference.value is None else (reference, predicted)
    if number.value is not None and never.limit is not None:
        # A run that ended within the tolerance of the other side's interval cannot tell.
        nearest = number.value if number.low is None else number.low
        if nearest * (1 + tolerance.value) >= never.limit:
            decides = f"a longer run: it ended at step {never.limit:.0f}"
            return Verdict(INCONCLUSIVE, tolerance, because=because, decides=decides)
    by_rule = {version: rule.never(predicted, reference) for version, rule in RULES.items()}
    kind = by_rule[CURRENT]
    decides = "a prediction whose replicates all go one way" if kind == INCONCLUSIVE else None
    if kind == AGREES and reference.curves:
        most = 1 - FAMILY ** (1 / reference.curves)
        because = f"{because}; in {reference.curves} models, so in fewer than {100 * most:.0f}% of all, at 95%"
    p = 0.0 if kind == DISAGREES else None
    return Verdict(kind, tolerance, p=p, because=because, decides=decides, by_rule=by_rule)


def _text(interval: Interval) -> str:
    """A step, or that there is none."""
    if interval.value is not None:
        return f"step {interval.value:.0f}"
    if interval.share is not None:
        return f"{100 * interval.share:.0f}% of curves"
    return "never" if interval.limit is None else f"never up to step {interval.limit:.0f}"


def _decides(predicted: Interval, reference: Interval, spread: StandardError, room: float, seeds: int | None) -> str:
    """What would bring the one-sided half-width of the relative error below `room`."""
    assert predicted.error is not None
    assert reference.value
    quantile = student(spread.freedom, ONE_SIDED)
    own = quantile * predicted.error.times(1 / reference.value).value
    if own >= room:
        return f"a narrower prediction: its own error is ± {100 * own:.1f}%, and ± {100 * room:.1f}% would decide"
    others = math.sqrt(max((quantile * spread.value) ** 2 - own**2, 0.0))
    if seeds is None:
        return f"more replicates of the upper rung: its error is ± {100 * others:.1f}%"
    needed = math.ceil(seeds * others**2 / (room**2 - own**2))
    return f"more seeds: about {max(needed, seeds + 1)} instead of {seeds}" if needed < 1000 else "no number of seeds"

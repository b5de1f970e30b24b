r"""Verdicts: whether a number agrees with another within a tolerance that was fixed beforehand.

With e the relative error and h half the width of its 95% interval (both sides' intervals, added in squares),

    agrees        |e| ≤ τ and h ≤ 2 τ
    disagrees     |e| - h > τ
    inconclusive  otherwise, with what would decide.

So an interval too wide to say anything never agrees (intervals over four curves carry Student's quantile, 1.6 times the
normal one, hence the factor of two), and a disagreement is beyond the tolerance even at the near end of the interval.
"Never" is an answer: two of them agree, and one disagrees with a number, unless the run ended before that number was
out of reach. Where curves go both ways, their shares are compared: they disagree if chance alone would part them as far
in less than 5% (Fisher's exact test); a side that goes one way counts as many curves as the other has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import fisher_exact

from onset.validate.judging.intervals import Interval, relative_error, z_score

__all__ = ["AGREES", "DISAGREES", "INCONCLUSIVE", "Tolerance", "Verdict"]
__all__ += ["counted", "decide", "judge", "of_share", "worst"]

AGREES, DISAGREES, INCONCLUSIVE = "agrees", "disagrees", "inconclusive"


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
        Half the width of its 95% interval.
    z : float or None
        The difference in units of its standard error.
    because : str
        Reason in words.
    decides : str or None
        What would decide an inconclusive comparison.
    """

    kind: str
    tolerance: Tolerance
    error: float | None = None
    half: float | None = None
    z: float | None = None
    because: str = ""
    decides: str | None = None


IN_ALL = Tolerance(0.0, "holds for every trained model or does not")

SIGNIFICANCE = 0.05
"""Probability by chance below which shares of curves disagree."""

WIDEST = 2
"""Half-width of the widest interval with which a number still agrees, in tolerances."""


def judge(predicted: Interval, reference: Interval, tolerance: Tolerance, *, seeds: int | None = None) -> Verdict:
    """Verdict on `predicted` by `reference`, which rests on `seeds` trained models (None: on no training)."""
    error, z = relative_error(predicted, reference), z_score(predicted, reference)
    if error is None:
        return _without_number(predicted, reference, tolerance)
    assert predicted.value is not None
    assert reference.value is not None
    predicted_half, reference_half = predicted.half, reference.half * abs(predicted.value / reference.value)
    half, allowed = math.hypot(predicted_half, reference_half) / abs(reference.value), tolerance.value
    because = f"error {100 * error:+.1f} ± {100 * half:.1f}%, tolerance {100 * allowed:.3g}%"
    kind = decide(error, half, allowed)
    if kind != INCONCLUSIVE:
        return Verdict(kind, tolerance, error, half, z, because)
    room = WIDEST * allowed if abs(error) <= allowed else abs(error) - allowed
    decides = _decides(predicted_half / abs(reference.value), reference_half / abs(reference.value), room, seeds)
    return Verdict(kind, tolerance, error, half if half < math.inf else None, z, because, decides)


def decide(error: float, half: float, allowed: float) -> str:
    """Verdict on an error known up to ± `half`, both in the unit of the tolerance `allowed`."""
    if abs(error) <= allowed and half <= WIDEST * allowed:
        return AGREES
    return DISAGREES if abs(error) - half > allowed else INCONCLUSIVE


def of_share(holding: int, total: int, what: str) -> Verdict:
    """Verdict on a statement that must hold for all of `total` models and holds for `holding`."""
    kind = AGREES if holding == total else DISAGREES
    return Verdict(kind, IN_ALL, holding / total - 1, because=f"{holding} of {total} {what}")


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
    if predicted.share is None and reference.share is None:
        return Verdict(AGREES if number.value is None else DISAGREES, tolerance, because=because)
    probability = _probability(predicted, reference)
    because = f"{because}, p = {probability:.2g}"
    if probability < SIGNIFICANCE:
        return Verdict(DISAGREES, tolerance, because=because)
    decides = "more seeds and replicates, for the share of each"
    return Verdict(INCONCLUSIVE, tolerance, because=because, decides=decides)


def _probability(predicted: Interval, reference: Interval) -> float:
    """Probability of shares at least so different if it happens to the curves of both sides alike."""
    curves = max(predicted.curves or 1, reference.curves or 1)
    table = []
    for side in (predicted, reference):
        # Where all curves go one way, the answer is taken to hold for every curve that there might be.
        count = curves if side.share is None else side.curves or 1
        share = float(side.value is not None) if side.share is None else side.share
        table.append([round(share * count), round((1 - share) * count)])
    return float(fisher_exact(table).pvalue)  # type: ignore[attr-defined]


def _text(interval: Interval) -> str:
    """A step, or that there is none."""
    if interval.value is not None:
        return f"step {interval.value:.0f}"
    if interval.share is not None:
        return f"{100 * interval.share:.0f}% of curves"
    return "never" if interval.limit is None else f"never up to step {interval.limit:.0f}"


def _decides(predicted_half: float, reference_half: float, room: float, seeds: int | None) -> str:
    """What would bring the error's half-width below `room`; the halves are relative to the reference."""
    if predicted_half >= room:
        wide = "none" if predicted_half == math.inf else f"± {100 * predicted_half:.1f}%"
        return f"a narrower prediction: its own interval is {wide}, and ± {100 * room:.1f}% would decide"
    if seeds is None:
        return f"more replicates of the upper rung: its interval is ± {100 * reference_half:.1f}%"
    needed = math.ceil(seeds * reference_half**2 / (room**2 - predicted_half**2))
    return f"more seeds: about {max(needed, seeds + 1)} instead of {seeds}" if needed < 1000 else "no number of seeds"

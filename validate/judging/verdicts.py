r"""Verdicts: whether a number agrees with another within a tolerance that was fixed beforehand.

With e the relative error and h half the width of its 95% interval (both sides' intervals, added in squares),

    agrees        |e| ≤ τ and h ≤ 2 τ
    disagrees     |e| - h > τ
    inconclusive  otherwise, with what would decide.

So an agreement is never an interval too wide to say anything (intervals over four curves carry Student's quantile, 1.6 times the normal one, hence the
two), and a disagreement is beyond the tolerance even at the interval's near end. That something never happens is an answer: two of them agree, and
one beside a number disagrees, unless a run ended before that number was out of reach. Where curves go both ways, their share is compared: it disagrees
if chance alone would part the two sides as far (Fisher's exact test) in less than 5%; a side that goes one way stands for as many curves as the other has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import fisher_exact

from onset.validate.judging.intervals import Interval, relative_error, z_score

__all__ = [
    "AGREES",
    "DISAGREES",
    "INCONCLUSIVE",
    "Tolerance",
    "Verdict",
    "counted",
    "decide",
    "judge",
    "of_share",
    "worst",
]

AGREES, DISAGREES, INCONCLUSIVE = "agrees", "disagrees", "inconclusive"


@dataclass(frozen=True)
class Tolerance:
    """A relative tolerance, fixed beforehand, and where it comes from."""

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
        In words.
    decides : str or None
        If inconclusive, what would decide.
    """

    kind: str
    tolerance: Tolerance
    error: float | None = None
    half: float | None = None
    z: float | None = None
    because: str = ""
    decides: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


EVERY = Tolerance(0.0, "holds for every trained model or does not")

SIGNIFICANT = 0.05
"""Chance below which shares of curves disagree."""

WIDEST = 2
"""Half of the widest interval with which a number still agrees, in tolerances."""


def judge(predicted: Interval, reference: Interval, tolerance: Tolerance, *, seeds: int | None = None) -> Verdict:
    """Verdict on `predicted` beside `reference`, which rests on `seeds` trained models (None: on no training)."""
    error, z = relative_error(predicted, reference), z_score(predicted, reference)
    if error is None:
        return _missing(predicted, reference, tolerance)
    assert predicted.value is not None
    assert reference.value is not None
    half = math.hypot(predicted.half, reference.half * abs(predicted.value / reference.value)) / abs(reference.value)
    allowed = tolerance.value
    told = f"error {100 * error:+.1f} ± {100 * half:.1f}%, tolerance {100 * allowed:.3g}%"
    kind = decide(error, half, allowed)
    if kind != INCONCLUSIVE:
        return Verdict(kind, tolerance, error, half, z, told)
    room = WIDEST * allowed if abs(error) <= allowed else abs(error) - allowed
    decides = _decides(predicted, reference, room, seeds)
    return Verdict(INCONCLUSIVE, tolerance, error, half if half < math.inf else None, z, told, decides)


def decide(error: float, half: float, allowed: float) -> str:
    """The verdict on an error known up to ± `half`, both in the unit of the tolerance `allowed`."""
    if abs(error) <= allowed and half <= WIDEST * allowed:
        return AGREES
    return DISAGREES if abs(error) - half > allowed else INCONCLUSIVE


def of_share(found: int, total: int, what: str) -> Verdict:
    """Verdict on a statement that must hold for all of `total` models and does for `found`."""
    kind = AGREES if found == total else DISAGREES
    return Verdict(kind, EVERY, found / total - 1, None, None, f"{found} of {total} {what}")


def counted(kinds: Iterable[str]) -> dict[str, int]:
    """How many there are of each verdict."""
    found = Counter(kinds)
    return {kind: found[kind] for kind in (AGREES, INCONCLUSIVE, DISAGREES)}


def worst(kinds: list[str]) -> str | None:
    """The one of several verdicts that stands for them."""
    return next((kind for kind in (DISAGREES, INCONCLUSIVE, AGREES) if kind in kinds), None)


def _missing(predicted: Interval, reference: Interval, tolerance: Tolerance) -> Verdict:
    """Where at least one side has no number."""
    because = f"{_said(predicted)} beside {_said(reference)}"
    there, lacks = (predicted, reference) if reference.value is None else (reference, predicted)
    if there.value is not None and lacks.limit is not None:
        # A run that ended within the tolerance of the other side's interval cannot tell.
        nearest = there.value if there.low is None else there.low
        if nearest * (1 + tolerance.value) >= lacks.limit:
            decides = f"a longer run: it ended at step {lacks.limit:.0f}"
            return Verdict(INCONCLUSIVE, tolerance, because=because, decides=decides)
    if predicted.share is not None or reference.share is not None:
        chance = _chance(predicted, reference)
        because = f"{because}, p = {chance:.2g}"
        if chance >= SIGNIFICANT:
            decides = "more seeds and replicates, for the share of each"
            return Verdict(INCONCLUSIVE, tolerance, because=because, decides=decides)
    elif there.value is None:
        return Verdict(AGREES, tolerance, because=because)
    return Verdict(DISAGREES, tolerance, because=because)


def _chance(predicted: Interval, reference: Interval) -> float:
    """Probability, if it happens to both alike, that of their curves at least so different shares have it."""
    curves = max(predicted.curves or 1, reference.curves or 1)
    table = []
    for side in (predicted, reference):
        # Where all curves go one way, theory says so of every curve that there might be.
        count = curves if side.share is None else side.curves or 1
        share = float(side.value is not None) if side.share is None else side.share
        table.append([round(share * count), round((1 - share) * count)])
    return float(fisher_exact(table).pvalue)  # type: ignore[attr-defined]


def _said(told: Interval) -> str:
    """A step, or that there is none."""
    if told.value is not None:
        return f"step {told.value:.0f}"
    if told.share is not None:
        return f"{100 * told.share:.0f}% of curves"
    return "never" if told.limit is None else f"never up to step {told.limit:.0f}"


def _decides(predicted: Interval, reference: Interval, room: float, seeds: int | None) -> str:
    """What would bring the interval's half below `room`, a share of the reference."""
    assert predicted.value is not None
    assert reference.value is not None
    own, other = predicted.half / abs(reference.value), reference.half * abs(predicted.value) / reference.value**2
    if own >= room:
        wide = "none" if own == math.inf else f"± {100 * own:.1f}%"
        return f"a narrower prediction: its own interval is {wide}, and ± {100 * room:.1f}% would decide"
    if seeds is None:
        return f"more replicates of the upper rung: its interval is ± {100 * other:.1f}%"
    needed = math.ceil(seeds * other**2 / (room**2 - own**2))
    return f"more seeds: about {max(needed, seeds + 1)} instead of {seeds}" if needed < 1000 else "no number of seeds"

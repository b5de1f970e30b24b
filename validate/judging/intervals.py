"""A value with its 95% interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onset.theory.transitions import Transition

__all__ = ["Interval", "relative_error", "z_score"]

Z = 1.96
"""Half a 95% interval in standard errors."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval; None with a reason if there is none.

    `refused` says that a theory does not answer, unlike one whose answer is that nothing happens; `limit` is then the step up to which nothing
    did, and `share`, if curves differ, that of those in which it happens. `curves` is how many there are, if it is known.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    refused: bool = False
    limit: float | None = None
    share: float | None = None
    curves: int | None = None

    @classmethod
    def of(cls, transition: Transition, limit: float | None = None, happens: Sequence[bool] = ()) -> Interval:
        """Of a transition looked for up to step `limit` in curves of which `happens` says whether they have it."""
        found = cls(transition.step, transition.low, transition.high, transition.reason, curves=len(happens) or None)
        if transition.step is not None:
            return found
        share = sum(happens) / len(happens) if happens else 0.0
        return replace(found, limit=limit, share=share if 0 < share < 1 else None)

    @property
    def half(self) -> float:
        """Half the width; infinite if the value has no interval, zero if it is exact."""
        if self.low is None or self.high is None:
            return math.inf
        return (self.high - self.low) / 2


def relative_error(predicted: Interval, reference: Interval) -> float | None:
    """(predicted - reference)/reference, or None if either is missing."""
    if predicted.value is None or not reference.value:
        return None
    return (predicted.value - reference.value) / reference.value


def z_score(predicted: Interval, reference: Interval) -> float | None:
    """The difference in units of its standard error, which both 95% intervals give, halves added in squares; None without one."""
    if predicted.value is None or reference.value is None:
        return None
    half = math.hypot(predicted.half, reference.half)
    return Z * (predicted.value - reference.value) / half if 0 < half < math.inf else None

"""A value with its 95% interval, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from onset.theory.arrays import Array
from onset.theory.transitions import Transition

__all__ = ["Interval", "Z", "mean_interval", "relative_error", "student", "z_score"]

Z = 1.96
"""Half of a 95% interval in standard errors."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval, or None with a reason.

    Attributes
    ----------
    value, low, high : float or None
    reason : str or None
        Why there is no value.
    refused : bool
        Whether a theory does not answer, as opposed to answering that nothing happens.
    limit : float or None
        Step up to which nothing happened.
    share : float or None
        Share of the curves in which it happens, where they differ.
    curves : int or None
        Number of curves, where it is known.
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
        """Interval of a transition looked for up to step `limit`; `happens` says for each curve whether it has one."""
        interval = cls(transition.step, transition.low, transition.high, transition.reason, curves=len(happens) or None)
        if transition.step is not None:
            return interval
        share = sum(happens) / len(happens) if happens else 0.0
        return replace(interval, limit=limit, share=share if 0 < share < 1 else None)

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A value without error."""
        return cls(value, value, value)

    @property
    def half(self) -> float:
        """Half of the width; infinite if the value has no interval, zero if it is exact."""
        return math.inf if self.low is None or self.high is None else (self.high - self.low) / 2


def student(freedom: int) -> float:
    """Half of a 95% interval in standard errors, by Student's law with `freedom` degrees of freedom."""
    return float(stdtrit(freedom, 0.975))


def mean_interval(values: Sequence[float] | Array) -> Interval:
    """Mean of independent values with its 95% interval by Student's law; no interval for fewer than two."""
    if not len(values):
        return Interval(None, reason="in no seed")
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean)
    half = student(len(values) - 1) * float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def relative_error(predicted: Interval, reference: Interval) -> float | None:
    """(predicted - reference)/reference, or None if either is missing."""
    if predicted.value is None or not reference.value:
        return None
    return (predicted.value - reference.value) / reference.value


def z_score(predicted: Interval, reference: Interval) -> float | None:
    """Difference over its standard error, by both 95% intervals, halves added in squares; None without intervals."""
    if predicted.value is None or reference.value is None:
        return None
    half = math.hypot(predicted.half, reference.half)
    return Z * (predicted.value - reference.value) / half if 0 < half < math.inf else None

"""A value with an interval that says what it is, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from onset.theory.arrays import Array
from onset.theory.estimates import RECORDS, SEEDS, SEQUENCES, StandardError, ends
from onset.theory.transitions import Transition

__all__ = ["Interval", "mean_interval", "ratio_interval", "relative_error"]


@dataclass(frozen=True)
class Interval:
    """A value with its interval, or None with a reason.

    Attributes
    ----------
    value, low, high : float or None
    kind : str or None
        What the interval says, one of `onset.theory.estimates.KINDS`.
    error : StandardError or None
        Of the value, without what a theory neglects; None if it is not known, as of a single seed.
    neglected : mapping of str to (float, float)
        How much smaller and larger each term that the theory neglects may make the value.
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
    kind: str | None = None
    error: StandardError | None = None
    neglected: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reason: str | None = None
    refused: bool = False
    limit: float | None = None
    share: float | None = None
    curves: int | None = None

    @classmethod
    def of(cls, transition: Transition, limit: float | None = None, happens: Sequence[bool] = ()) -> Interval:
        """Interval of a transition looked for up to step `limit`; `happens` says for each curve whether it has one."""
        names = ("low", "high", "kind", "neglected", "reason")
        interval = cls(transition.step, **{name: getattr(transition, name) for name in names})
        interval = replace(interval, curves=len(happens) or None)
        if transition.step is not None:
            return interval if transition.kind == RECORDS else replace(interval, error=transition.error)
        share = sum(happens) / len(happens) if happens else 0.0
        return replace(interval, limit=limit, share=share if 0 < share < 1 else None)

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A value without error."""
        return cls(value, value, value, error=StandardError(0.0))

    @classmethod
    def around(cls, value: float, error: StandardError, kind: str) -> Interval:
        """A value that may have any sign, with its 95% interval."""
        return cls(value, value - error.half, value + error.half, kind, error)

    def holds(self, other: Interval) -> bool | None:
        """Whether this theory's interval, without what `other` neglects as well, holds the value of `other`.

        None where one of them has no value.
        """
        if self.value is None or other.value is None:
            return None
        if self.low is None or self.high is None:
            return self.value == other.value
        if not self.neglected:
            return self.low <= other.value <= self.high
        terms = {name: term for name, term in self.neglected.items() if name not in other.neglected}
        low, high = ends(self.value, self.error, terms)
        return low <= other.value <= high


def mean_interval(values: Sequence[float] | Array, kind: str = SEEDS) -> Interval:
    """Mean of independent values with its 95% interval by Student's law; no interval for fewer than two."""
    if not len(values):
        return Interval(None, reason="in no seed")
    if len(values) < 2:
        return Interval(float(values[0]))
    return Interval.around(float(np.mean(values)), StandardError.of_mean(values), kind)


def ratio_interval(numerators: Array, denominators: Array, kind: str = SEQUENCES) -> Interval:
    """Ratio of the means of two numbers that are measured together, with its 95% interval by the linearised ratio.

    The mean of the denominators must not be zero.
    """
    mean = float(np.mean(denominators))
    ratio = float(np.mean(numerators)) / mean
    return Interval.around(ratio, StandardError.of_mean((numerators - ratio * denominators) / mean), kind)


def relative_error(predicted: Interval, reference: Interval) -> float | None:
    """(predicted - reference)/reference, or None if either is missing."""
    if predicted.value is None or not reference.value:
        return None
    return (predicted.value - reference.value) / reference.value

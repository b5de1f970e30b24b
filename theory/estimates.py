r"""Numbers with intervals that say what they are.

*seeds*: a 95% confidence interval over independently trained models, by Student's law.
*sequences*: the same over the sequences, or examples, on which one model is measured.
*numerical*: the same over replicates of a computation (scramblings of a quadrature, samples), or the error of reading a
curve. It says nothing of what the theory neglects.
*theoretical*: the numerical interval, widened by the size of each term that the theory neglects. No probability is
claimed; the share of trained models that it holds is measured by the suites.
*records*: the two records of a single curve between which the number lies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from scipy.special import ndtri, stdtrit

from onset.theory.arrays import Array

__all__ = [
    "CONFIDENCE",
    "KINDS",
    "NUMERICAL",
    "RECORDS",
    "SEEDS",
    "SEQUENCES",
    "THEORETICAL",
    "RelativeError",
    "StandardError",
    "ends",
    "largest_score",
    "student",
]

SEEDS, SEQUENCES, NUMERICAL, THEORETICAL, RECORDS = "seeds", "sequences", "numerical", "theoretical", "records"

KINDS = {
    SEEDS: "95% over seeds",
    SEQUENCES: "95% over sequences",
    NUMERICAL: "numerical error, 95%",
    THEORETICAL: "size of what is neglected",
    RECORDS: "between two records",
}
"""Kinds of intervals, and what each says."""

CONFIDENCE = 0.95
"""Confidence level of intervals."""


def student(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Half of a two-sided interval in standard errors, by Student's law; the normal law for infinite freedom."""
    upper = (1 + confidence) / 2
    return float(ndtri(upper) if math.isinf(freedom) else stdtrit(freedom, upper))


def largest_score(false_alarm: float, count: int = 1, freedom: float = math.inf, *, sides: int = 2) -> float:
    """Standard score that the largest of `count` exceeds by chance with probability `false_alarm`, at most.

    By Bonferroni's bound, and Student's law; the normal law for infinite freedom.
    """
    share = false_alarm / sides / count
    return -float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))


class StandardError(NamedTuple):
    """A standard error and its degrees of freedom, in the unit of the number that it belongs to."""

    value: float
    freedom: float = math.inf

    @classmethod
    def of_mean(cls, values: Sequence[float] | Array) -> Self:
        """Of the mean of at least two independent values."""
        return cls(float(np.std(values, ddof=1) / math.sqrt(len(values))), len(values) - 1)

    def times(self, factor: float) -> Self:
        """Of `factor` times the number."""
        return self._replace(value=abs(factor) * self.value)

    def beside(self, *others: StandardError) -> StandardError:
        """Of a sum or difference of independent numbers: variances add; freedom by Welch and Satterthwaite.

        Welch, Biometrika 34 (1947), 28-35; Satterthwaite, Biometrics Bulletin 2 (1946), 110-114.
        """
        parts = [part for part in (self, *others) if part.value > 0]
        variance = sum(part.value**2 for part in parts)
        spread = sum(part.value**4 / part.freedom for part in parts)
        return StandardError(math.sqrt(variance), variance**2 / spread if spread else math.inf)

    @property
    def half(self) -> float:
        """Half of the 95% interval."""
        return self.value and student(self.freedom) * self.value


class RelativeError(StandardError):
    """A standard error relative to the number that it belongs to."""

    @classmethod
    def of_mean(cls, values: Sequence[float] | Array) -> Self:
        """Of the mean of at least two independent values, relative to that mean."""
        absolute = StandardError.of_mean(values)
        return cls(absolute.value / abs(float(np.mean(values))), absolute.freedom)


def ends(
    value: float, error: StandardError | None, neglected: Mapping[str, tuple[float, float]]
) -> tuple[float, float]:
    """Ends of the interval of a number that is not negative: its standard error, and what terms add on each side."""
    half = 0.0 if error is None else error.half
    below, above = (sum(term[side] for term in neglected.values()) for side in (0, 1))
    return max(0.0, value - half - below), value + half + above

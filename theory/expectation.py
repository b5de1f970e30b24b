"""A number with the estimate of its error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Expectation"]


class Expectation(NamedTuple):
    """A number and the estimate of its error, in the same unit.

    The error is an absolute quadrature error, or the standard error of randomised quasi-Monte Carlo.
    """

    value: float
    error: float

    @classmethod
    def mixture(cls, parts: Iterable[tuple[float, Expectation]]) -> Expectation:
        """The expectation under a mixture, from those under its components and their probabilities."""
        weighted = [(share * part.value, share * part.error) for share, part in parts]
        return cls(sum(value for value, _ in weighted), math.hypot(*(error for _, error in weighted)))

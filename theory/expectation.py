"""A number with the estimate of its error."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Expectation"]


class Expectation(NamedTuple):
    """A number and the estimate of its error, in the same unit.

    The error is an absolute quadrature error, or the standard error of randomised quasi-Monte Carlo.
    """

    value: float
    error: float

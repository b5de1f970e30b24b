"""What a law is: a prediction for one family under one optimiser, with its assumptions and its range of validity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onset.theory.prediction import Prediction

__all__ = ["Law"]


@dataclass(frozen=True)
class Law:
    """A law of the plateau for one family under one optimiser.

    Attributes
    ----------
    predict : callable
        Takes a setting, and `seed` and `progress` by name; returns a `Prediction`, or raises a ``ValueError`` with the
        reason where the setting is outside the range of validity.
    assumptions : tuple of str
        What is neglected everywhere.
    validity : str
        The range of validity in one sentence.
    """

    predict: Callable[..., Prediction]
    assumptions: tuple[str, ...]
    validity: str

"""Pairs of rungs that are compared, their tolerances, and what a suite promises; all fixed before a suite runs.

A rung is a method of prediction or `TRAINED`. Where theory states the order of what a rung neglects, the tolerance is a
stated multiple of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from onset.theory.setting import Setting
from onset.validate.judging.verdicts import Tolerance
from onset.validate.suite.settings import SURROGATE

__all__ = ["MEDIAN_TOLERANCE", "PAIRS", "TOLERANCE", "TRAINED", "Pair"]

TRAINED = "trained"

TOLERANCE = 0.05
"""Relative error within which finite context must agree with trained toy models, for each quantity."""
MEDIAN_TOLERANCE = 0.03
"""The same for the median over all of them."""

LAW_FROM = 200
"""Context from which the plateau law must be within `TOLERANCE` of the mean field, whose closed form it is."""


@dataclass(frozen=True)
class Pair:
    """Two rungs, the lower one judged by the upper.

    Attributes
    ----------
    lower, upper : str
    next_rung : bool
        Whether the upper one is the next on the ladder.
    tolerance : callable
        Tolerance at a setting.
    promised, applies : callable
        Whether the suite promises that the pair does not disagree at a setting; whether the pair is compared there at
        all.
    exact : bool
        Whether the lower one neglects nothing that the upper one has.
    """

    lower: str
    upper: str
    next_rung: bool
    tolerance: Callable[[Setting], Tolerance]
    promised: Callable[[Setting], bool] = lambda setting: False
    applies: Callable[[Setting], bool] = lambda setting: True
    exact: bool = False


def _flat(setting: Setting) -> Tolerance:
    return Tolerance(TOLERANCE, "fixed beforehand: a twentieth, the spacing of records relative to the plateau")


def _limit(setting: Setting) -> Tolerance:
    order = math.log(setting.task.context) / setting.task.context
    return Tolerance(2 * order, f"twice the order of what the limit T → ∞ neglects, ln T/T = {order:.2g}")


def _closed_form(setting: Setting) -> bool:
    """Whether the law is a closed form of the mean field; elsewhere it keeps terms that the mean field neglects."""
    return setting.model.family == "linear" and setting.training.optimizer.name == "sgd"


PAIRS = (
    Pair("law", "mean-field", True, _flat, lambda s: s.task.context >= LAW_FROM, _closed_form),
    Pair("law", "finite-context", True, _limit, applies=lambda s: not _closed_form(s)),
    Pair("law-corrected", "mean-field-corrected", True, _flat, applies=_closed_form),
    Pair("mean-field", "finite-context", True, _limit),
    Pair("mean-field-corrected", "finite-context", True, _flat),
    Pair("finite-context", TRAINED, True, _flat, lambda s: True, exact=True),
    Pair("law", TRAINED, False, _limit),
    Pair("law-corrected", TRAINED, False, _flat),
    Pair("mean-field", TRAINED, False, _limit),
    Pair("mean-field-corrected", TRAINED, False, _flat),
    Pair(SURROGATE, TRAINED, True, _flat),
)
"""In the order in which tables show them."""

"""Statistical checks: scores z = mean/standard error, and how large the largest of several may be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Residual
from onset.theory.estimates import largest_score

__all__ = ["FALSE_ALARM", "all_positive", "all_zero", "score_limit", "standard_scores"]

FALSE_ALARM = 1e-4
"""Probability that a check fails by chance, however many numbers it compares (Bonferroni)."""


def standard_scores(groups: Array) -> Array:
    """Mean over the first axis in units of its standard error."""
    return groups.mean(axis=0) / (groups.std(axis=0, ddof=1) / np.sqrt(len(groups)))


def score_limit(count: int = 1, freedom: float = math.inf, *, sides: int = 2) -> float:
    """Value that the largest of `count` scores exceeds with probability `FALSE_ALARM`, by Student's t."""
    return largest_score(FALSE_ALARM, count, freedom, sides=sides)


def all_zero(scores: Sequence[float] | Array, freedom: float = math.inf) -> Residual:
    """Residual of scores whose expectations are zero: the largest |z|."""
    because = f"largest of {np.size(scores)} $|z|$ by Student's $t$, false alarm {FALSE_ALARM:g}"
    return Residual(float(np.abs(scores).max()), score_limit(np.size(scores), freedom), because)


def all_positive(scores: Sequence[float] | Array, freedom: float = math.inf) -> Residual:
    """Residual of scores whose expectations must be shown to be positive: minus the smallest z."""
    because = f"all {np.size(scores)} above zero: $-\\min z$ by Student's $t$, false alarm {FALSE_ALARM:g}"
    return Residual(-float(np.min(scores)), -score_limit(np.size(scores), freedom, sides=1), because)

"""Two functions timed in turns, and what is reported of it."""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onset.theory.arrays import Array

__all__ = ["Timing", "Work", "agree", "compare", "elapsed", "fastest", "summary"]

ROUNDS = 7
SECONDS = 0.02
"""Each timing repeats its function until it lasts this long."""

PAUSE = 0.02
"""Between turns, so that the other side's threads have gone to rest."""

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """One comparison.

    Attributes
    ----------
    name, size, baseline : str
        What is measured, at which size, and beside what.
    seconds, baseline_seconds : float
        Medians over rounds, per call.
    ratio : float
        How many times faster than the baseline; beside a limit, how many times slower.
    spread : pair of float
        Least and greatest ratio of a round.
    target : str
        Such as ``">= 50"`` or ``"<= 4"``; empty if none is set.
    """

    name: str
    size: str
    baseline: str
    seconds: float
    baseline_seconds: float
    ratio: float
    spread: tuple[float, float]
    target: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the ratio meets the target; None without one."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.ratio >= float(bound) if sign == ">=" else self.ratio <= float(bound)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what JSON holds."""
        return dataclasses.asdict(self) | {"spread": list(self.spread), "met": self.met}


def elapsed(work: Work, repeats: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def compare(
    name: str,
    size: str,
    ours: Work,
    baseline: str,
    other: Work,
    *,
    target: str = "",
    limit: bool = False,
    share: float = 1.0,
) -> Timing:
    """Time `ours` and `other` in turns; `share` is the part of our work that `other` does."""

    def turn(work: Work, repeats: int) -> float:
        time.sleep(PAUSE)
        return elapsed(work, repeats)

    repeats = [max(1, round(SECONDS / min(turn(work, 1) for _ in range(2)))) for work in (ours, other)]
    rounds = [(turn(ours, repeats[0]), turn(other, repeats[1]) / share) for _ in range(ROUNDS)]
    return summary(name, size, baseline, rounds, target, limit=limit)


def summary(
    name: str, size: str, baseline: str, rounds: Sequence[tuple[float, float]], target: str = "", *, limit: bool = False
) -> Timing:
    """Summary of `rounds` of (our seconds, the baseline's)."""
    ratios = [float(a / b if limit or target.startswith("<=") else b / a) for a, b in rounds]
    ours, other = (float(statistics.median(side)) for side in zip(*rounds, strict=True))
    return Timing(name, size, baseline, ours, other, statistics.median(ratios), (min(ratios), max(ratios)), target)


def fastest(candidates: Mapping[str, Work]) -> tuple[str, Work]:
    """The fastest of some torch baselines, each with one thread and with all."""
    timed: dict[tuple[str, int], float] = {}
    every = max(torch.get_num_threads(), os.cpu_count() or 1)
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        for label, work in candidates.items():
            work()
            timed[label, threads] = min(elapsed(work) for _ in range(5))
    label, threads = min(timed, key=lambda key: timed[key])
    torch.set_num_threads(threads)
    return f"{label} ({threads} thread{'s' * (threads > 1)})", candidates[label]


def agree(what: str, ours: Array, other: Tensor, tolerance: float) -> None:
    worst = float(np.abs(ours - other.numpy()).max())
    if not worst <= tolerance:
        raise ArithmeticError(
            f"{what} differs from its baseline by {worst:.3g}: expected at most {tolerance:g}; one of the two is wrong, do not trust their timings."
        )

"""Two functions timed in turns, and the summary of their timings."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onset.theory.arrays import Array

__all__ = [
    "ROUNDS",
    "Timing",
    "Work",
    "agree",
    "compare",
    "elapsed",
    "fastest",
    "memory",
    "repeats_of",
    "size_label",
    "summary",
]

ROUNDS = 7
"""Rounds of a comparison."""

SECONDS = 0.02
"""Least duration of a timing; shorter functions are repeated."""

MEMORY_ROUNDS, PAGE = 3, 4096.0
"""Rounds of a comparison of memory, and the least that it is measured in."""

PAUSE = 0.02
"""Seconds between turns, in which the other side's threads go to rest."""

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """One comparison.

    Attributes
    ----------
    name, size, baseline : str
        What is measured, at which size, and its baseline or limit.
    seconds, baseline_seconds : float
        Medians over rounds, per call; of memory, bytes.
    ratio : float
        How many times faster than the baseline; against a limit, how many times slower.
    spread : pair of float
        Least and greatest ratio of a round.
    target : str
        Such as ``">= 50"`` or ``"<= 4"``; empty without a target.
    """

    name: str
    size: str
    baseline: str
    seconds: float
    baseline_seconds: float
    ratio: float
    spread: tuple[float, float]
    target: str = ""
    unit: str = "s"

    @property
    def met(self) -> bool | None:
        """True if the ratio meets the target; None without a target."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.ratio >= float(bound) if sign == ">=" else self.ratio <= float(bound)

    def to_dict(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        return dataclasses.asdict(self) | {"spread": list(self.spread), "met": self.met}


def size_label(batch: int, context: int, states: int) -> str:
    """Size of a benchmark on sequences."""
    return f"B={batch} T={context} k={states}"


def elapsed(work: Work, repeats: int = 1) -> float:
    """Seconds of one call, averaged over `repeats`."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def repeats_of(seconds: float) -> int:
    """Calls, of `seconds` each, in one timing."""
    return max(1, round(SECONDS / seconds))


def compare(
    name: str, size: str, ours: Work, baseline: str, other: Work, *, target: str = "", share: float = 1.0
) -> Timing:
    """Time `ours` and `other` in turns; `other` does the fraction `share` of the work of `ours`."""

    def turn(work: Work, repeats: int) -> float:
        time.sleep(PAUSE)
        return elapsed(work, repeats)

    repeats = [repeats_of(min(turn(work, 1) for _ in range(2))) for work in (ours, other)]
    rounds = [(turn(ours, repeats[0]), turn(other, repeats[1]) / share) for _ in range(ROUNDS)]
    return summary(name, size, baseline, rounds, target)


def memory(name: str, size: str, ours: Work, baseline: str, other: Work, *, target: str = "") -> Timing:
    """Peaks of the process's memory above what it holds, in bytes, of `ours` and `other` in turns (Linux)."""
    rounds = [(_peak(ours), _peak(other)) for _ in range(MEMORY_ROUNDS)]
    return dataclasses.replace(summary(name, size, baseline, rounds, target), unit="B")


def _peak(work: Work) -> float:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free goes back to the system
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    held = _status("VmRSS")
    work()
    return max(_status("VmHWM") - held, PAGE)


def _status(name: str) -> float:
    """Bytes of an entry of the process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def summary(name: str, size: str, baseline: str, rounds: Iterable[tuple[float, float]], target: str = "") -> Timing:
    """Summary of `rounds` of (our seconds, the baseline's or the limit)."""
    rounds = list(rounds)
    slower = baseline.startswith("limit") or target.startswith("<=")
    ratios = [float(a / b if slower else b / a) for a, b in rounds]
    ours, other = (float(statistics.median(side)) for side in zip(*rounds, strict=True))
    return Timing(name, size, baseline, ours, other, statistics.median(ratios), (min(ratios), max(ratios)), target)


def fastest(candidates: Mapping[str, Work]) -> tuple[str, Work]:
    """Label and function of the fastest torch baseline, each tried with one thread and with all."""
    timed: dict[tuple[str, int], float] = {}
    for threads in sorted({1, max(torch.get_num_threads(), os.cpu_count() or 1)}):
        torch.set_num_threads(threads)
        for label, work in candidates.items():
            work()
            timed[label, threads] = min(elapsed(work) for _ in range(5))
    label, threads = min(timed, key=lambda key: timed[key])
    torch.set_num_threads(threads)
    return f"{label} ({threads} thread{'s' * (threads > 1)})", candidates[label]


def agree(name: str, ours: Array, other: Tensor, tolerance: float) -> None:
    """Raise `ArithmeticError` if the largest difference exceeds `tolerance`."""
    worst = float(np.abs(ours - other.numpy()).max())
    if not worst <= tolerance:
        raise ArithmeticError(
            f"{name} differs from its baseline by {worst:.3g}: expected at most {tolerance:g}; one of the two is "
            "wrong, do not trust their timings."
        )

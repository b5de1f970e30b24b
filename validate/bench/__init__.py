"""Speed of sampler, strategies, theory and training step, each as a ratio to a named baseline or limit.

Ours and the baseline are timed in turns on the same data, after a warm-up and, unless both draw at random, a check that
they agree; the ratio is the median over rounds, so that varying load on the machine affects both. A baseline with
several usual forms enters in the fastest, with one torch thread or all, whichever is faster.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import torch

from onset.theory import arguments
from onset.validate.bench import peer as released
from onset.validate.bench.measures import BENCHMARKS, SIZES
from onset.validate.bench.timing import Timing

__all__ = ["BENCHMARKS", "COLUMNS", "Timing", "machine", "run", "table_rows"]

Progress = Callable[[int, int, str], None]


def run(
    names: Sequence[str] = (), *, peer: Path | None = None, progress: Progress = lambda done, total, what: None
) -> list[Timing]:
    """Measure the benchmarks `names`, and the released code in the folder `peer`; by default all benchmarks.

    Parameters
    ----------
    names : sequence of str
        Keys of `BENCHMARKS`.
    peer : Path, optional
        A clone of the released code, see `onset.validate.bench.peer`.
    progress : callable
        Called with the number of measurements done, their total, and the next one.

    Raises
    ------
    ValueError
        If a name is unknown, or `peer` is no such clone.
    ArithmeticError
        If a result differs from its baseline's.
    """
    names = [arguments.one_of("benchmark", name, BENCHMARKS) for name in names]
    if not names and peer is None:
        names = list(BENCHMARKS)
    calls = [(name, measure, size) for name in names for measure, sizes in [BENCHMARKS[name]] for size in sizes]
    if peer is not None:
        calls.append(("released code", partial(released.timings, released.load(peer)), SIZES[0]))
    torch_threads, numba_threads = torch.get_num_threads(), numba.get_num_threads()
    timings: list[Timing] = []
    for done, (name, measure, size) in enumerate(calls):
        progress(done, len(calls), f"{name} at {', '.join(map(str, size))}")
        try:
            timings.extend(measure(*size))
        finally:
            torch.set_num_threads(torch_threads)
            numba.set_num_threads(numba_threads)
    progress(len(calls), len(calls), "")
    return timings


COLUMNS = ("what", "size", "ours", "baseline", "its", "ratio", "least to greatest", "target", "")
"""Heads of the columns of `table_rows`."""


def table_rows(benchmarks: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of a table of ``[timing.to_dict(), ...]``."""
    verdicts = {True: "met", False: "missed", None: ""}
    return [
        (
            row["name"],
            row["size"],
            _shown(row["seconds"], row["unit"]),
            row["baseline"],
            _shown(row["baseline_seconds"], row["unit"]),
            f"{row['ratio']:.3g}",
            "{:.3g} to {:.3g}".format(*row["spread"]),
            row["target"],
            verdicts[row["met"]],
        )
        for row in benchmarks
    ]


def _shown(value: float, unit: str) -> str:
    return f"{value / 1e6:.3g} MB" if unit == "B" else f"{value:.3g} s"


def machine() -> dict[str, Any]:
    """Processor, cores, threads and versions."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "numba threads": numba.get_num_threads(),
        "torch threads": torch.get_num_threads(),
        "python": platform.python_version(),
    } | {package: version(package) for package in ("numpy", "numba", "torch")}

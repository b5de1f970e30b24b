"""A mutant in a copy of the repository: changed, tested, restored."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome
from mutants import Mutant

__all__ = ["enter", "failing", "try_mutant"]

SLOWER = 5
"""How many times longer than recorded tests may take on a busy machine before a mutant counts as endless."""

STARTING = 120.0
"""Seconds for importing, compiling and collecting."""


PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider")


def enter(copies: Any) -> None:
    """Work in a copy of one's own, with compiled kernels of one's own."""
    copy = Path(copies.get())
    os.chdir(copy)
    os.environ |= {
        "PYTHONPATH": str(copy),
        "NUMBA_CACHE_DIR": str(copy.parent / "numba"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy.parent / "hypothesis"),
    }


def try_mutant(mutant: Mutant, tests: list[tuple[str, float]], limit: float) -> dict[str, Any]:
    """Outcome, the test that failed, how many tests were given and how many slower ones left out, and seconds.

    An endless loop counts as noticed.
    """
    start, spent, chosen = time.perf_counter(), 0.0, []
    for test, seconds in tests:
        spent += seconds
        if chosen and spent > limit:
            break
        chosen.append(test)
    outcome, by = "survived", None
    if chosen:
        path, compiled = Path(mutant.path), "numba" in Path(mutant.path).read_text(encoding="utf-8")
        before, kernels = path.stat(), os.environ["NUMBA_CACHE_DIR"]
        if compiled:
            # A kernel holds the code of those it calls, also from other files: all are compiled anew.
            os.environ["NUMBA_CACHE_DIR"] = f"{kernels}-mutant"
        spec = MutationSpec(path, mutant.operator, mutant.occurrence, (mutant.line, 0), (mutant.line, 1))
        command = shlex.join([*PYTEST, "-x", *chosen])
        result = mutate_and_test([spec], command, SLOWER * min(spent, limit) + STARTING)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # kernels compiled from it are still good
        if compiled:
            shutil.rmtree(os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)
            os.environ["NUMBA_CACHE_DIR"] = kernels
        if result.worker_outcome is not WorkerOutcome.NORMAL or result.test_outcome is TestOutcome.INCOMPETENT:
            raise RuntimeError(f"{mutant} could not be tried: {result.output}")
        if result.test_outcome is TestOutcome.KILLED:
            outcome, failed = "killed", _failed(result.output or "")
            by = failed[0] if failed else "no test: endless, or not even collected"
    left, seconds = len(tests) - len(chosen), round(time.perf_counter() - start, 1)
    return {"outcome": outcome, "by": by, "tests": len(chosen), "left": left, "seconds": seconds}


def failing(tests: list[str]) -> list[str]:
    """Those of `tests` that fail in the copy without any mutant: a control of what they found."""
    if not tests:
        return []
    done = subprocess.run([*PYTEST, *tests], check=False, capture_output=True, text=True)
    return _failed(done.stdout) if done.returncode else []


def _failed(output: str) -> list[str]:
    return re.findall(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", output, re.MULTILINE)

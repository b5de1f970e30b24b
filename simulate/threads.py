"""Threads of compiled kernels: as many as are fastest, measured while the work goes on.

Results do not depend on the number of threads, so the first turns of a piece of work are timed with one thread and with
all, and the rest take the faster. How fast threads are depends on the size of the work and on what else the machine
does; no rule that was tried saw both.

OpenMP's threads wait actively for their next work by default. On a machine whose cores share units that makes two
threads slower than one. So the pool is started with threads that sleep, unless the user's environment says otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import cache

import numba

__all__ = ["Threads", "start_pool"]

UNTIMED = 2
"""First turns with each number of threads, in which kernels are compiled and caches filled."""

TIMED = 4
"""Turns with each number of threads whose least time counts: what else runs only adds to it."""

WAITING = "OMP_WAIT_POLICY"
"""Variable that OpenMP reads when its pool is started."""

_fastest: dict[Hashable, int] = {}
"""Number of threads by kind of work, for this process."""


class Threads:
    """The number of threads of one kind of repeated work.

    Parameters
    ----------
    *kind : hashable
        Names work that takes about the same time: what is done, and its sizes.
    """

    def __init__(self, *kind: Hashable) -> None:
        self._kind = kind
        self._seconds: dict[int, list[float]] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Do the work inside once, with the number of threads whose turn it is."""
        start_pool()
        most = numba.get_num_threads()
        chosen = _fastest.get(self._kind)
        threads = self._next(most) if chosen is None else min(chosen, most)
        numba.set_num_threads(threads)
        started = time.perf_counter()
        try:
            yield
        finally:
            numba.set_num_threads(most)
        if chosen is None:
            self._seconds.setdefault(threads, []).append(time.perf_counter() - started)
            if self._next(most) == 0:
                _fastest[self._kind] = min(self._seconds, key=lambda n: min(self._seconds[n][UNTIMED:]))

    def _next(self, most: int) -> int:
        """One thread and all in turns; 0 when enough are timed."""
        turns = {threads: len(self._seconds.get(threads, ())) for threads in (1, most)}
        threads = min(turns, key=lambda n: turns[n])
        return 0 if turns[threads] == UNTIMED + TIMED else threads


@cache
def start_pool() -> None:
    """Start the pool of threads, once in a process, with threads that sleep while they wait.

    It sets the number of OpenMP's threads for all that runs in the process: another library that shares OpenMP, like
    torch, has to be told its own number afterwards.
    """
    before = os.environ.get(WAITING)
    os.environ.setdefault(WAITING, "PASSIVE")
    try:
        numba.get_num_threads()
    finally:
        if before is None:
            del os.environ[WAITING]

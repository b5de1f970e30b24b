"""One lock per job, released by the operating system when its holder ends, however it ends.

Locks are `flock`s on empty files below the folder of runs, so they hold between machines that share it. The files stay:
removing one that another process has just opened would let two processes hold the lock of one job.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["LOCKS", "locked"]

LOCKS = ".locks"
"""Folder of the lock files, below that of the runs."""


@contextmanager
def locked(folder: Path, name: str) -> Iterator[bool]:
    """Hold the lock of the job called `name`; yields False at once if another process holds it."""
    (folder / LOCKS).mkdir(exist_ok=True)
    lock = FileLock(folder / LOCKS / f"{name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()

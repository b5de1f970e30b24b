"""One lock per job, which the system lets go when its holder ends, however it ends.

Locks are `flock`s on empty files below the folder of runs, so that they hold between machines that share it. The files stay: to remove one that
another process has just opened would let two hold what they take for the same lock.
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
    """Hold the lock of the job called `name`; yields False, at once, if somebody else holds it."""
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

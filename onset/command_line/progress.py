"""Progress of long commands: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress", "watching"]

QUIET = 60.0
"""Seconds between two plain lines while nothing ends."""


@contextmanager
def progress(title: str, *, quiet: bool, estimate: bool = True) -> Iterator[Callable[..., None]]:
    """A bar on a terminal, plain lines elsewhere, nothing if `quiet`; call it with what is done, the total and what was done.

    With `estimate` the bar says how much time is left, supposing that all steps take as long.
    """
    if quiet:
        yield lambda done, total, what="": None
        return
    if not sys.stderr.isatty():
        yield (
            lambda done, total, what="": (
                print(f"{title}: {done}/{total} {what}", file=sys.stderr, flush=True) if what else None
            )
        )
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    if estimate:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(title, total=None)
        yield lambda done, total, what="": bar.update(shown, completed=done, total=total, description=what or title)


class Watcher:
    """Shows how far a computation is; `steps` shows the steps of one run instead."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance, self._live = advance, sys.stderr.isatty()
        self._told, self._by_steps = time.monotonic(), False

    def __call__(self, status: Any) -> None:
        now = time.monotonic()
        if (self._live and not self._by_steps) or status.last is not None or now - self._told > QUIET:
            self._told = now
            told = [status.last.label] if status.last is not None else []
            self._advance(status.done + status.failed, status.total, ", ".join(filter(None, [*told, status.words])))

    def steps(self, step: int, steps: int) -> None:
        self._by_steps = True
        if self._live:
            self._advance(step, steps)


@contextmanager
def watching(title: str, *, quiet: bool) -> Iterator[Watcher]:
    """Progress of `onset.validate.execution.compute`: each second on a terminal, elsewhere a line when a job has ended, and one a minute between."""
    with progress(title, quiet=quiet, estimate=False) as advance:
        yield Watcher(advance)

"""Progress of long commands: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress", "watching"]

INTERVAL = 60.0
"""Seconds between two plain lines while nothing ends."""


@contextmanager
def progress(title: str, *, quiet: bool, estimate: bool = True) -> Iterator[Callable[..., None]]:
    """A bar on a terminal, plain lines elsewhere, nothing if `quiet`; takes numbers done and in total, and a text.

    With `estimate` the bar shows the time left, if all steps take equally long.
    """
    if quiet:
        yield lambda done, total, what="": None
        return
    if not sys.stderr.isatty():
        shown = time.monotonic()

        def show(done: int, total: int, what: str = "") -> None:
            nonlocal shown
            if what or time.monotonic() - shown > INTERVAL:
                shown = time.monotonic()
                print(f"{title}: {done}/{total} {what}".rstrip(), file=sys.stderr, flush=True)

        yield show
        return
    from rich import progress as bars
    from rich.console import Console

    columns = [bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn()]
    columns += [bars.TimeElapsedColumn()] + ([bars.TimeRemainingColumn()] if estimate else [])
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(title, total=None)
        yield lambda done, total, what="": bar.update(row, completed=done, total=total, description=what or title)


class Watcher:
    """Display of a `Status`, or, by `steps`, of the steps of one run."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance, self._live = advance, sys.stderr.isatty()
        self._last_shown, self._by_steps = time.monotonic(), False

    def __call__(self, status: Any) -> None:
        now = time.monotonic()
        if (self._live and not self._by_steps) or status.last is not None or now - self._last_shown > INTERVAL:
            self._last_shown = now
            parts = ("" if status.last is None else status.last.label, status.summary)
            self._advance(status.done + status.failed, status.total, ", ".join(filter(None, parts)))

    def steps(self, step: int, steps: int) -> None:
        self._by_steps = True
        if self._live:
            self._advance(step, steps)


@contextmanager
def watching(title: str, *, quiet: bool) -> Iterator[Watcher]:
    """Progress of `onset.validate.execution.compute`: every second on a terminal, else a line per job or minute."""
    with progress(title, quiet=quiet, estimate=False) as advance:
        yield Watcher(advance)

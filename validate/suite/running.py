"""Computing what a suite lacks: its tasks, which of them come first, and how long the rest will take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence

from theory import arguments
from validate import claims
from validate.observed import BASIN, TRAIN, Task, compute, missing
from validate.runs import Store
from validate.suite.settings import METHODS, Case, cases

__all__ = ["KINDS", "Finished", "run_tasks", "seeds_of", "tasks"]

KINDS = (TRAIN, *reversed(METHODS), BASIN)
"""What can be computed of a suite by itself: training, each method, the basins."""

Finished = Callable[[Task, int, int, float | None], None]
"""Called with a task just done, tasks done, tasks in total and the seconds left, None while nothing can be said."""

SHARE = 0.35
"""Of the longest run, what a run takes as a rule before it is a quarter past its last transition."""

SECONDS_PER_TOKEN = 1e-4
"""Training: one step at T = 1 with three states. Only the ratio to other tasks matters, the machine's speed is measured."""

PER_PREDICTION = {"law": 1.0, "law-corrected": 8.0, "mean-field": 2.0, "mean-field-corrected": 8.0, BASIN: 3.0}
"""Seconds, in the same units."""


def seeds_of(case: Case, seeds: int | None) -> range:
    """The seeds of a case, or the first `seeds`."""
    return range(case.seeds if seeds is None else arguments.integer("seeds", seeds, least=1))


def tasks(chosen: Iterable[Case], *, seeds: int | None = None, kinds: Sequence[str] = ()) -> list[Task]:
    """All tasks of the cases, or those of the named kinds; the cheapest cases first, each with all that it needs."""
    wanted = [arguments.one_of("method", kind, KINDS) for kind in kinds] or KINDS
    groups = []
    for case in chosen:
        own = [Task(case.setting, TRAIN, seed) for seed in seeds_of(case, seeds)]
        own += [Task(*told) for told in case.predicted().values()]
        own += [Task(case.setting, BASIN)] if case.toy and case.setting.order == 2 else []
        groups.append([task for task in own if task.kind in wanted])
    groups.sort(key=lambda group: sum(map(cost, group)))
    return [task for group in groups for task in group]


def cost(task: Task) -> float:
    """About how many seconds a task takes, up to a factor common to all."""
    setting = task.setting
    if task.kind not in (TRAIN, "finite-context"):
        return PER_PREDICTION.get(task.kind, 1.0) * setting.context / 100
    steps = setting.steps if setting.family == "transformer" else SHARE * setting.steps
    heavier = (setting.order - 1) ** 2 * (setting.states / 3) ** 0.5
    return SECONDS_PER_TOKEN * steps * (setting.context + 10) * heavier


def run_tasks(
    name: str,
    store: Store,
    *,
    seeds: int | None = None,
    kinds: Sequence[str] = (),
    claimed: Sequence[str] = (),
    device: str = "auto",
    fresh: bool = False,
    workers: int | None = None,
    finished: Finished = lambda task, done, total, left: None,
) -> None:
    """Compute what `store` lacks of a suite; `validate.suite.collect` then tells what it found.

    Parameters
    ----------
    name : str
        Of `SUITES`.
    store : Store
    seeds : int, optional
        Trained models per setting; by default the suite's own.
    kinds : sequence of str
        Compute only these, of `KINDS`; by default all. What else the store holds enters the results as it is.
    claimed : sequence of str
        Compute only what these claims need, of `validate.claims.CLAIMS`.
    device : str
        Where models train.
    fresh : bool
        Compute even what the store holds.
    workers : int, optional
        Processes side by side; by default one per core.
    finished : callable
        Told of every task done.
    """
    wanted = [] if claimed else tasks(cases(name), seeds=seeds, kinds=kinds)
    if claimed or not kinds or TRAIN in kinds:
        wanted += claims.tasks(claims.chosen(claimed), name, seeds)
    todo = missing(wanted, store, fresh=fresh)
    total, spent, started = sum(map(cost, todo)), 0.0, time.monotonic()
    # The first result of each worker says little: it has waited for imports and compilation.
    quiet = (os.cpu_count() or 1) if workers is None else workers

    def tell(task: Task, done: int, count: int) -> None:
        nonlocal spent
        spent += cost(task)
        left = (time.monotonic() - started) * (total - spent) / spent if done > quiet else None
        finished(task, done, count, left)

    compute(todo, store, device=device, fresh=True, workers=workers, finished=tell)

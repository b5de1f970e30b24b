"""Seeing to it that a store holds jobs: they are handed out, tried again if their process dies, and those that fail are listed.

A job that another process holds is left to it; in the end its answer is waited for, and it is computed here if the other gave up.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from onset.theory.recording import Progress
from onset.validate.errors import ComputationStopped
from onset.validate.execution import failures
from onset.validate.execution.batched_seeds import LARGEST
from onset.validate.execution.failures import Failure
from onset.validate.execution.local import Executor, InProcess, Processes
from onset.validate.execution.locks import LOCKS
from onset.validate.execution.status import Status
from onset.validate.execution.worker import BUSY, COMPUTED, DIED, FOUND, UNWRITABLE, Answer, Assignment, Plan
from onset.validate.store.jobs import TRAIN, Job
from onset.validate.store.runs import Store

__all__ = ["TRIES", "Tally", "Watch", "compute", "drive", "missing"]

TRIES = 3
"""Times that a job is begun whose process dies."""

TICK = 1.0
"""Seconds between two looks at what runs."""

PAUSES = (0.5, 10.0)
"""Seconds, the shortest and the longest, between two attempts at what another process holds."""

Watch = Callable[[Status], None]
"""Called when a job has ended, and about once a second."""


@dataclass(frozen=True)
class Tally:
    """Jobs that were computed here, those that others finished meanwhile, and what failed."""

    computed: tuple[Job, ...] = ()
    found: tuple[Job, ...] = ()
    failed: tuple[Failure, ...] = ()

    def check(self) -> None:
        """Raise `ComputationStopped` with the first failure, if there is one."""
        for one in self.failed:
            raise ComputationStopped(
                f"{one.label} failed: {one.reason}; what was finished is kept, and the same command tries it again."
            )


def missing(jobs: Iterable[Job], store: Store, *, fresh: bool = False) -> list[Job]:
    """Of `jobs`, each once and in their order, those that `store` does not hold; with `fresh`, all, unless a newer release wrote one."""
    return [job for job in dict.fromkeys(jobs) if store.load(job.name) is None or fresh]


def compute(
    jobs: Sequence[Job],
    store: Store,
    *,
    device: str = "auto",
    fresh: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    together: bool | None = None,
    progress: Progress = lambda step, steps: None,
    watch: Watch = lambda status: None,
) -> Tally:
    """See to it that `store` holds every job.

    Parameters
    ----------
    jobs : sequence of Job
    store : Store
    device : str
        Where models train.
    fresh : bool
        Compute even what the store holds.
    workers : int, optional
        Processes side by side; by default one per core. One job, or one worker, runs in this process.
    scheduler : str, optional
        Address of a dask scheduler, to whose workers the jobs go instead.
    together : bool, optional
        Whether seeds of a setting train as one batched model; by default on devices other than the CPU, where a few measured steps are faster so.
    progress : callable
        Steps of a job that runs in this process.
    watch : callable

    Raises
    ------
    ValueError
        If the scheduler does not answer.
    ComputationStopped
        If the folder can no longer be written to, or the scheduler goes away.
    """
    todo = missing(jobs, store, fresh=fresh)
    if not todo:
        return Tally()
    (store.folder / LOCKS).mkdir(exist_ok=True)
    plan = Plan(str(store.folder.resolve()), device, fresh, together)
    if scheduler is not None:
        from onset.validate.execution.cluster import Cluster

        executor: Executor = Cluster(scheduler)
    else:
        workers = min(len(assignments(todo, plan)), (os.cpu_count() or 1) if workers is None else workers)
        executor = InProcess(progress) if workers <= 1 else Processes(workers)
    return drive(todo, plan, store, executor, watch)


def assignments(jobs: Sequence[Job], plan: Plan) -> list[Assignment]:
    """One for each job; seeds of a setting that may train together share one. In the order of their first jobs."""
    groups: dict[object, list[Job]] = defaultdict(list)
    shared = any(job.kind == TRAIN for job in jobs) and _may_share(plan)
    for job in jobs:
        group = groups[job.setting if shared and job.kind == TRAIN else job]
        group.append(job)
    return [
        Assignment(tuple(group[n : n + LARGEST]), plan)
        for group in groups.values()
        for n in range(0, len(group), LARGEST)
    ]


def _may_share(plan: Plan) -> bool:
    if plan.together is not None:
        return plan.together
    from onset.validate.training import resolve_device

    return plan.device in ("cuda", "mps") or resolve_device(plan.device).type != "cpu"


def drive(
    jobs: Sequence[Job],
    plan: Plan,
    store: Store,
    executor: Executor,
    watch: Watch = lambda status: None,
) -> Tally:
    """Hand out the jobs and listen until each has come to its end."""
    status = Status(jobs)
    waiting = deque(assignments(jobs, plan))
    elsewhere: list[Job] = []
    ended: dict[str, list[Job]] = {COMPUTED: [], FOUND: []}
    failed: list[Failure] = []
    deaths: Counter[Job] = Counter()
    news: deque[Job] = deque()
    pause, again, told = PAUSES[0], 0.0, 0.0

    def tell(last: Job | None = None) -> None:
        nonlocal told
        if last is None and time.monotonic() - told < TICK:
            return
        told = time.monotonic()
        status.last, status.elsewhere = last, len(elsewhere)
        status.count(executor.steps)
        status.workers = executor.workers
        watch(status)

    def heard(answer: Answer) -> None:
        job = answer.job
        deaths[job] += answer.end == DIED
        if answer.end == UNWRITABLE:
            raise ComputationStopped(_unwritable(answer.reason))
        if answer.end == BUSY:
            return elsewhere.append(job)
        if answer.end == DIED and deaths[job] < TRIES:
            return waiting.extend(assignments([job], plan))
        if answer.end in ended:
            ended[answer.end].append(job)
        else:
            reason = answer.reason + (f", {TRIES} times" if answer.end == DIED else "")
            failed.append(_kept(store, job, reason, answer.details))
        status.end(job, failed=answer.end not in ended)
        return news.append(job)

    def hand_out() -> None:
        while waiting and executor.free:
            status.running += 1
            executor.submit(waiting.popleft())

    with executor:
        while waiting or status.running or elsewhere:
            if elsewhere and not waiting and executor.free and time.monotonic() >= again:
                waiting.extend(assignments(elsewhere, plan))
                elsewhere.clear()
                again, pause = time.monotonic() + pause, min(2 * pause, PAUSES[1])
            hand_out()
            for answers in executor.wait(min(TICK, pause), tell):
                status.running -= 1
                for answer in answers:
                    heard(answer)
            # What is told of those that run counts those that took the places of what ended.
            hand_out()
            while news:
                tell(news.popleft())
            tell()
    return Tally(tuple(ended[COMPUTED]), tuple(ended[FOUND]), tuple(failed))


def _kept(store: Store, job: Job, reason: str, details: str) -> Failure:
    try:
        return failures.keep(store, job, reason, details)
    except ValueError as problem:
        raise ComputationStopped(_unwritable(f"{problem} and {job.label} failed ({reason})")) from problem


def _unwritable(reason: str) -> str:
    return f"output folder: {reason}; what was finished is kept: make room, or a folder that all machines can write to, and give the same command again."

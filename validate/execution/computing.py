"""Compute the jobs that a store lacks: hand them out, retry when a worker dies, list those that fail.

A job that another process computes is left to it. At the end its result is waited for; it is computed here if the other
gave up.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from onset.theory.recording import Progress
from onset.validate.errors import ComputationStopped
from onset.validate.execution import failures
from onset.validate.execution.batched_seeds import MOST_SEEDS
from onset.validate.execution.failures import Failure
from onset.validate.execution.local import Executor, InProcess, Processes
from onset.validate.execution.status import Status
from onset.validate.execution.worker import BUSY, COMPUTED, DIED, FOUND, LOCKS, UNWRITABLE, Answer, Assignment, Plan
from onset.validate.store.jobs import TRAIN, Job, finished
from onset.validate.store.runs import Store

__all__ = ["TRIES", "Tally", "Watch", "compute", "drive", "missing"]

TRIES = 3
"""Attempts at a job whose process dies."""

TICK = 1.0
"""Seconds between two calls of `Watch` while no job ends."""

PAUSES = (0.5, 10.0)
"""Shortest and longest time in seconds between two attempts at a job that another process holds."""

Watch = Callable[[Status], None]
"""Called when a job has ended, and about once a second."""


@dataclass(frozen=True)
class Tally:
    """Jobs that were computed here, those that other processes finished meanwhile, and failures."""

    computed: tuple[Job, ...] = ()
    by_others: tuple[Job, ...] = ()
    failed: tuple[Failure, ...] = ()

    def check(self) -> None:
        """Raise `ComputationStopped` with the first failure, if there is one."""
        for failure in self.failed:
            raise ComputationStopped(
                f"{failure.label} failed: {failure.reason}; what was finished is kept, "
                "and the same command tries it again."
            )


def missing(jobs: Iterable[Job], store: Store, *, fresh: bool = False) -> list[Job]:
    """Those of `jobs` that `store` lacks, each once, in order; with `fresh` all, unless a newer release wrote one."""
    return [job for job in dict.fromkeys(jobs) if not finished(job, store) or fresh]


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
    """Compute those of `jobs` that `store` lacks, and store them.

    Parameters
    ----------
    jobs : sequence of Job
    store : Store
    device : str
        Where models train.
    fresh : bool
        Compute even what the store holds.
    workers : int, optional
        Processes side by side; by default one per core. A single job, or a single worker, runs in this process.
    scheduler : str, optional
        Address of a dask scheduler; its workers compute the jobs instead.
    together : bool, optional
        Whether seeds of a setting train as one batched model; by default where a measurement of a few steps says that
        this is faster, never on a CPU.
    progress : callable
        Called with the steps of a job that runs in this process.
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
    """One assignment per job, in the order of `jobs`; seeds of a setting that may train together share one."""
    groups: dict[object, list[Job]] = defaultdict(list)
    shared = any(job.kind == TRAIN for job in jobs) and _may_share(plan)
    for job in jobs:
        groups[job.subject if shared and job.kind == TRAIN else job].append(job)
    return [Assignment(part, plan) for group in groups.values() for part in _parts(tuple(group), MOST_SEEDS)]


def _parts(jobs: tuple[Job, ...], size: int) -> Iterator[tuple[Job, ...]]:
    for n in range(0, len(jobs), size):
        yield jobs[n : n + size]


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
    """Hand out the jobs and collect the answers until each has ended."""
    status = Status(jobs)
    waiting = deque(assignments(jobs, plan))
    elsewhere: list[Job] = []
    ended: dict[str, list[Job]] = {COMPUTED: [], FOUND: []}
    failed: list[Failure] = []
    deaths: Counter[Job] = Counter()
    pause, next_attempt, last_report = PAUSES[0], 0.0, 0.0

    def report(last: Job | None = None) -> None:
        nonlocal last_report
        if last is None and time.monotonic() - last_report < TICK:
            return
        last_report = time.monotonic()
        status.last, status.elsewhere, status.workers = last, len(elsewhere), executor.workers
        status.count(executor.steps)
        watch(status)

    def hand_out() -> None:
        while waiting and executor.free:
            status.running += 1
            executor.submit(waiting.popleft())

    def ends(answer: Answer) -> bool:
        """Take in an answer; whether the job has ended."""
        job = answer.job
        if answer.end == UNWRITABLE:
            raise ComputationStopped(_unwritable(answer.reason))
        if answer.end == BUSY:
            elsewhere.append(job)
            return False
        deaths[job] += answer.end == DIED
        if answer.end == DIED and deaths[job] < TRIES:
            waiting.extend(assignments([job], plan))
            return False
        if answer.end in ended:
            ended[answer.end].append(job)
        else:
            reason = answer.reason + (f", {TRIES} times" if answer.end == DIED else "")
            failed.append(_recorded(store, job, reason, answer.details))
        status.end(job, failed=answer.end not in ended)
        return True

    with executor:
        while waiting or status.running or elsewhere:
            if elsewhere and not waiting and executor.free and time.monotonic() >= next_attempt:
                waiting.extend(assignments(elsewhere, plan))
                elsewhere.clear()
                next_attempt, pause = time.monotonic() + pause, min(2 * pause, PAUSES[1])
            hand_out()
            answers = executor.wait(min(TICK, pause), report)
            status.running -= len(answers)
            news = [answer.job for ended_together in answers for answer in ended_together if ends(answer)]
            hand_out()  # before the report, so that it counts what has taken the free places
            for job in news:
                report(job)
            report()
    return Tally(tuple(ended[COMPUTED]), tuple(ended[FOUND]), tuple(failed))


def _recorded(store: Store, job: Job, reason: str, details: str) -> Failure:
    try:
        return failures.keep(store, job, reason, details)
    except ValueError as problem:
        raise ComputationStopped(_unwritable(f"{problem} and {job.label} failed ({reason})")) from problem


def _unwritable(reason: str) -> str:
    return (
        f"output folder: {reason}; what was finished is kept: make room, "
        "or give a folder that all machines can write to, and give the same command again."
    )

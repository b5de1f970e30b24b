"""Work on an assignment: lock its jobs, leave out those of others and finished ones, compute and store the rest.

`carry_out` answers how each job ended; it raises only what ends a process. An executor brings assignments to workers.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS, ESTALE
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from onset.simulate.predict import predict
from onset.theory.costs import TooCostly
from onset.theory.recording import Progress, Trajectory
from onset.validate.store.jobs import BASIN, TRAIN, Job, curves_and_notes, finished, source_of
from onset.validate.store.measurements import Measurement
from onset.validate.store.provenance import provenance
from onset.validate.store.public_models import PublicModel
from onset.validate.store.runs import Record, Store

__all__ = [
    "BUSY",
    "COMPUTED",
    "DIED",
    "FAILED",
    "FOUND",
    "LOCKS",
    "UNWRITABLE",
    "Answer",
    "Assignment",
    "Plan",
    "carry_out",
    "locked",
]

COMPUTED, FOUND, BUSY, FAILED, DIED, UNWRITABLE = "computed", "found", "busy", "failed", "died", "unwritable"
"""How a job ended: computed here; finished meanwhile by another process; being computed by another process; failed; its
process died; the folder cannot be written to.
"""

LOCKS = ".locks"
"""Folder of the lock files, one for each job, below that of the runs."""

STORAGE_ERRORS = (ENOSPC, EDQUOT, EROFS, EACCES, EPERM, EFBIG, EIO, ESTALE)
"""Errors of the folder rather than the job. Libraries that write files wrap them, but keep the system's message."""


@dataclass(frozen=True)
class Plan:
    """Where results go and how they are computed, as in `onset.validate.execution.compute`."""

    folder: str
    device: str = "auto"
    fresh: bool = False
    together: bool | None = None


@dataclass(frozen=True)
class Assignment:
    """Jobs for one worker: one, or the training of several seeds of one setting."""

    jobs: tuple[Job, ...]
    plan: Plan


class Answer(NamedTuple):
    """How a job ended, with the reason and the traceback if it failed."""

    job: Job
    end: str
    reason: str = ""
    details: str = ""


def carry_out(assignment: Assignment, progress: Progress = lambda step, steps: None) -> list[Answer]:
    """Compute the jobs that no other process computes or has computed; one answer per job, in any order."""
    answers: list[Answer] = []
    with ExitStack() as locks:
        todo: list[Job] = []
        try:
            store = Store(assignment.plan.folder)
            for job in assignment.jobs:
                if not locks.enter_context(locked(store.folder, job.name)):
                    answers.append(Answer(job, BUSY))
                elif not assignment.plan.fresh and finished(job, store):
                    answers.append(Answer(job, FOUND))
                elif (problem := _without_source(job, assignment.plan, progress)) is not None:
                    answers.append(problem)
                else:
                    todo.append(job)
                    _remove_partial(store.folder, job.name)
            for job, record in _records(todo, assignment, progress):
                store.save(job.name, record)
                answers.append(Answer(job, COMPUTED))
        except Exception as problem:  # an error of one job ends that job, not the sweep
            end, reason = _classified(problem, assignment.plan.folder)
            answered = {answer.job for answer in answers}
            details = "".join(traceback.format_exception(problem))
            answers += [Answer(job, end, reason, details) for job in assignment.jobs if job not in answered]
    return answers


def _without_source(job: Job, plan: Plan, progress: Progress) -> Answer | None:
    """Why a job has to wait for the run that it measures, or fails with it; a run that nobody computes is computed."""
    if job.source is None:
        return None
    (answer,) = carry_out(Assignment((job.source,), replace(plan, fresh=False)), progress)
    return None if answer.end in (COMPUTED, FOUND) else answer._replace(job=job)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[bool]:
    """Hold the lock of the job called `name`; yields False at once if another process holds it.

    Locks are `flock`s on empty files, so they hold between machines that share the folder, and the operating system
    releases them when their holder ends, however it ends. The files stay: removing one that another process has just
    opened would let two processes hold the lock of one job.
    """
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


def _remove_partial(folder: Path, name: str) -> None:
    """Remove files that a killed process left half-written. Listing the folder also refreshes a network file system."""
    for partial in folder.glob(f".{name}.*.part"):
        partial.unlink(missing_ok=True)


def _classified(problem: Exception, folder: str) -> tuple[str, str]:
    """How a job that raised `problem` ended, and the reason."""
    text = str(problem)
    for code in STORAGE_ERRORS:
        if getattr(problem, "errno", None) == code or os.strerror(code) in text:
            return UNWRITABLE, f"{getattr(problem, 'filename', None) or folder} cannot be written ({os.strerror(code)})"
    return FAILED, f"{type(problem).__name__}: {' '.join(text.split())}"


def _records(
    jobs: Sequence[Job], assignment: Assignment, progress: Progress
) -> Iterator[tuple[Job, Record | Measurement]]:
    """Compute jobs one by one. The caller stores each before it asks for the next; then its checkpoint is removed."""
    if jobs and jobs[0].measures:
        yield from _measurements(jobs, assignment, progress)
        return
    if not jobs or jobs[0].kind != TRAIN:
        for job in jobs:
            started, origin = time.perf_counter(), provenance()
            try:
                trajectories, notes = _basin(job) if job.kind == BASIN else _prediction(job)
            except TooCostly:  # no answer to keep
                raise
            except ValueError as problem:
                trajectories, notes = (), {"refused": str(problem)}
            yield job, _record(job, trajectories, origin | notes, started)
        return
    from onset.validate.execution.batched_seeds import pays
    from onset.validate.training import resolve_device, train_together

    setting, device = jobs[0].setting, resolve_device(assignment.plan.device)
    together = pays(setting, len(jobs), device) if assignment.plan.together is None else assignment.plan.together
    for group in [jobs] if together else [[job] for job in jobs]:
        started, origin = time.perf_counter(), provenance() | {"device": str(device), "together": len(group)}
        checkpoint = _checkpoint(group, assignment.plan.folder)
        _remove_partial(checkpoint.parent, checkpoint.stem)
        seeds = [job.seed for job in group]
        trajectories = train_together(setting, seeds, device=device, progress=progress, checkpoint=checkpoint)
        for job, trajectory in zip(group, trajectories, strict=True):
            yield job, _record(job, (trajectory,), origin, started)
        checkpoint.unlink(missing_ok=True)


def _measurements(jobs: Sequence[Job], assignment: Assignment, progress: Progress) -> Iterator[tuple[Job, Measurement]]:
    from onset.validate.measures import measure, measure_run

    for job in jobs:
        started, origin = time.perf_counter(), provenance()
        if isinstance(job.subject, PublicModel):
            numbers = measure(job.subject, job.kind, job.seed, device=assignment.plan.device, progress=progress)
        else:
            numbers = measure_run(source_of(job, Store(assignment.plan.folder)), job.kind)
        yield job, Measurement(job.subject, numbers, origin | _timed(job, started))


def _timed(job: Job, started: float) -> dict[str, Any]:
    return {"kind": job.kind, "seed": job.seed, "seconds": time.perf_counter() - started}


def _record(job: Job, trajectories: tuple[Trajectory, ...], notes: dict[str, Any], started: float) -> Record:
    """The stored result of a job; each of the seeds that trained together took all the time."""
    return Record(job.setting, trajectories, notes | _timed(job, started))


def _prediction(job: Job) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    return curves_and_notes(predict(job.setting, job.kind, seed=job.seed))


def _basin(job: Job) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    from onset.theory.laws.basins import escapes

    basin = escapes(job.setting, seed=job.seed)
    return (), {"basin": asdict(basin) | {"drives": basin.drives.tolist()}}


def _checkpoint(jobs: Sequence[Job], folder: str) -> Path:
    """File of the state of training, one for all seeds that train together."""
    seeds = "+".join(str(job.seed) for job in jobs)
    return Path(folder) / f"{jobs[0].setting.id}-{jobs[0].kind}-{seeds}.safetensors"

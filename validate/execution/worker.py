"""What a worker does: it locks its jobs, leaves out what others hold or have finished, computes the rest and writes it down.

An assignment says how each of its jobs ended and raises nothing but what ends a process. So an executor only has to bring assignments to workers.
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from onset.simulate.predict import predict
from onset.theory.laws.basins import escapes
from onset.theory.recording import Progress, Trajectory
from onset.validate.execution import failures
from onset.validate.execution.locks import locked
from onset.validate.store.jobs import BASIN, TRAIN, Job
from onset.validate.store.provenance import provenance
from onset.validate.store.runs import Record, Store

__all__ = ["BUSY", "COMPUTED", "DIED", "FAILED", "FOUND", "UNWRITABLE", "Answer", "Assignment", "Plan", "carry_out"]

COMPUTED, FOUND, BUSY, FAILED, DIED, UNWRITABLE = "computed", "found", "busy", "failed", "died", "unwritable"
"""How a job ended: computed here; finished by somebody else meanwhile; being computed by somebody else; failed for a reason of its own;
its process died; the folder cannot be written to."""

OF_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.ESTALE)
"""Errors of the folder, not of the job. Libraries that write files wrap them, but keep the system's words."""


@dataclass(frozen=True)
class Plan:
    """Where the answers go and how they are computed, as in `compute`."""

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
    """Compute the jobs of `assignment` that nobody else computes or has computed; one answer for each job, in any order."""
    answers: list[Answer] = []
    with ExitStack() as locks:
        mine: list[Job] = []
        try:
            store = Store(assignment.plan.folder)
            for job in assignment.jobs:
                if not locks.enter_context(locked(store.folder, job.name)):
                    answers.append(Answer(job, BUSY))
                elif not assignment.plan.fresh and store.load(job.name) is not None:
                    answers.append(Answer(job, FOUND))
                else:
                    mine.append(job)
                    _tidy(store.folder, job.name)
            for job, record in _records(mine, assignment, progress):
                store.save(job.name, record)
                failures.clear(store, job)
                answers.append(Answer(job, COMPUTED))
        except Exception as problem:  # whatever a job raises is that job's end, not the sweep's
            end, reason = _judged(problem, assignment.plan.folder)
            told = {answer.job for answer in answers}
            details = "".join(traceback.format_exception(problem))
            answers += [Answer(job, end, reason, details) for job in assignment.jobs if job not in told]
    return answers


def _tidy(folder: Path, name: str) -> None:
    """Remove what a killed process left half-written. To list the folder also makes a network file system look at it afresh."""
    for left in folder.glob(f".{name}.*.part"):
        left.unlink(missing_ok=True)


def _judged(problem: Exception, folder: str) -> tuple[str, str]:
    text = str(problem)
    for code in OF_STORAGE:
        if getattr(problem, "errno", None) == code or os.strerror(code) in text:
            return UNWRITABLE, f"{getattr(problem, 'filename', None) or folder} cannot be written ({os.strerror(code)})"
    return FAILED, f"{type(problem).__name__}: {' '.join(text.split())}"


def _records(jobs: Sequence[Job], assignment: Assignment, progress: Progress) -> Iterator[tuple[Job, Record]]:
    """Compute the jobs; what comes back is written before the next is asked for, and only then is a checkpoint removed."""
    if not jobs or jobs[0].kind != TRAIN:
        for job in jobs:
            started, made = time.perf_counter(), provenance()
            try:
                trajectories, notes = _basin(job) if job.kind == BASIN else _prediction(job)
            except ValueError as problem:
                trajectories, notes = (), {"refused": str(problem)}
            yield job, _record(job, trajectories, made | notes, started)
        return
    from onset.validate.execution.batched_seeds import pays
    from onset.validate.training import resolve_device, train_together

    setting, device = jobs[0].setting, resolve_device(assignment.plan.device)
    together = pays(setting, len(jobs), device) if assignment.plan.together is None else assignment.plan.together
    for group in [jobs] if together else [[job] for job in jobs]:
        started, made = time.perf_counter(), provenance()
        kept = _checkpoint(group, assignment.plan.folder)
        _tidy(kept.parent, kept.stem)
        seeds = [job.seed for job in group]
        found = train_together(setting, seeds, device=device, progress=progress, checkpoint=kept)
        for job, trajectory in zip(group, found, strict=True):
            yield job, _record(job, (trajectory,), made | {"device": str(device), "together": len(group)}, started)
        kept.unlink(missing_ok=True)


def _record(job: Job, trajectories: tuple[Trajectory, ...], notes: dict[str, Any], started: float) -> Record:
    """What is kept of a job; seeds that trained together each took the whole time."""
    notes |= {"kind": job.kind, "seed": job.seed, "seconds": time.perf_counter() - started}
    return Record(job.setting, trajectories, notes)


def _prediction(job: Job) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    found = predict(job.setting, job.kind, seed=job.seed)
    notes = {name: getattr(found, name) for name in ("plateaus", "assumptions", "validity", "bounds")}
    return found.trajectories, notes


def _basin(job: Job) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    found = escapes(job.setting, seed=job.seed)
    return (), {"basin": asdict(found) | {"drives": found.drives.tolist()}}


def _checkpoint(jobs: Sequence[Job], folder: str) -> Path:
    """Where the state of training is kept: one file for all seeds that train together."""
    first = jobs[0]
    return Path(folder) / f"{first.setting.id}-{first.kind}-{'+'.join(str(job.seed) for job in jobs)}.safetensors"

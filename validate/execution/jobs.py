"""What a worker does: it locks its tasks, leaves out what others hold or have finished, computes the rest and writes it down.

A job says how each of its tasks ended and raises nothing but what ends a process. So an executor only has to bring jobs to workers.
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
from onset.theory.dynamics import Progress, Trajectory
from onset.theory.laws.basins import escapes
from onset.validate.execution import failures
from onset.validate.execution.locks import locked
from onset.validate.observed import BASIN, TRAIN, Task
from onset.validate.provenance import provenance
from onset.validate.runs import Record, Store

__all__ = ["BUSY", "COMPUTED", "DIED", "FAILED", "FOUND", "UNWRITABLE", "Answer", "Job", "Plan", "carry_out"]

COMPUTED, FOUND, BUSY, FAILED, DIED, UNWRITABLE = "computed", "found", "busy", "failed", "died", "unwritable"
"""How a task ended: computed here; finished by somebody else meanwhile; being computed by somebody else; failed for a reason of its own;
its process died; the folder cannot be written to."""

OF_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.ESTALE)
"""Errors of the folder, not of the task. Libraries that write files wrap them, but keep the system's words."""


@dataclass(frozen=True)
class Plan:
    """Where the answers go and how they are computed, as in `compute`."""

    folder: str
    device: str = "auto"
    fresh: bool = False
    together: bool | None = None


@dataclass(frozen=True)
class Job:
    """Tasks for one worker: one, or the training of several seeds of one setting."""

    tasks: tuple[Task, ...]
    plan: Plan


class Answer(NamedTuple):
    """How a task ended, with the reason and the traceback if it failed."""

    task: Task
    end: str
    reason: str = ""
    details: str = ""


def carry_out(job: Job, progress: Progress = lambda step, steps: None) -> list[Answer]:
    """Compute the tasks of `job` that nobody else computes or has computed; one answer for each task, in any order."""
    answers: list[Answer] = []
    with ExitStack() as locks:
        mine: list[Task] = []
        try:
            store = Store(job.plan.folder)
            for task in job.tasks:
                if not locks.enter_context(locked(store.folder, task.name)):
                    answers.append(Answer(task, BUSY))
                elif not job.plan.fresh and store.load(task.name) is not None:
                    answers.append(Answer(task, FOUND))
                else:
                    mine.append(task)
                    _tidy(store.folder, task.name)
            for task, record in _records(mine, job, progress):
                store.save(task.name, record)
                failures.clear(store, task)
                answers.append(Answer(task, COMPUTED))
        except Exception as problem:  # whatever a task raises is that task's end, not the sweep's
            end, reason = _judged(problem, job.plan.folder)
            told = {answer.task for answer in answers}
            details = "".join(traceback.format_exception(problem))
            answers += [Answer(task, end, reason, details) for task in job.tasks if task not in told]
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


def _records(tasks: Sequence[Task], job: Job, progress: Progress) -> Iterator[tuple[Task, Record]]:
    """Compute the tasks; what comes back is written before the next is asked for, and only then is a checkpoint removed."""
    if not tasks or tasks[0].kind != TRAIN:
        for task in tasks:
            started, made = time.perf_counter(), provenance()
            try:
                trajectories, notes = _basin(task) if task.kind == BASIN else _prediction(task)
            except ValueError as problem:
                trajectories, notes = (), {"refused": str(problem)}
            yield task, _record(task, trajectories, made | notes, started)
        return
    from onset.validate.execution.together import pays
    from onset.validate.training import resolve_device, train_together

    setting, device = tasks[0].setting, resolve_device(job.plan.device)
    together = pays(setting, len(tasks), device) if job.plan.together is None else job.plan.together
    for group in [tasks] if together else [[task] for task in tasks]:
        started, made = time.perf_counter(), provenance()
        kept = _checkpoint(group, job.plan.folder)
        _tidy(kept.parent, kept.stem)
        seeds = [task.seed for task in group]
        found = train_together(setting, seeds, device=device, progress=progress, checkpoint=kept)
        for task, trajectory in zip(group, found, strict=True):
            yield task, _record(task, (trajectory,), made | {"device": str(device), "together": len(group)}, started)
        kept.unlink(missing_ok=True)


def _record(task: Task, trajectories: tuple[Trajectory, ...], notes: dict[str, Any], started: float) -> Record:
    """What is kept of a task; seeds that trained together each took the whole time."""
    notes |= {"kind": task.kind, "seed": task.seed, "seconds": time.perf_counter() - started}
    return Record(task.setting, trajectories, notes)


def _prediction(task: Task) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    found = predict(task.setting, task.kind, seed=task.seed)
    notes = {name: getattr(found, name) for name in ("plateaus", "assumptions", "validity", "bounds")}
    return found.trajectories, notes


def _basin(task: Task) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    found = escapes(task.setting, seed=task.seed)
    return (), {"basin": asdict(found) | {"drives": found.drives.tolist()}}


def _checkpoint(tasks: Sequence[Task], folder: str) -> Path:
    """Where the state of training is kept: one file for all seeds that train together."""
    first = tasks[0]
    return Path(folder) / f"{first.setting.id}-{first.kind}-{'+'.join(str(task.seed) for task in tasks)}.safetensors"

"""Observations and predictions of settings, computed once and kept in a store.

A `Task` is one training run, one prediction or one look at the basins. Tasks run side by side in processes of one thread each; each
writes its own file, so a killed call loses only what was not finished. That a theory does not answer for a setting is kept like an answer.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulate.predict import predict
from theory.dynamics import Progress, Trajectory, combined
from theory.expectations import Expectation
from theory.laws.basins import Basin, escapes
from theory.predict import Prediction
from theory.setting import Setting
from theory.transitions import FORMATION_LEVEL, ReadOff, Transition
from validate.provenance import provenance
from validate.runs import Record, Store

__all__ = [
    "BASIN",
    "TRAIN",
    "Observation",
    "Refused",
    "Task",
    "basin",
    "compute",
    "missing",
    "observation",
    "prediction",
]

TRAIN = "train"
BASIN = "basin"


class Refused(ValueError):
    """A theory does not answer for a setting; the message is its reason."""


@dataclass(frozen=True)
class Task:
    """Train `setting` from `seed`, say which basin it leads to, or predict it by the method that `kind` names."""

    setting: Setting
    kind: str
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.setting.id}-{self.kind}-{self.seed}"

    @property
    def label(self) -> str:
        return f"{self.setting.label} · {self.kind}" + (f" seed {self.seed}" if self.kind == TRAIN else "")


@dataclass(frozen=True)
class Observation(ReadOff):
    """Trained runs of one setting, one trajectory per seed."""

    setting: Setting
    seeds: tuple[int, ...]
    trajectories: tuple[Trajectory, ...]
    notes: tuple[dict[str, Any], ...]

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        """Means and bootstrap intervals over seeds."""
        return combined(self.trajectories, level)

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        passages, formations = self.read(level)
        each = [one.read(level) for one in self.trajectories]
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "method": "training",
            "seeds": list(self.seeds),
            "transitions": [t.to_dict() for t in passages],
            "formations": [t.to_dict() | {"level": level} for t in formations],
            "runs": [
                {
                    "seed": seed,
                    "transitions": [t.to_dict() for t in own],
                    "formations": [t.to_dict() for t in formed],
                    "last_step": float(one.steps[-1]),
                    "final_loss": float(one.loss[-1]),
                    "diverged": one.diverged,
                }
                for seed, one, (own, formed) in zip(self.seeds, self.trajectories, each, strict=True)
            ],
        }


def compute(
    tasks: Sequence[Task],
    store: Store,
    *,
    device: str = "auto",
    fresh: bool = False,
    workers: int | None = None,
    progress: Progress = lambda step, steps: None,
    finished: Callable[[Task, int, int], None] = lambda task, done, total: None,
) -> None:
    """See to it that `store` holds every task.

    Parameters
    ----------
    tasks : sequence of Task
    store : Store
    device : str
        Where models train.
    fresh : bool
        Compute even what the store holds.
    workers : int, optional
        Processes side by side; by default one per core. One task, or one worker, runs in this process.
    progress : callable
        Steps of a task that runs in this process.
    finished : callable
        Called after each task with the task, tasks done and tasks in total.
    """
    todo = missing(tasks, store, fresh=fresh)
    workers = min(len(todo), (os.cpu_count() or 1) if workers is None else workers)
    if workers <= 1:
        for done, task in enumerate(todo):
            _run(task, str(store.folder), device, progress)
            finished(task, done + 1, len(todo))
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        running = {pool.submit(_run, task, str(store.folder), device): task for task in todo}
        try:
            for done, future in enumerate(as_completed(running)):
                future.result()
                finished(running[future], done + 1, len(todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def missing(tasks: Sequence[Task], store: Store, *, fresh: bool = False) -> list[Task]:
    """Of `tasks`, each once and in their order, those that `store` does not hold; with `fresh`, all, unless a newer release wrote one."""
    return [task for task in dict.fromkeys(tasks) if store.load(task.name) is None or fresh]


def _one_thread() -> None:
    import numba

    numba.set_num_threads(1)


def _run(task: Task, folder: str, device: str, progress: Progress = lambda step, steps: None) -> None:
    started, made = time.perf_counter(), provenance()
    trajectories: tuple[Trajectory, ...] = ()
    if task.kind == TRAIN:
        from validate.training import resolve_device, train

        on, kept = resolve_device(device), Path(folder) / f"{task.name}.safetensors"
        trajectories = (train(task.setting, task.seed, device=on, progress=progress, checkpoint=kept),)
        notes: dict[str, Any] = {"device": str(on)}
    else:
        try:
            trajectories, notes = _basin(task) if task.kind == BASIN else _prediction(task, progress)
        except ValueError as problem:
            notes = {"refused": str(problem)}
    notes |= made | {"kind": task.kind, "seed": task.seed, "seconds": time.perf_counter() - started}
    Store(folder).save(task.name, Record(task.setting, trajectories, notes))


def _prediction(task: Task, progress: Progress) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    found = predict(task.setting, task.kind, seed=task.seed, progress=progress)
    notes = {name: getattr(found, name) for name in ("plateaus", "assumptions", "validity", "bounds")}
    return found.trajectories, notes


def _basin(task: Task) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    found = escapes(task.setting, seed=task.seed)
    return (), {"basin": asdict(found) | {"drives": found.drives.tolist()}}


def observation(setting: Setting, seeds: Sequence[int], store: Store) -> Observation:
    """The trained runs of `setting` that `store` holds for `seeds`."""
    found = [_held(store, Task(setting, TRAIN, seed)) for seed in seeds]
    return Observation(setting, tuple(seeds), tuple(r.trajectories[0] for r in found), tuple(r.notes for r in found))


def prediction(setting: Setting, method: str, store: Store) -> Prediction:
    """The prediction of `setting` by `method` that `store` holds.

    Raises
    ------
    Refused
        If the method does not answer for this setting.
    ValueError
        If the store does not hold it.
    """
    record = _answered(store, Task(setting, method))
    plateaus = {name: Expectation(*pair) for name, pair in record.notes["plateaus"].items()}
    return Prediction(
        setting,
        method,
        record.trajectories,
        plateaus,
        tuple(record.notes["assumptions"]),
        tuple(record.notes["validity"]),
        record.notes.get("bounds", False),
    )


def basin(setting: Setting, store: Store) -> Basin:
    """The basin of `setting` that `store` holds; raises as `prediction` does."""
    found = _answered(store, Task(setting, BASIN)).notes["basin"]
    return Basin(**(found | {"drives": np.array(found["drives"]), "lags": tuple(found["lags"])}))


def _answered(store: Store, task: Task) -> Record:
    record = _held(store, task)
    if "refused" in record.notes:
        raise Refused(record.notes["refused"])
    return record


def _held(store: Store, task: Task) -> Record:
    record = store.load(task.name)
    if record is None:
        raise ValueError(
            f"store {store.folder} has no finished run {task.name} ({task.label}): compute it first, for instance with onset validate."
        )
    return record

"""Observations and predictions of settings, as a store holds them.

A `Job` is one training run, one prediction or one look at the basins; `onset.validate.execution` computes it, once, into a file of its own. That a
theory does not answer for a setting is kept like an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onset.simulate.predict import METHODS
from onset.theory.expectation import Expectation
from onset.theory.laws.basins import Basin
from onset.theory.prediction import Prediction
from onset.theory.recording import Trajectory, combined
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource
from onset.validate.store.runs import Record, Store

__all__ = [
    "BASIN",
    "KINDS",
    "TRAIN",
    "Job",
    "Observation",
    "Refused",
    "basin",
    "observation",
    "prediction",
]

TRAIN = "train"
BASIN = "basin"

KINDS = (TRAIN, *reversed(METHODS), BASIN)
"""Kinds of jobs: training, each method of prediction, the basins."""


class Refused(ValueError):
    """A theory does not answer for a setting; the message is its reason."""


@dataclass(frozen=True)
class Job:
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
class Observation(TransitionSource):
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


def observation(setting: Setting, seeds: Sequence[int], store: Store) -> Observation:
    """The trained runs of `setting` that `store` holds for `seeds`."""
    found = [_held(store, Job(setting, TRAIN, seed)) for seed in seeds]
    return Observation(setting, tuple(seeds), tuple(r.trajectories[0] for r in found), tuple(r.notes for r in found))


def prediction(setting: Setting, method: str, store: Store, seed: int = 0) -> Prediction:
    """The prediction of `setting` by `method` from `seed` that `store` holds.

    Raises
    ------
    Refused
        If the method does not answer for this setting.
    ValueError
        If the store does not hold it.
    """
    record = _answered(store, Job(setting, method, seed))
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
    found = _answered(store, Job(setting, BASIN)).notes["basin"]
    return Basin(**(found | {"drives": np.array(found["drives"]), "lags": tuple(found["lags"])}))


def _answered(store: Store, job: Job) -> Record:
    record = _held(store, job)
    if "refused" in record.notes:
        raise Refused(record.notes["refused"])
    return record


def _held(store: Store, job: Job) -> Record:
    record = store.load(job.name)
    if record is None:
        raise ValueError(
            f"store {store.folder} has no finished run {job.name} ({job.label}): compute it first, for instance with onset validate."
        )
    return record

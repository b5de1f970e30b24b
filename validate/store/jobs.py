"""Jobs, and what a store holds of them: trained runs, predictions and basins of a setting.

A `Job` is one training run, one prediction or one look at the basins; `onset.validate.execution` computes each once,
into a file of its own. That a theory does not answer for a setting is stored like an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onset.simulate.predict import METHODS
from onset.theory.estimates import RelativeError
from onset.theory.expectation import Expectation
from onset.theory.plain_data import plain
from onset.theory.prediction import Prediction
from onset.theory.recording import Trajectory, combined
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource
from onset.validate.store.runs import Record, Store

if TYPE_CHECKING:
    from onset.theory.laws.basins import Basin

__all__ = [
    "BASIN",
    "KINDS",
    "TRAIN",
    "Job",
    "Observation",
    "Refused",
    "basin",
    "curves_and_notes",
    "observation",
    "prediction",
]

TRAIN, BASIN = "train", "basin"

KINDS = (TRAIN, *reversed(METHODS), BASIN)
"""Kinds of jobs: training, each method of prediction, the basins."""


class Refused(ValueError):
    """A theory does not answer for a setting; the message is its reason."""


@dataclass(frozen=True)
class Job:
    """Train `setting` from `seed`, find the basin it leads to, or predict it by the method `kind`."""

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
    """Trained runs of one setting, one trajectory and its notes for each seed."""

    setting: Setting
    seeds: tuple[int, ...]
    trajectories: tuple[Trajectory, ...]
    notes: tuple[dict[str, Any], ...]

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        """Means and their intervals over seeds."""
        return combined(self.trajectories, level)

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        transitions, formations = self.read(level)
        runs = []
        for seed, curve in zip(self.seeds, self.trajectories, strict=True):
            between, formed = curve.read(level)
            runs.append(
                {
                    "seed": seed,
                    "transitions": [t.to_dict() for t in between],
                    "formations": [t.to_dict() for t in formed],
                    "last_step": float(curve.steps[-1]),
                    "final_loss": float(curve.loss[-1]),
                    "diverged": curve.diverged,
                }
            )
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "method": "training",
            "seeds": list(self.seeds),
            "transitions": [t.to_dict() for t in transitions],
            "formations": [t.to_dict() | {"level": level} for t in formations],
            "runs": runs,
        }


def observation(setting: Setting, seeds: Sequence[int], store: Store) -> Observation:
    """The trained runs of `setting` from `seeds` in `store`."""
    records = [_load(store, Job(setting, TRAIN, seed)) for seed in seeds]
    curves = tuple(record.trajectories[0] for record in records)
    return Observation(setting, tuple(seeds), curves, tuple(record.notes for record in records))


def prediction(setting: Setting, method: str, store: Store, seed: int = 0) -> Prediction:
    """The prediction of `setting` by `method` from `seed` in `store`.

    Raises
    ------
    Refused
        If the method does not answer for this setting.
    ValueError
        If the store does not hold it.
    """
    record = _load(store, Job(setting, method, seed))
    notes = record.notes
    plateaus = {name: Expectation(*pair) for name, pair in notes["plateaus"].items()}
    reasons = tuple(notes["assumptions"]), tuple(notes["validity"])
    curves, neglected = record.trajectories, notes.get("neglected", {})
    if notes.get("bounds"):  # as earlier releases stored the ends of one interval
        neglected = {"terms of higher order": [1, 2]}
    bounds = {name: (curves[places[0]], curves[places[1]]) if places else None for name, places in neglected.items()}
    error = notes.get("error") and RelativeError(notes["error"][0], notes["error"][1] or math.inf)
    own = len(curves) - sum(len(places or ()) for places in neglected.values())
    return Prediction(setting, method, curves[:own], plateaus, *reasons, bounds, error)


def curves_and_notes(prediction: Prediction) -> tuple[tuple[Trajectory, ...], dict[str, Any]]:
    """What a run file holds of a prediction: its trajectories and those of what it neglects, and its notes."""
    curves, places = list(prediction.trajectories), {}
    for name, ends in prediction.neglected.items():
        places[name] = ends and [len(curves), len(curves) + 1]
        curves += ends or ()
    error = prediction.error and plain(tuple(prediction.error))
    notes = {name: getattr(prediction, name) for name in ("plateaus", "assumptions", "validity")}
    return tuple(curves), notes | {"neglected": places, "error": error}


def basin(setting: Setting, store: Store) -> Basin:
    """The basin of `setting` in `store`; raises as `prediction` does."""
    from onset.theory.laws.basins import Basin

    fields = _load(store, Job(setting, BASIN)).notes["basin"]
    return Basin(**(fields | {"drives": np.array(fields["drives"]), "lags": tuple(fields["lags"])}))


def _load(store: Store, job: Job) -> Record:
    record = store.load(job.name)
    if record is None:
        raise ValueError(
            f"store {store.folder} has no finished run {job.name} ({job.label}): "
            "compute it first, for instance with onset validate."
        )
    if "refused" in record.notes:
        raise Refused(record.notes["refused"])
    return record

"""Jobs, and what a store holds of them: trained runs, predictions and basins of a setting; measures of runs and models.

A `Job` is one training run, one prediction, one look at the basins or one measure; `onset.validate.execution` computes
each once, into a file of its own. That a theory does not answer for a setting is stored like an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from onset.simulate.predict import METHODS
from onset.theory.estimates import RelativeError
from onset.theory.expectation import Expectation
from onset.theory.plain_data import plain
from onset.theory.prediction import Prediction
from onset.theory.recording import Trajectory, combined
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource
from onset.validate.store.measurements import Measurement
from onset.validate.store.public_models import PublicModel
from onset.validate.store.runs import Record, Store

if TYPE_CHECKING:
    from onset.theory.laws.basins import Basin

__all__ = [
    "BASIN",
    "KINDS",
    "RUN_MEASURES",
    "TRAIN",
    "Job",
    "Observation",
    "OfSubject",
    "Refused",
    "basin",
    "curves_and_notes",
    "finished",
    "measured",
    "observation",
    "prediction",
    "source_of",
]

Stored = TypeVar("Stored", Record, Measurement)

TRAIN, BASIN = "train", "basin"

KINDS = (TRAIN, *reversed(METHODS), BASIN)
"""Kinds of jobs: training, each method of prediction, the basins."""

RUN_MEASURES = {
    "ablation": TRAIN,
    "circuits": TRAIN,
    "idealised": TRAIN,
    "in-context": "finite-context",
    "pruning": TRAIN,
    "specificity": TRAIN,
}
"""Kinds of measures of a run, modules of `onset.validate.measures.runs`, and the kind of that run."""


class Refused(ValueError):
    """A theory does not answer for a setting; the message is its reason."""


class OfSubject:
    """What is about a setting or a public model, its `subject`: of a `kind` of jobs."""

    subject: Setting | PublicModel
    kind: str

    @property
    def measures(self) -> bool:
        """Whether something is measured, of a model or a run; not trained, predicted or looked at."""
        return isinstance(self.subject, PublicModel) or self.kind in RUN_MEASURES

    @property
    def setting(self) -> Setting:
        """The subject, where it is a setting."""
        assert isinstance(self.subject, Setting), f"{self.subject.label} is no setting"
        return self.subject


@dataclass(frozen=True)
class Job(OfSubject):
    """Train `setting` from `seed`, find the basin it leads to, or predict it by the method `kind`.

    The `subject` is that setting, or a public model, of which one of `onset.validate.measures.PUBLIC_MEASURES` is
    measured. Of a setting's runs, one of `RUN_MEASURES` is.
    """

    subject: Setting | PublicModel
    kind: str
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.subject.id}-{self.kind}-{self.seed}"

    @property
    def source(self) -> Job | None:
        """The run that is measured, if it is one of a setting."""
        kind = None if isinstance(self.subject, PublicModel) else RUN_MEASURES.get(self.kind)
        return Job(self.subject, kind, self.seed) if kind else None

    @property
    def label(self) -> str:
        seeded = self.kind == TRAIN or self.measures
        return f"{self.subject.label} · {self.kind}" + (f" seed {self.seed}" if seeded else "")


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


def finished(job: Job, store: Store) -> bool:
    """Whether `store` has the job's result, and it can be read."""
    read = store.measurement if job.measures else store.load
    return read(job.name) is not None


def measured(subject: Setting | PublicModel, kind: str, seeds: Sequence[int], store: Store) -> list[dict[str, Any]]:
    """Numbers of a public model, or of runs of a setting, in `store`, for each seed."""
    jobs = [Job(subject, kind, seed) for seed in seeds]
    return [_present(store.measurement(job.name), store, job).numbers for job in jobs]


def source_of(job: Job, store: Store) -> Record:
    """The run in `store` that a job measures; raises as `prediction` does."""
    assert job.source is not None, f"{job.label} measures no run"
    return _load(store, job.source)


def basin(setting: Setting, store: Store) -> Basin:
    """The basin of `setting` in `store`; raises as `prediction` does."""
    from onset.theory.laws.basins import Basin

    fields = _load(store, Job(setting, BASIN)).notes["basin"]
    return Basin(**(fields | {"drives": np.array(fields["drives"]), "lags": tuple(fields["lags"])}))


def _present(record: Stored | None, store: Store, job: Job) -> Stored:
    if record is None:
        raise ValueError(
            f"store {store.folder} has no finished run {job.name} ({job.label}): "
            "compute it first, for instance with onset validate."
        )
    return record


def _load(store: Store, job: Job) -> Record:
    record = _present(store.load(job.name), store, job)
    if "refused" in record.notes:
        raise Refused(record.notes["refused"])
    return record

"""Head scores that were recorded along training, read from run files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Progress, Trajectory
from onset.theory.setting import Setting
from onset.validate.inspection.formation import HEAD_KINDS, find_formations
from onset.validate.inspection.in_context import in_context_positions, in_context_scores
from onset.validate.store.jobs import TRAIN
from onset.validate.store.listing import list_runs
from onset.validate.store.probes import SCORES
from onset.validate.store.runs import Record, read

__all__ = ["RecordedRun", "recorded"]


@dataclass(frozen=True)
class RecordedRun:
    """A trained transformer with its recorded head scores."""

    setting: Setting
    seed: int
    curve: Trajectory

    @classmethod
    def of(cls, run: Record) -> Self:
        """The model of a stored run."""
        return cls(run.setting, int(run.notes["seed"]), run.trajectories[0])

    def to_dict(self) -> dict[str, Any]:
        """When heads form, and the last score of the best head of each layer; layers are counted from 1."""
        formed = find_formations(self.setting, self.curve)
        rows = []
        for (layer, kind), transition in formed.items():
            scores = self.curve.probes["head_score"][-1, SCORES.index(HEAD_KINDS[kind]), layer - 1]
            rows.append({"layer": layer, "kind": kind, "step": transition.step, "last": float(np.nanmax(scores))})
        return {"label": self.setting.label, "id": self.setting.id, "seed": self.seed, "formations": rows}

    def scores(self, name: str) -> Array:
        """Score of every head above its control at each record, shape (records, layers, most heads of a layer)."""
        return self.curve.probes["head_score"][:, SCORES.index(name)]

    @property
    def in_context_positions(self) -> tuple[int, int]:
        """Scored positions between which the in-context-learning score is taken, counted from 1."""
        return in_context_positions(self.curve.probes["loss_at"].shape[1])

    @property
    def in_context_scores(self) -> Array:
        """In-context-learning score at each record, nats."""
        recorded_scores = self.curve.probes.get("in_context")
        if recorded_scores is not None:
            return recorded_scores
        return in_context_scores(self.curve.probes["loss_at"])  # a run of an earlier release


def recorded(place: Path, progress: Progress = lambda step, steps: None) -> list[RecordedRun]:
    """Trained transformers of a folder of runs, or of a single run file.

    Raises
    ------
    ValueError
        If there is none with recorded head scores.
    """
    records = [read(place)] if place.is_file() else [run.record for run in list_runs(place, progress)]
    runs = [
        RecordedRun.of(record)
        for record in records
        if record is not None
        and record.notes.get("kind") == TRAIN
        and record.trajectories
        and "head_score" in record.trajectories[0].probes
    ]
    if not runs:
        raise ValueError(
            f"over = {str(place)!r}: it holds no trained transformer with head scores; expected a run file or a "
            "folder of onset train with --family transformer."
        )
    return runs

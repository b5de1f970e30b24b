"""What the claims about induction heads read from the records of a trained transformer."""

from __future__ import annotations

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.heads.training import RecordedRun
from onset.validate.inspection.formation import find_formations
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import SCORES

__all__ = ["best_scores", "formed", "of_seeds"]


def best_scores(run: Trajectory, score: str = "prefix-matching") -> Array:
    """The largest score of any head above its control at each record."""
    return np.nanmax(run.probes["head_score"][:, SCORES.index(score)], axis=(1, 2))


def formed(setting: Setting, run: Trajectory, kind: str = "induction head") -> float | None:
    """The step at which the first head of a kind forms in any layer."""
    steps = [t.step for (_, name), t in find_formations(setting, run).items() if name == kind and t.step is not None]
    return min(steps, default=None)


def of_seeds(observed: Observation) -> list[RecordedRun]:
    """The trained models of a setting."""
    pairs = zip(observed.seeds, observed.trajectories, strict=True)
    return [RecordedRun(observed.setting, seed, run) for seed, run in pairs]

"""Prediction by the exact population dynamics at finite context."""

from __future__ import annotations

import numpy as np

from onset.simulate.finite_context.dynamics import FiniteContext
from onset.theory import arguments
from onset.theory.dynamics.descent import descend
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress
from onset.theory.setting import Setting

__all__ = ["REPLICATES", "finite_context"]

REPLICATES = 4
"""Independent trajectories, whose spread is the interval."""

SEQUENCES = 128
"""Fresh sequences per replicate and step; a run of n steps averages over n times as many."""


def finite_context(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Prediction by the population dynamics at the setting's context; the interval is the spread of replicates.

    Raises
    ------
    ValueError
        If the family has no reduced coordinates.
    """
    trajectories = []
    for replicate in range(REPLICATES):
        replicate_seed = int(np.random.default_rng([arguments.seed("seed", seed), replicate]).integers(2**63))
        trajectory = descend(
            FiniteContext(setting, count=SEQUENCES, seed=replicate_seed),
            setting.training,
            progress=lambda step, steps, r=replicate: progress(r * steps + step, REPLICATES * steps),
        )
        trajectories.append(trajectory)
    noise = (
        "gradient noise of the mini-batch is averaged out"
        if setting.training.optimizer.name == "sgd"
        else "Adam's second moment is that of a mini-batch gradient, E g² + Var/B"
    )
    assumptions = (
        "population gradient at the actual context, all lags, prior and initialisation exchangeable",
        f"expectations over {REPLICATES} replicates × {SEQUENCES} fresh sequences per step, "
        "whose spread is the interval",
        noise,
    )
    validity = (
        f"neglects fluctuations of the parameters from mini-batches of {setting.training.batch}: "
        "of relative order rate/B",
    )
    plateaus = setting.task.expected_losses(seed=seed)
    return Prediction(setting, "finite-context", tuple(trajectories), plateaus, assumptions, validity)

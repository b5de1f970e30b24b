"""Predictions at finite context, and the list of all methods of prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import onset.theory.mean_fields.corrected.predict
import onset.theory.mean_fields.predict
from onset.simulate.finite_context.dynamics import FiniteContext
from onset.theory import arguments
from onset.theory.dynamics.descent import descend
from onset.theory.laws import law, law_corrected
from onset.theory.markov.task import MarkovChains
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress
from onset.theory.setting import Setting
from onset.theory.tasks import Task

__all__ = ["METHODS", "finite_context", "predict"]

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
        own_seed = int(np.random.default_rng([seed, replicate]).integers(2**63))
        trajectory = descend(
            FiniteContext(setting, count=SEQUENCES, seed=own_seed),
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


METHODS: dict[str, Callable[..., Prediction]] = {
    "law": law,
    "law-corrected": law_corrected,
    "mean-field": onset.theory.mean_fields.predict.mean_field,
    "mean-field-corrected": onset.theory.mean_fields.corrected.predict.mean_field_corrected,
    "finite-context": finite_context,
}
"""Methods of prediction for Markov chains, from the closed form to the exact dynamics."""

PREDICTED: dict[type[Task], dict[str, Callable[..., Prediction]]] = {MarkovChains: METHODS}
"""Methods by task."""


def predict(
    setting: Setting, method: str = "mean-field", *, seed: int = 0, progress: Progress = lambda step, steps: None
) -> Prediction:
    """Predict when a setting's transitions come, by one of `METHODS`.

    Raises
    ------
    ValueError
        If the method is unknown or does not support the setting, with the reason.
    """
    kind = type(setting.task)
    if kind not in PREDICTED:
        known = ", ".join(sorted(task.kind for task in PREDICTED))
        raise ValueError(f"task = {setting.task.kind!r}: no method predicts it; expected one of {known}, or train it.")
    run = PREDICTED[kind][arguments.one_of("method", method, PREDICTED[kind])]
    return run(setting, seed=seed, progress=progress)

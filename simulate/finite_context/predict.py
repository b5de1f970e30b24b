"""Prediction by the exact population dynamics at finite context."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from onset.simulate.finite_context.dynamics import FiniteContext
from onset.theory import arguments, costs
from onset.theory.dynamics.descent import descend
from onset.theory.markov.task import require_markov_chains
from onset.theory.models import FAMILIES
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress
from onset.theory.setting import Setting

__all__ = ["REPLICATES", "finite_context", "seconds"]

REPLICATES = 4
"""Independent trajectories, whose spread is the interval."""

SEQUENCES = 128
"""Fresh sequences per replicate and step; a run of n steps averages over n times as many."""

SECONDS_PER_PAIR = 2e-10
"""For each pair of positions of a sequence, of a gradient on one core: a few additions at once (measured)."""

SECONDS_PER_PAIR_AND_HEAD = 2.5e-9
"""The same for chains of order n > 2."""


def finite_context(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Prediction by the population dynamics at the setting's context; the interval is the spread of replicates.

    Raises
    ------
    ValueError
        If the family has no reduced coordinates, or memory or time would not suffice.
    """
    require_markov_chains(setting.task, "the finite context")
    costs.require_time("the finite context", partial(seconds, setting), context=setting.task.context)
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


def seconds(setting: Setting, context: int) -> float:
    """Seconds on one core that `finite_context` takes at most, at another `context`, by the number of gradients.

    Runs end earlier than at their last step, as a rule after a fifth of them. The default number of steps of the linear
    family grows with the context.
    """
    task, optimizer = replace(setting.task, context=context), setting.training.optimizer.name
    steps = setting.training.steps
    if steps == FAMILIES[setting.model.family].defaults(optimizer, setting.task).steps:
        steps = FAMILIES[setting.model.family].defaults(optimizer, task).steps
    per_pair = SECONDS_PER_PAIR if task.order == 2 else (task.order - 1) * SECONDS_PER_PAIR_AND_HEAD
    sequences = SEQUENCES if optimizer == "sgd" else max(SEQUENCES, setting.training.batch)
    return float(REPLICATES) * steps * sequences * context**2 * per_pair

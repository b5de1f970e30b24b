"""Prediction by the mean field corrected for finite context."""

from __future__ import annotations

import numpy as np

from onset.theory import arguments
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.flow import flow
from onset.theory.mean_fields.corrected.dynamics import COUNT, LAGS, Corrected
from onset.theory.mean_fields.corrected.families import LinearCorrected, SoftmaxCorrected
from onset.theory.prediction import Prediction, finite_plateaus
from onset.theory.recording import Progress
from onset.theory.setting import Setting

__all__ = ["CORRECTED", "mean_field_corrected"]

CORRECTED: dict[str, type[Corrected]] = {"linear": LinearCorrected, "softmax": SoftmaxCorrected}
"""The one place where a family's corrected mean field is registered."""

SCRAMBLINGS = 2
"""Independent scramblings of the prior's points behind an interval, for k > 2."""


def mean_field_corrected(
    setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None
) -> Prediction:
    """Predict from the mean field with fluctuating counts and finite context: gradient flow for SGD, the optimiser's own steps for Adam.

    Parameters
    ----------
    setting : Setting
        Of a toy family.
    seed : int
        Seed of the prior's scramblings (k > 2).

    Raises
    ------
    ValueError
        If the family has no mean field.
    """
    arguments.one_of("family of a corrected mean-field prediction", setting.model.family, CORRECTED)
    sgd = setting.training.optimizer.name == "sgd"
    generators = np.random.default_rng(seed).spawn(1 if setting.task.states == 2 else SCRAMBLINGS)
    found = []
    for done, generator in enumerate(generators):
        count = 2 * COUNT if setting.task.states == 2 else COUNT
        dynamics = CORRECTED[setting.model.family](
            setting, lags=min(LAGS, setting.task.context), count=count, generator=generator
        )
        found.append(flow(dynamics, setting) if sgd else descend(dynamics, setting))
        progress(done + 1, len(generators))
    linear = setting.model.family == "linear"
    assumptions = (
        "mean and covariance of the logits given the query "
        + ("are exact at the actual context" if linear else "to second order in the fluctuations of counts"),
        "loss to second order in fluctuations of the logits: their third and higher cumulants are neglected",
        "early positions sequence by sequence",
        f"prior and initialisation exchangeable; {LAGS} lags tracked, the others at their start",
        f"prior by {'quadrature' if setting.task.states == 2 else f'{SCRAMBLINGS} scramblings of a Sobol sequence, whose spread is the interval'}",
        "SGD as gradient flow"
        if sgd
        else "Adam on the population gradient; the mini-batch's share of its second moment is neglected",
    )
    losses = finite_plateaus(setting, seed)
    return Prediction(setting, "mean-field-corrected", tuple(found), losses, assumptions, _validity(setting))


def _validity(setting: Setting) -> tuple[str, ...]:
    neglected = "of relative order 1/T², but not small where chains mix about as slowly as the context is long"
    if setting.model.family == "softmax":
        neglected = "their size: derivation ratio-fluctuations"
    return (
        f"third and higher cumulants of the logits are neglected, {neglected}",
        "how far it was off finite context elsewhere: suite corrections, paper/results/corrections.json",
    )

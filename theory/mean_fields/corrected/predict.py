"""Prediction by the mean field corrected for finite context."""

from __future__ import annotations

import numpy as np

from onset.theory import arguments
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.flow import flow
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.base import COUNT, Corrected
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.mean_fields.predict import common_assumptions
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress, no_progress
from onset.theory.setting import Setting

__all__ = ["CORRECTED", "mean_field_corrected"]

CORRECTED: dict[str, type[Corrected]] = {"linear": LinearCorrected, "softmax": SoftmaxCorrected}
"""The one place where a family's corrected mean field is registered."""

SCRAMBLINGS = 2
"""Independent scramblings of the prior's points behind an interval, for k > 2."""


def mean_field_corrected(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the mean field with fluctuating counts and finite context.

    Gradient flow stands for SGD; Adam takes the optimiser's own steps.

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
    family = arguments.one_of("family of a corrected mean-field prediction", setting.model.family, CORRECTED)
    task, follow = setting.task, flow if setting.training.optimizer.name == "sgd" else descend
    scramblings, count = (1, 2 * COUNT) if task.vocabulary == 2 else (SCRAMBLINGS, COUNT)
    trajectories = []
    for done, generator in enumerate(np.random.default_rng(seed).spawn(scramblings), start=1):
        dynamics = CORRECTED[family].of(setting, lags=min(LAGS, task.context), count=count, generator=generator)
        trajectories.append(follow(dynamics, setting.training))
        progress(done, scramblings)
    moments, neglected = {
        "linear": (
            "are exact at the actual context",
            "of relative order 1/T², but not small where chains mix about as slowly as the context is long",
        ),
        "softmax": ("to second order in the fluctuations of counts", "their size: derivation ratio-fluctuations"),
    }[family]
    assumptions = (
        f"mean and covariance of the logits given the query {moments}",
        "loss to second order in fluctuations of the logits: their third and higher cumulants are neglected",
        "early positions sequence by sequence",
        *common_assumptions(setting, LAGS, scramblings),
    )
    validity = (
        f"third and higher cumulants of the logits are neglected, {neglected}",
        "how far it was off finite context elsewhere: suite corrections, paper/results/corrections.json",
    )
    losses = task.expected_losses(seed=seed)
    return Prediction(setting, "mean-field-corrected", tuple(trajectories), losses, assumptions, validity)

"""Prediction by the mean field corrected for finite context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from onset.theory import arguments, randomness
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.flow import flow
from onset.theory.markov.task import require_markov_chains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.base import COUNT, Corrected
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.corrected.neglected import bounded
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import drive_error
from onset.theory.mean_fields.predict import common_assumptions
from onset.theory.mean_fields.quadrature import rules
from onset.theory.mean_fields.stability import checked
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress, no_progress
from onset.theory.setting import Setting

__all__ = ["CORRECTED", "mean_field_corrected"]

CORRECTED: dict[str, type[Corrected]] = {"linear": LinearCorrected, "softmax": SoftmaxCorrected}
"""The one place where a family's corrected mean field is registered."""

SCRAMBLINGS = 2
"""Independent scramblings of the prior's points in the softmax family, for k > 2."""


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
        If the family has no mean field, or memory would not suffice.
    """
    family = arguments.one_of("family of a corrected mean-field prediction", setting.model.family, CORRECTED)
    task, sgd = setting.task, setting.training.optimizer.name == "sgd"
    require_markov_chains(task, "the corrected mean field")
    follow = flow if sgd else descend
    options = list(_linear(setting, seed) if family == "linear" else _softmax(setting, seed))
    trajectories = []
    for done, option in enumerate(options):
        dynamics = CORRECTED[family].of(setting, lags=min(LAGS, task.context), **option)

        def advance(step: int, steps: int, done: int = done) -> None:
            progress(done * steps + step, len(options) * steps)

        trajectories.append(follow(dynamics, setting.training, progress=advance))
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
        *common_assumptions(setting, LAGS, len(options)),
    )
    validity = [
        f"third and higher cumulants of the logits are neglected, {neglected}",
        "how far it was off finite context elsewhere: suite corrections, paper/results/corrections.json",
    ]
    if not sgd:
        validity.append("the size of the neglected noise of mini-batches is not estimated")
    prediction = Prediction(
        setting,
        "mean-field-corrected",
        tuple(trajectories),
        task.expected_losses(seed=seed),
        assumptions,
        tuple(validity),
    )
    prediction = checked(prediction)
    if family != "linear":
        return prediction
    with suppress(ValueError):  # without a plateau no rule can miss its match
        prediction = replace(prediction, error=drive_error(task.prior, task.context))
    return bounded(prediction, order=2, least=True) if sgd else prediction


def _linear(setting: Setting, seed: int) -> Iterator[dict[str, Any]]:
    """One run on the mean rule of the mean field."""
    yield {"rule": rules(LinearMeanField, setting.task.prior, LAGS, seed).mean}


def _softmax(setting: Setting, seed: int) -> Iterator[dict[str, Any]]:
    """A run for each scrambling."""
    scramblings, count = (1, 2 * COUNT) if setting.task.vocabulary == 2 else (SCRAMBLINGS, COUNT)
    for generator in randomness.generator(seed).spawn(scramblings):
        yield {"count": count, "generator": generator}

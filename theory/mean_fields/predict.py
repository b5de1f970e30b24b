"""Prediction by the mean field."""

from __future__ import annotations

import numpy as np

from onset.theory import arguments, randomness
from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.flow import Ensemble, SingleReplicate, flows
from onset.theory.markov.ideal import limit_losses
from onset.theory.markov.task import require_markov_chains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.neglected import bounded
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.ngram_linear import NgramLinearMeanField
from onset.theory.mean_fields.quadrature import SCRAMBLINGS, rules
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.mean_fields.stability import checked
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress, no_progress
from onset.theory.setting import Setting

__all__ = ["MEAN_FIELDS", "AtSaddle", "common_assumptions", "mean_field"]

MEAN_FIELDS: dict[str, type[MeanField]] = {"linear": LinearMeanField, "softmax": SoftmaxMeanField}
"""The one place where a family's mean field is registered."""

NGRAM_MEAN_FIELDS: dict[str, type[NgramLinearMeanField]] = {"linear": NgramLinearMeanField}
"""The same for chains of higher order."""

ROUNDING = 1e-14
"""Derivatives below this, in nats per token, are rounding errors of zero."""


class AtSaddle(ValueError):
    """The mean field has no gradient at the start; terms of order 1/T decide where it goes."""


def mean_field(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the mean field: gradient flow for SGD, the optimiser's own steps for Adam.

    The first setting of a prior and family also computes their rules (`onset.theory.mean_fields.quadrature`), which
    costs several times as much.

    Parameters
    ----------
    setting : Setting
        Of a family that has a mean field.
    seed : int
        Seed of the prior's scramblings (k > 2).

    Raises
    ------
    ValueError
        If the family has no mean field; `AtSaddle` if that has no gradient at the start.
    """
    task, training, name = setting.task, setting.training, setting.model.family
    require_markov_chains(task, "the mean field")
    first_order = task.order == 2
    argument = "family of a mean-field prediction" + ("" if first_order else " for chains of higher order")
    arguments.one_of(argument, name, MEAN_FIELDS if first_order else NGRAM_MEAN_FIELDS)
    follow = flows if training.optimizer.name == "sgd" else adam_steps
    if first_order:
        family, lags = MEAN_FIELDS[name], min(LAGS, task.context)
        ensemble = family.of(setting, lags=lags, rule=rules(family, task.prior, lags, seed).each)
        _refuse_saddle(setting, ensemble)
        trajectories = follow(ensemble, training)
        first: Ensemble = family.of(setting, lags=lags, rule=(ensemble.transition[0], ensemble.node_weights[0]))
    else:
        fields = [
            NGRAM_MEAN_FIELDS[name].of(setting, generator=g) for g in randomness.generator(seed).spawn(SCRAMBLINGS)
        ]
        first, lags, trajectories = SingleReplicate(fields[0]), fields[0].lags, []
        for done, field in enumerate(fields, start=1):
            trajectories += follow(SingleReplicate(field), training)
            progress(done, len(fields))
    assumptions = (
        "T → ∞: counts equal their expectations; early sources are summed one by one",
        *common_assumptions(setting, lags, len(trajectories)),
    )
    prediction = Prediction(
        setting, "mean-field", tuple(trajectories), limit_losses(task.prior), assumptions, tuple(_validity(setting))
    )
    prediction = checked(prediction, first)
    bounds_known = first_order and name == "linear" and training.optimizer.name == "sgd"
    return bounded(prediction, least=True) if bounds_known else prediction


def common_assumptions(setting: Setting, lags: int, replicates: int) -> tuple[str, ...]:
    """What all mean fields assume; the prior is replaced by `replicates` scramblings, or by a quadrature if one."""
    rule = f"{replicates} scramblings of a Sobol sequence, whose spread is the numerical error"
    adam = "Adam on the population gradient; the mini-batch's share of its second moment is neglected"
    return (
        f"prior and initialisation exchangeable; {lags} lags tracked, the others at their start",
        f"prior by {'quadrature' if replicates == 1 else rule}",
        "SGD as gradient flow" if setting.training.optimizer.name == "sgd" else adam,
    )


def _refuse_saddle(setting: Setting, ensemble: Ensemble) -> None:
    slopes = ensemble.derivatives(np.tile(ensemble.layout.start, (ensemble.replicates, 1, 1)))
    if np.abs(slopes).max() < ROUNDING:
        raise AtSaddle(
            f"prior = {setting.task.prior}: expected a unigram signal, without which the {setting.model.family} "
            "family's mean field has no gradient at its start; predict by mean-field-corrected or finite-context, "
            "which include terms of order 1/T."
        )


def _validity(setting: Setting) -> list[str]:
    context = setting.task.context
    statements = [f"neglects terms of relative order ln T/T = {np.log(context) / context:.2g}"]
    if setting.model.family == "softmax":
        statements = [
            "from all-zero weights the neglected count fluctuations are of the same order, ln T/T, as the first signal "
            "for the match: expect the order of magnitude only"
        ]
    elif setting.training.optimizer.name != "sgd":
        statements.append("the size of the neglected noise of mini-batches is not estimated")
    return statements

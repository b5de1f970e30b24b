"""Prediction by the mean field."""

from __future__ import annotations

import numpy as np

from onset.theory import arguments
from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.flow import Alone, Ensemble, flows, sharpness
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.ngram_linear import NgramLinearMeanField
from onset.theory.mean_fields.quadrature import SCRAMBLINGS, rules
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.prediction import Prediction, limit_plateaus
from onset.theory.recording import Progress, Trajectory
from onset.theory.setting import Setting

__all__ = ["MEAN_FIELDS", "NGRAM_MEAN_FIELDS", "AtSaddle", "mean_field"]

MEAN_FIELDS: dict[str, type[MeanField]] = {"linear": LinearMeanField, "softmax": SoftmaxMeanField}
"""The one place where a family's mean field is registered."""

NGRAM_MEAN_FIELDS: dict[str, type[NgramLinearMeanField]] = {"linear": NgramLinearMeanField}
"""The same for chains of higher order."""

LAGS = 6
ROUNDING = 1e-14
"""A derivative below, in nats per token, is the rounding of zero."""

LOOKED_AT = 4
"""Points of a path whose curvature is looked at."""


class AtSaddle(ValueError):
    """The mean field has no gradient at the start; where it leaves to is for terms of order 1/T to say."""


def mean_field(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Predict from the mean field: gradient flow for SGD, the optimiser's own steps for Adam.

    The first setting of a prior and family also makes their rules (`onset.theory.mean_fields.quadrature`), which costs several times as much.

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
    markov = setting.task.order == 2
    what = "family of a mean-field prediction" + ("" if markov else " for chains of higher order")
    arguments.one_of(what, setting.model.family, MEAN_FIELDS if markov else NGRAM_MEAN_FIELDS)
    sgd = setting.training.optimizer.name == "sgd"
    follow = flows if sgd else adam_steps
    if markov:
        family, lags = MEAN_FIELDS[setting.model.family], min(LAGS, setting.task.context)
        ensemble = family(setting, lags=lags, rule=rules(family, setting.model.family, setting.task.prior, lags, seed))
        _refuse_saddle(setting, ensemble)
        found = follow(ensemble, setting)
        first: Ensemble = family(setting, lags=lags, rule=(ensemble.transition[0], ensemble.chances[0]))
    else:
        family = NGRAM_MEAN_FIELDS[setting.model.family]
        alone = [Alone(family(setting, generator=g)) for g in np.random.default_rng(seed).spawn(SCRAMBLINGS)]
        first, found = alone[0], []
        for done, one in enumerate(alone):
            found += follow(one, setting)
            progress(done + 1, len(alone))
    replicates = len(found)
    lags = (len(first.layout.names) - first.layout.lags.start) // (setting.task.order - 1)
    assumptions = [
        "T → ∞: counts equal their expectations; early sources are summed one by one",
        f"prior and initialisation exchangeable; {lags} lags tracked, the others at their start",
        f"prior by {'quadrature' if replicates == 1 else f'{SCRAMBLINGS} scramblings of a Sobol sequence, whose spread is the interval'}",
        "SGD as gradient flow"
        if sgd
        else "Adam on the population gradient; the mini-batch's share of its second moment is neglected",
    ]
    return Prediction(
        setting,
        "mean-field",
        tuple(found),
        limit_plateaus(setting.task.prior),
        tuple(assumptions),
        tuple(_validity(setting, first, found[0])),
    )


def _refuse_saddle(setting: Setting, ensemble: Ensemble) -> None:
    slopes = ensemble.derivatives(np.tile(ensemble.layout.start, (ensemble.replicates, 1, 1)))
    if np.abs(slopes).max() < ROUNDING:
        raise AtSaddle(
            f"prior = {setting.task.prior}: expected a unigram signal, without which the {setting.model.family} family's mean field has no gradient at its start; predict by mean-field-corrected or finite-context, which know what is of order 1/T."
        )


def _validity(setting: Setting, ensemble: Ensemble, trajectory: Trajectory) -> list[str]:
    said = [
        f"neglects terms of relative order ln T/T = {np.log(setting.task.context) / setting.task.context:.2g} in the linear family"
    ]
    if setting.model.family == "softmax":
        said = [
            "from all-zero weights the neglected count fluctuations are of the same order, ln T/T, as the first signal for the match: expect the order of magnitude only"
        ]
    if setting.training.optimizer.name == "sgd":
        points = np.array([trajectory.parameters[name] for name in ensemble.layout.names]).T
        chosen = points[np.linspace(0, len(points) - 1, min(LOOKED_AT, len(points)), dtype=int)]
        worst = float(sharpness(ensemble, setting, chosen[None]).max())
        verdict = (
            "stable, so flow stands for descent"
            if worst < 1
            else "close to instability"
            if worst < 2
            else "gradient descent is unstable there: lower the rates before trusting flow"
        )
        said.append(f"learning rate × largest curvature along the path ≤ {worst:.2g} (stable below 2): {verdict}")
    return said

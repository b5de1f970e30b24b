"""Predictions: steps with intervals, the curves they were read from, and what was assumed.

`mean_field` predicts from theory alone. `simulate.predict` adds the finite context and holds the list of methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from theory import arguments, ideal
from theory.dynamics import Progress, Trajectory, combined
from theory.expectations import Expectation
from theory.flow import Alone, Ensemble, flows, sharpness
from theory.mean_fields.limit import MeanField
from theory.mean_fields.linear import LinearMeanField
from theory.mean_fields.ngram_linear import NgramLinearMeanField
from theory.mean_fields.rules import SCRAMBLINGS, rules
from theory.mean_fields.softmax import SoftmaxMeanField
from theory.priors import Prior
from theory.setting import Setting
from theory.strides import strides
from theory.transitions import FORMATION_LEVEL, ReadOff, Transition, strategies

__all__ = [
    "EXCHANGEABLE_FLOW",
    "MEAN_FIELDS",
    "NGRAM_MEAN_FIELDS",
    "AtSaddle",
    "Prediction",
    "finite_plateaus",
    "limit_plateaus",
    "mean_field",
    "plateaus",
]

MEAN_FIELDS: dict[str, type[MeanField]] = {"linear": LinearMeanField, "softmax": SoftmaxMeanField}
"""The one place where a family's mean field is registered."""

NGRAM_MEAN_FIELDS: dict[str, type[NgramLinearMeanField]] = {"linear": NgramLinearMeanField}
"""The same for chains of higher order."""

EXCHANGEABLE_FLOW = "prior and initialisation exchangeable; SGD as gradient flow"
"""What every law under SGD assumes."""

LAGS = 6
ROUNDING = 1e-14
"""A derivative below, in nats per token, is the rounding of zero."""

LOOKED_AT = 4
"""Points of a path whose curvature is looked at."""

TOLERANCE = 2e-3
"""Largest error of a plateau's loss, nats per token."""


class AtSaddle(ValueError):
    """The mean field has no gradient at the start; where it leaves to is for terms of order 1/T to say."""


@dataclass(frozen=True)
class Prediction(ReadOff):
    """When a setting should pass from one strategy to the next.

    Attributes
    ----------
    setting : Setting
    method : str
    trajectories : tuple of Trajectory
        Independent numerical replicates, whose spread is the interval; or, with `bounds`, the prediction, the earliest and the latest.
    plateaus : dict of strategy to Expectation
        Ideal loss of each strategy, nats per token, with the error of its evaluation.
    assumptions, validity : tuple of str
        What is neglected, and what is known of the consequences for this setting.
    """

    setting: Setting
    method: str
    trajectories: tuple[Trajectory, ...]
    plateaus: dict[str, Expectation]
    assumptions: tuple[str, ...]
    validity: tuple[str, ...]
    bounds: bool = False

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        if not self.bounds:
            return combined(self.trajectories, level)
        kinds = zip(*(one.read(level) for one in self.trajectories), strict=True)
        passages, formations = ([_bounded(each) for each in zip(*kind, strict=True)] for kind in kinds)
        return passages, formations

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        passages, formations = self.read(level)
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "method": self.method,
            "plateaus": {name: {"loss": e.value, "error": e.error} for name, e in self.plateaus.items()},
            "transitions": [t.to_dict() for t in passages],
            "formations": [t.to_dict() | {"level": level} for t in formations],
            "assumptions": list(self.assumptions),
            "validity": list(self.validity),
        }


def _bounded(found: Sequence[Transition]) -> Transition:
    """The first transition, with the interval that the steps of all span."""
    first = found[0]
    steps = [t.step for t in found if t.step is not None]
    return first if first.step is None else replace(first, low=min(steps), high=max(steps))


@lru_cache(maxsize=256)
def limit_plateaus(prior: Prior) -> dict[str, Expectation]:
    """Ideal losses as T → ∞, nats per token, by strategy."""
    return plateaus(prior, lambda strategy: ideal.limit_loss(prior, strategy, tolerance=TOLERANCE))


def finite_plateaus(setting: Setting, seed: int = 0) -> dict[str, Expectation]:
    """Ideal losses at the setting's context, nats per token, by strategy."""
    return plateaus(
        setting.prior,
        lambda strategy: ideal.finite_loss(setting.prior, strategy, setting.context, tolerance=TOLERANCE, seed=seed),
    )


def plateaus(prior: Prior, loss: Callable[[str], Expectation]) -> dict[str, Expectation]:
    """`loss` of every ideal strategy for the chains of `prior`, by name."""
    return {name: loss(name) for name in strategies(prior.order)}


def mean_field(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Predict from the mean field: gradient flow for SGD, the optimiser's own steps for Adam.

    The first setting of a prior and family also makes their rules (`theory.mean_fields.rules`), which costs several times as much.

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
    markov = setting.order == 2
    what = "family of a mean-field prediction" + ("" if markov else " for chains of higher order")
    arguments.one_of(what, setting.family, MEAN_FIELDS if markov else NGRAM_MEAN_FIELDS)
    sgd = setting.optimizer.name == "sgd"
    follow = flows if sgd else strides
    if markov:
        family, lags = MEAN_FIELDS[setting.family], min(LAGS, setting.context)
        ensemble = family(setting, lags=lags, rule=rules(family, setting.family, setting.prior, lags, seed))
        _refuse_saddle(setting, ensemble)
        found = follow(ensemble, setting)
        first: Ensemble = family(setting, lags=lags, rule=(ensemble.transition[0], ensemble.chances[0]))
    else:
        family = NGRAM_MEAN_FIELDS[setting.family]
        alone = [Alone(family(setting, generator=g)) for g in np.random.default_rng(seed).spawn(SCRAMBLINGS)]
        first, found = alone[0], []
        for done, one in enumerate(alone):
            found += follow(one, setting)
            progress(done + 1, len(alone))
    replicates = len(found)
    lags = (len(first.layout.names) - first.layout.lags.start) // (setting.order - 1)
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
        limit_plateaus(setting.prior),
        tuple(assumptions),
        tuple(_validity(setting, first, found[0])),
    )


def _refuse_saddle(setting: Setting, ensemble: Ensemble) -> None:
    slopes = ensemble.derivatives(np.tile(ensemble.layout.start, (ensemble.replicates, 1, 1)))
    if np.abs(slopes).max() < ROUNDING:
        raise AtSaddle(
            f"prior = {setting.prior}: expected a unigram signal, without which the {setting.family} family's mean field has no gradient at its start; predict by mean-field-corrected or finite-context, which know what is of order 1/T."
        )


def _validity(setting: Setting, ensemble: Ensemble, trajectory: Trajectory) -> list[str]:
    said = [
        f"neglects terms of relative order ln T/T = {np.log(setting.context) / setting.context:.2g} in the linear family"
    ]
    if setting.family == "softmax":
        said = [
            "from all-zero weights the neglected count fluctuations are of the same order, ln T/T, as the first signal for the match: expect the order of magnitude only"
        ]
    if setting.optimizer.name == "sgd":
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

r"""Few weighted matrices that stand for a prior in the mean field of a family.

A mean field evaluates its gradient a hundred times along a path that depends little on the setting. So a small rule only has to
integrate what the gradient is made of near that path: it is taken from a large rule, and reweighted (`onset.theory.markov.expectations.calibrated_nodes`) so that
it has the large rule's gradient at a few points of a pilot run, entropies of the ideal strategies and signals of all lags. The
error left is that of the large rule, and changes of the path. For two states both rules are products of
Gauss-Legendre rules; beyond, Sobol sequences, each rule with a scrambling of its own: the rules' spread is the error of a prediction.

Rules are made once per family, prior, lags and seed; the last `KEPT` are kept.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.flow import CLOSELY, flow
from onset.theory.markov.expectations import calibrated_nodes, smooth
from onset.theory.markov.priors import Prior
from onset.theory.mean_fields.limit import MeanField, signals
from onset.theory.setting import Setting

__all__ = ["SCRAMBLINGS", "rules"]

SCRAMBLINGS = 4
"""Independent rules, for k > 2."""

POINTS, RICH = 96, 2048
"""Of a small rule for k > 2, of which about half get no weight and are left out, and of a large one."""

PRODUCT = 49
"""Points of a small product rule, k = 2."""

PILOT = 256
"""Context of the pilot run, which ends with the first layer's attention on lag 1 wherever the mean field forms a head."""

STATIONS = 3
"""Points of the pilot run at which gradients agree."""

COARSE = 1e-2
"""The pilot run's relative error per step, and the least loss, nats per token, that it has to gain."""

KEPT = 64


@lru_cache(maxsize=KEPT)
def rules(family: type[MeanField], name: str, prior: Prior, lags: int, seed: int = 0) -> tuple[Array, Array]:
    """Matrices (rules, n, k, k) and weights (rules, n), which sum to one, for `MeanField` with `lags` lag logits.

    Parameters
    ----------
    family : subclass of MeanField
    name : str
        Of the family, in settings.
    prior : Prior
    lags : int
    seed : int
        Of the scramblings; without effect for two states.
    """
    setting = Setting.of(name, prior=prior, context=PILOT)
    generators = np.random.default_rng(seed).spawn(1 if smooth(prior) else SCRAMBLINGS)
    functions = partial(signals, lags=lags)
    pilot = family(setting, lags=lags, rule=calibrated_nodes(prior, POINTS, functions, np.random.default_rng(seed)))
    stations = _stations(pilot, setting)

    def integrands(transition: Array) -> Array:
        each = family(setting, lags=lags, rule=(transition[:, None], np.ones((len(transition), 1))))
        slopes = each.derivatives(np.broadcast_to(stations, (len(transition), *stations.shape)))
        return np.column_stack([functions(transition), slopes.reshape(len(transition), -1)])

    points = PRODUCT if smooth(prior) else POINTS
    made = [calibrated_nodes(prior, points, integrands, generator, rich=RICH) for generator in generators]
    return _stacked(made)


def _stations(pilot: MeanField, setting: Setting) -> Array:
    """Points along the pilot run; where gradient flow does not leave its start, along Adam's."""
    run = flow(pilot, setting, rtol=COARSE, watch=CLOSELY)
    if run.loss[0] - run.loss[-1] < COARSE:
        adam = Setting.of(setting.model.family, prior=setting.task.prior, context=PILOT, optimizer="adam")
        run = adam_steps(pilot, adam, watch=CLOSELY)[0]
    path = np.array(list(run.parameters.values())).T
    return path[np.linspace(0, len(path) - 1, STATIONS + 1).astype(int)[1:]]


def _stacked(made: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Rules of one length, without points of no weight as far as that goes."""
    size = max(int((w > 0).sum()) for _, w in made)
    chosen = [(m[order], w[order]) for m, w in made for order in [np.argsort(-w, kind="stable")[:size]]]
    transition, weights = (np.stack(part) for part in zip(*chosen, strict=True))
    transition.flags.writeable = weights.flags.writeable = False
    return transition, weights

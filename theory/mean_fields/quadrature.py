r"""Few weighted matrices that stand for a prior in the mean field of a family.

A mean field evaluates its gradient a hundred times along a path that depends little on the setting. So a small rule
only has to integrate what the gradient is made of near that path: it is taken from a large rule, and reweighted
(`onset.theory.markov.expectations.calibrated_nodes`) so that it has the large rule's gradient at a few points of a
pilot run, entropies of the ideal strategies and signals of all lags. The error left is that of the large rule, and
changes of the path. For two states both rules are products of Gauss-Legendre rules; beyond, Sobol sequences, each rule
with a scrambling of its own: the rules' spread is the error of a prediction.

Rules are computed once per family, prior, lags and seed; the last `REMEMBERED` are kept.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.flow import DENSE, flow
from onset.theory.markov.expectations import calibrated_nodes, has_product_rule
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import signals
from onset.theory.mean_fields.limit import MeanField
from onset.theory.models import FAMILIES

__all__ = ["SCRAMBLINGS", "rules"]

SCRAMBLINGS = 4
"""Independent rules, for k > 2."""

SMALL, LARGE = 96, 2048
"""Points of a small rule for k > 2, of which about half get no weight and are left out, and of a large one."""

SMALL_PRODUCT = 49
"""Points of a small product rule, k = 2."""

PILOT_CONTEXT = 256
"""Context of the pilot run, which ends with layer-1 attention on lag 1 wherever the mean field forms a head."""

MATCHED_POINTS = 3
"""Points of the pilot run at which gradients agree."""

PILOT_RTOL = 1e-2
"""The pilot run's relative error per step, and the least loss, nats per token, that it has to gain."""

REMEMBERED = 64
"""Families, priors, lags and seeds whose rules are kept."""


@lru_cache(maxsize=REMEMBERED)
def rules(family: type[MeanField], prior: Prior, lags: int, seed: int = 0) -> tuple[Array, Array]:
    """Matrices (rules, n, k, k) and weights (rules, n), which sum to one, for `MeanField` with `lags` lag logits.

    Parameters
    ----------
    family : subclass of MeanField
    prior : Prior
    lags : int
    seed : int
        Of the scramblings; without effect for two states.
    """
    task, functions = MarkovChains(prior, PILOT_CONTEXT), partial(signals, lags=lags)
    generators = np.random.default_rng(seed).spawn(1 if has_product_rule(prior) else SCRAMBLINGS)
    pilot = family(task, lags=lags, rule=calibrated_nodes(prior, SMALL, functions, np.random.default_rng(seed)))
    points = _pilot_points(pilot)

    def integrands(transition: Array) -> Array:
        single = family(task, lags=lags, rule=(transition[:, None], np.ones((len(transition), 1))))
        slopes = single.derivatives(np.broadcast_to(points, (len(transition), *points.shape)))
        return np.column_stack([functions(transition), slopes.reshape(len(transition), -1)])

    count = SMALL_PRODUCT if has_product_rule(prior) else SMALL
    return _stacked([calibrated_nodes(prior, count, integrands, generator, rich=LARGE) for generator in generators])


def _pilot_points(pilot: MeanField) -> Array:
    """Points along the pilot run at default rates; where gradient flow does not leave its start, along Adam's."""
    sgd, adam = (FAMILIES[pilot.family].defaults(optimizer, pilot.task) for optimizer in ("sgd", "adam"))
    run = flow(pilot, sgd, rtol=PILOT_RTOL, sampling=DENSE)
    if run.loss[0] - run.loss[-1] < PILOT_RTOL:
        run = adam_steps(pilot, adam, sampling=DENSE)[0]
    path = np.array(list(run.parameters.values())).T
    return path[np.linspace(0, len(path) - 1, MATCHED_POINTS + 1).astype(int)[1:]]


def _stacked(rules: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Rules of one length, that of the rule with most points of positive weight, as read-only arrays."""
    size = max(int((weights > 0).sum()) for _, weights in rules)
    chosen = [(m[order], w[order]) for m, w in rules for order in [np.argsort(-w, kind="stable")[:size]]]
    transition, weights = (np.stack(part) for part in zip(*chosen, strict=True))
    transition.flags.writeable = weights.flags.writeable = False
    return transition, weights

r"""Few weighted matrices that stand for a prior in the mean field of a family.

A mean field evaluates its gradient a hundred times along a path that depends little on the setting. So a small rule
only has to integrate what the gradient is made of near that path: it is chosen from a large rule
(`onset.theory.markov.expectations.compressed`) so that it has the large rule's gradient at points of two pilot
runs, entropies of the ideal strategies and signals of all lags. One pilot run is at the family's default rates, one
with matrices so fast that it follows the slow manifold of the plateau; points with more and with less match than on
that one give the curvature that fixes the match there. The error left is that of the large rule, and changes of the
path.

For two states both rules are products of Gauss-Legendre rules; beyond, Sobol sequences, each rule with a scrambling of
its own: the rules' spread is the error of a prediction. One more rule has the mean of the large rules' integrals. Laws
and corrected fields use it, and so tend to the same number as the mean field for T → ∞.

Rules are computed once per family, prior, lags and seed; the last `REMEMBERED` are kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onset.theory import randomness
from onset.theory.arrays import Array
from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.flow import DENSE, flow
from onset.theory.markov.expectations import compressed, has_product_rule, nodes
from onset.theory.markov.priors import Mixture, Prior
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import signals
from onset.theory.mean_fields.limit import MeanField
from onset.theory.models import FAMILIES
from onset.theory.recording import Trajectory

__all__ = ["SCRAMBLINGS", "Rules", "rules"]

SCRAMBLINGS = 4
"""Independent rules, for k > 2."""

PILOT_MATRICES = 1024
"""Matrices of the pilot runs, whose own error only moves the points."""

LARGE_PRODUCT = 4096
"""Points of a large product rule, k = 2."""

PILOT_CONTEXT = 256
"""Context of the pilot runs, which end with layer-1 attention on lag 1 wherever the mean field forms a head."""

MATCHED_POINTS = 2
"""Points of each pilot run at which gradients agree."""

FAST = 30.0
"""How much faster the matrices of the second pilot run are: its path is then the slow manifold to a few percent."""

MATCH_CHANGES = (-0.2, 0.2)
"""Relative changes of the match at which gradients agree too, about those between contexts of 50 and 10⁶."""

PILOT_RTOL = 1e-2
"""The pilot run's relative error per step, and the least loss, nats per token, that it has to gain."""

CANDIDATES = 2048
"""Matrices that a rule is chosen from: enough for positive weights to integrate a hundred functions exactly."""

TOGETHER = 256
"""Matrices whose gradients are computed together, so that they stay in a processor's cache."""

REMEMBERED = 64
"""Families, priors, lags and seeds whose rules are kept."""


class Rules(NamedTuple):
    """Rules that stand for a prior: independent ones, side by side, and one with the mean of their integrals.

    Attributes
    ----------
    each : (array, array), shape (rules, n, k, k) and (rules, n)
        Matrices, and weights, which sum to one in each rule.
    mean : (array, array), shape (n', k, k) and (n',)
    """

    each: tuple[Array, Array]
    mean: tuple[Array, Array]


@lru_cache(maxsize=REMEMBERED)
def rules(family: type[MeanField], prior: Prior, lags: int, seed: int = 0) -> Rules:
    """Rules for `MeanField` with `lags` lag logits.

    Parameters
    ----------
    family : subclass of MeanField
    prior : Prior
    lags : int
    seed : int
        Of the scramblings; without effect for two states.
    """
    task, functions = MarkovChains(prior, PILOT_CONTEXT), partial(signals, lags=lags)
    pilot = family(task, lags=lags, rule=nodes(prior, PILOT_MATRICES, randomness.generator(seed)))
    points = _pilot_points(pilot)[None]

    def integrands(transition: Array) -> Array:
        single = family(task, lags=lags, rule=(transition[:, None], np.ones((len(transition), 1))))
        return np.column_stack([functions(transition), single.derivatives(points).reshape(len(transition), -1)])

    def values_at(transition: Array) -> Array:
        starts = range(0, len(transition), TOGETHER)
        return np.concatenate([integrands(transition[n : n + TOGETHER]) for n in starts])

    product = has_product_rule(prior)
    large = LARGE_PRODUCT if product else family.matrices(prior.states)
    candidates: list[tuple[Array, Array]] = []
    exact: list[Array] = []
    for generator in randomness.generator(seed).spawn(1 if product else SCRAMBLINGS):
        matrices, weights, chosen = _large_rule(prior, large, generator)
        values = values_at(matrices)
        exact.append(weights @ values)
        if product:
            matrices, _, chosen = _large_rule(prior, CANDIDATES, generator)
            values = values_at(matrices)
        candidates.append((matrices[chosen], values[chosen]))
    chosen_rules = [_rule(*pair, integrals) for pair, integrals in zip(candidates, exact, strict=True)]
    mean = chosen_rules[0] if product else _rule(*candidates[0], np.mean(exact, axis=0))
    result = Rules(_stacked(chosen_rules), mean)
    for array in (*result.each, *result.mean):
        array.flags.writeable = False
    return result


def _large_rule(prior: Prior, count: int, generator: np.random.Generator) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Matrices and weights with as many for each component of a mixture, and which of them are candidates.

    The first points of a Sobol sequence are a good rule themselves.
    """
    parts = prior.parts if isinstance(prior, Mixture) else ((1.0, prior),)
    drawn = [(share, *nodes(part, -(-count // len(parts)), generator)) for share, part in parts]
    return (
        np.concatenate([matrices for _, matrices, _ in drawn]),
        np.concatenate([share * weights for share, _, weights in drawn]),
        np.concatenate([np.arange(len(weights)) < -(-CANDIDATES // len(parts)) for _, _, weights in drawn]),
    )


def _rule(matrices: Array, values: Array, exact: Array) -> tuple[Array, Array]:
    """The matrices that are left of the candidates, and their weights."""
    weights = compressed(values, exact)
    return matrices[weights > 0], weights[weights > 0]


def _pilot_points(pilot: MeanField) -> Array:
    """Points along the pilot runs; where gradient flow does not leave its start, along Adam's at default rates."""
    sgd, adam = (FAMILIES[pilot.family].defaults(optimizer, pilot.task) for optimizer in ("sgd", "adam"))
    run = flow(pilot, sgd, rtol=PILOT_RTOL, sampling=DENSE)
    if run.loss[0] - run.loss[-1] < PILOT_RTOL:
        return _spread_over(adam_steps(pilot, adam, sampling=DENSE)[0])
    rates = {
        group: rate * (1 if group == "lag_logits" else FAST) for group, rate in sgd.optimizer.learning_rate.items()
    }
    fast = replace(sgd, optimizer=replace(sgd.optimizer, learning_rate=rates))
    along = _spread_over(flow(pilot, fast, rtol=PILOT_RTOL, sampling=DENSE))
    match = np.zeros_like(along)
    match[:, 0] = along[:, 0] - along[:, 1]
    return np.concatenate([_spread_over(run), along, *(along + change * match for change in MATCH_CHANGES)])


def _spread_over(run: Trajectory) -> Array:
    """`MATCHED_POINTS` points of a run, the last one included and the start left out."""
    path = np.array(list(run.parameters.values())).T
    return path[np.linspace(0, len(path) - 1, MATCHED_POINTS + 1).astype(int)[1:]]


def _stacked(chosen: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Rules of one length; shorter ones end with points of no weight."""
    size = max(len(weights) for _, weights in chosen)
    padded = [(np.resize(m, (size, *m.shape[1:])), np.pad(w, (0, size - len(w)))) for m, w in chosen]
    transition, weights = (np.stack(part) for part in zip(*padded, strict=True))
    return transition, weights

r"""Positions u = t/T that stand for 1 … T, and sums over the sources s ≤ t of what layer 1 gives tracked lags.

Near an uninformed start q_r is of order 1/T, and averages of a_r are q_r ln(T/r): how the first few sources are counted
is then a relative effect of 1/ln T, larger than the 1/T that the limit T → ∞ neglects elsewhere. So the first R positions and sources
are summed one by one and integrals start after them; otherwise the answer would depend on R.

`LagShares` knows the sum of a_r in closed form, ∫ a_r du' = q_r ln(Q + u'), which is all that the linear family asks for. Beyond position R its nodes are
Gauss-Legendre in √u: there u p_r(u) is smooth enough that as many nodes serve every T.

`PositionGrid` sums whatever a family makes of each source's a_r. Its nodes are Gauss-Legendre in ln(Q + u'), in which a_r is a single exponential: one grid
resolves early and late positions, with a number of nodes that grows like ln T.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre

from onset.theory.arrays import Array

__all__ = ["LagShares", "PositionGrid", "legendre_rule"]

NODES = 7
"""Of `LagShares` beyond the first R: drives of all lags are then right to 2e-4, whatever T."""

PER_E_FOLD, EXTRA = 0.75, 3
"""Nodes of `PositionGrid` per unit of ln T, and beyond: transitions of both families are then right to 2e-4 at T = 10⁶, to 1e-6 at T = 100."""


class _Fixed(NamedTuple):
    """What `LagShares` has that does not depend on lag logits: u and weights (g,); what each of the first sources, once divided by its normaliser, adds to the
    sum of every lag up to every position (first, R g); which lags exist at which of them (R, first); and t + 1/2, not below that of the last of them (g,)."""

    u: Array
    weights: Array
    early: Array
    exists: Array
    until: Array


@lru_cache(maxsize=256)
def _fixed(lags: int, context: int, nodes: int) -> _Fixed:
    first = min(lags, context)
    x, w, _ = legendre_rule(nodes)
    root, width = (1 + x) / 2, context - first
    t = np.concatenate([np.arange(1, first + 1), first + 0.5 + width * root**2])
    weights = np.concatenate([np.ones(first), w * width * root]) / context
    exists = np.tri(first, lags)
    reached = np.arange(1, first + 1)[:, None] <= t
    early = (exists[..., None] * reached[:, None]).reshape(first, -1) / context
    return _Fixed(t / context, weights, early, exists.T, np.maximum(t, first) + 0.5)


class LagShares:
    """The sum of each lag's layer-1 weight over the sources up to a position, in closed form.

    Parameters
    ----------
    lag_logits : array, shape (..., R)
    context : int
    nodes : int, optional
        Beyond the first R; by default `NODES`.

    Attributes
    ----------
    u, weights : array, shape (g,)
        ``weights @ f`` is the mean of f over positions.
    reach : array, shape (..., R, g)
        u p_r(u) = Σ_{s ≤ uT} a_r(s)/T.
    """

    def __init__(self, lag_logits: Array, context: int, nodes: int | None = None) -> None:
        lags, self._context = lag_logits.shape[-1], context
        plan = self._plan = _fixed(lags, context, NODES if nodes is None else nodes)
        self.u, self.weights, first = plan.u, plan.weights, len(plan.early)
        self._weight = np.exp(lag_logits)
        total = self._weight.cumsum(axis=-1)
        excess = total[..., -1:] - lags
        # One over the normalisers at the first sources, and those at the edges of the integral.
        self._inverse = 1 / total[..., :first]
        self._before, self._until = first + 0.5 + excess, plan.until + excess
        per_weight = (self._inverse[..., None, :] @ plan.early).reshape(*lag_logits.shape, -1)
        per_weight += (np.log(self._until / self._before) / context)[..., None, :]
        self.reach = per_weight * self._weight[..., None]

    def by_lag_logits(self, by_reach: Array) -> Array:
        """∂L/∂v from ∂L/∂reach."""
        plan, weight = self._plan, self._weight
        by_weight = by_reach * weight[..., None]
        by_inverse = (plan.early @ by_weight.reshape(*weight.shape[:-1], -1, 1))[..., 0]
        by_total = (by_inverse * self._inverse**2) @ plan.exists.T
        by_excess = by_weight.sum(axis=-2) * (1 / self._until - 1 / self._before)
        own = (by_reach * self.reach).sum(axis=-1)
        return own + weight * (by_excess.sum(axis=-1, keepdims=True) / self._context - by_total)


class _Plan(NamedTuple):
    """What a grid of positions has that does not depend on lag logits: the number of early positions and their u, the late nodes less
    -1, weights, running sums, the last half of a sum, and which lags exist at each source."""

    first: int
    early: Array
    nodes: Array
    quadrature: Array
    running: Array
    last: Array
    exists: Array


@lru_cache(maxsize=256)
def _plan(lags: int, context: int, nodes: int) -> _Plan:
    first = min(lags, context)
    x, w, integrals = legendre_rule(nodes)
    size = first + nodes
    running = np.tri(size, first)
    running = np.concatenate([running, np.zeros((size, nodes))], axis=1)
    running[first:, first:] = integrals
    # A sum over sources up to t is an integral up to t + 1/2: the last half is the integrand there.
    last = np.diag(np.repeat([0.0, 1 / (2 * context)], [first, nodes]))
    exists = np.concatenate([np.tri(first, lags).T, np.ones((lags, nodes))], axis=1)
    quadrature = np.concatenate([np.ones(first), w])
    return _Plan(first, np.arange(1, first + 1) / context, 1 + x, quadrature, running, last, exists)


@lru_cache(maxsize=64)
def legendre_rule(points: int) -> tuple[Array, Array, Array]:
    """Gauss-Legendre nodes and weights on [-1, 1], and the matrix of running integrals ∫₋₁^{x_n} of what interpolates there."""
    x, w = legendre.leggauss(points)
    integrals = np.stack([legendre.legval(x, legendre.legint(unit, lbnd=-1)) for unit in np.eye(points)], axis=-1)
    return x, w, integrals @ np.linalg.inv(legendre.legvander(x, points - 1))


class PositionGrid:
    """Positions u = t/T that stand for 1 … T: the first R one by one, quadrature nodes for the rest.

    Parameters
    ----------
    lag_logits : array, shape (..., R)
    context : int
    nodes : int, optional
        Beyond the first R; by default `PER_E_FOLD` ln T + `EXTRA`, rounded up.

    Attributes
    ----------
    u : array, shape (..., g)
    weights : array, shape (..., g)
        ``weights @ f`` is the mean of f over positions.
    cumulative : array, shape (..., g, g)
        ``(cumulative @ f)[n]`` is the sum of f over sources up to u_n, divided by T.
    attention : array, shape (..., R, g)
        a_r: layer-1 weight of lag r at each source.
    """

    def __init__(self, lag_logits: Array, context: int, nodes: int | None = None) -> None:
        *batch, lags = lag_logits.shape
        plan = _plan(lags, context, int(np.ceil(PER_E_FOLD * np.log(context))) + EXTRA if nodes is None else nodes)
        first, size = plan.first, len(plan.quadrature)
        weight = np.exp(lag_logits)
        total = weight.cumsum(axis=-1)
        excess = total[..., -1:] - lags
        start, stop = lags + 0.5 + excess, context + 0.5 + excess
        half = np.log(np.maximum(stop / start, 1.0)) / 2
        beyond = start * np.expm1(half * plan.nodes)
        self.u, stretch, normaliser = np.empty((3, *batch, size))
        self.u[..., :first], stretch[..., :first], normaliser[..., :first] = plan.early, 1 / context, total[..., :first]
        normaliser[..., first:] = start + beyond
        self.u[..., first:] = (lags + 0.5 + beyond) / context
        stretch[..., first:] = normaliser[..., first:] * (half / context)
        self.weights = plan.quadrature * stretch
        self.cumulative = plan.running * stretch[..., None, :] + plan.last
        self.attention = weight[..., None] * (plan.exists / normaliser[..., None, :])

    def by_lag_logits(self, by_attention: Array) -> Array:
        """∂L/∂v from ∂L/∂a, both summed over sources: layer 1 is a softmax, ∂a_r/∂v_s = a_r (δ_rs - a_s)."""
        flow = self.attention * by_attention
        return flow.sum(axis=-1) - (self.attention @ flow.sum(axis=-2)[..., None])[..., 0]

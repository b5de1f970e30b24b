r"""The linear family in the mean-field limit.

Logits f_t = Σ_{s≤t} (e_tᵀ W z_s) e_s with W = ωI + c·11ᵀ. With C = Tc and Ω = Tω held fixed as T → ∞,

    f_j(u; i) = u { C π_j + Ω π_i [ π_j + Σ_r p_r(u) ((P^r)_ij - π_j) ] },    p_r(u) = (1/u) ∫₀^u a_r(u') du'.

The logit below is differentiated and evaluated as it stands. The integral p_r = (q_r/u) ln(1 + u/Q) is the limit
against which the sum over sources, `LagShares`, is tested: the first R sources are summed one by one, as in
`onset.theory.mean_fields.positions`, the others by ∫ a_r du' = q_r ln(Q + u'). Beyond position R the nodes are
Gauss-Legendre in √u: there u p_r(u) is smooth enough that as many nodes serve every T. Derived here; the model is the
minimal one of arXiv 2402.11004 (released code: row-softmax lag weights).
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.polynomial import legendre

from onset.theory.arrays import Array
from onset.theory.mean_fields.limit import Logits, MeanField

__all__ = ["LagShares", "LinearMeanField", "lag_share", "layer1_weight", "logit", "logit_and_slopes"]

ROOT_NODES = 7
"""Nodes of `LagShares` beyond the first R: drives of all lags are then right to 2e-4, whatever T."""

u, source = sp.symbols("u u'", positive=True)
q, Q = sp.symbols("q_r Q", positive=True)
C, Omega, pi_i, pi_j, excess = sp.symbols("C Omega pi_i pi_j X", real=True)


def layer1_weight() -> sp.Expr:
    """a_r(u'): share of layer-1 attention that source u' gives a tracked lag."""
    return q / (Q + source)


@cache
def lag_share() -> sp.Expr:
    """p_r(u): the layer-1 weight of lag r averaged over the sources up to u; equals (q_r/u) ln(1 + u/Q)."""
    return sp.logcombine(sp.integrate(layer1_weight(), (source, 0, u)), force=True) / u


def logit() -> sp.Expr:
    """f_j(u; i), with X = Σ_r p_r(u) ((P^r)_ij - π_j) the lags' excess over the background."""
    return u * (C * pi_j + Omega * pi_i * (pi_j + excess))


@cache
def _compiled() -> Any:
    partials = [logit(), *(sp.diff(logit(), symbol) for symbol in (C, Omega, excess))]
    return sp.lambdify((u, C, Omega, pi_i, pi_j, excess), partials, "numpy", cse=True)


def logit_and_slopes(u: Array, C: float, Omega: float, pi_i: Array, pi_j: Array, excess: Array | float) -> list[Array]:
    """The logit and its derivatives by C, Ω and X, on arrays that broadcast."""
    return _compiled()(u, C, Omega, pi_i, pi_j, excess)


@cache
def _coefficients() -> Any:
    """The logit over u is bilinear: its coefficients by C, Ω and ΩX, of π_i and π_j."""
    slopes = [sp.diff(logit() / u, symbol) for symbol in (C, Omega)]
    return sp.lambdify((pi_i, pi_j), [slopes[0], slopes[1].subs(excess, 0), sp.diff(slopes[1], excess)], "numpy")


@lru_cache(maxsize=256)
def _share_constants(lags: int, context: int, nodes: int) -> tuple[Array, Array, Array, Array, Array]:
    """What `LagShares` has that does not depend on lag logits.

    u and weights (g,); what each of the first sources, divided by its normaliser, adds to the sum of every lag up to
    every position (first, R g); which lags exist at these sources (R, first); and t + 1/2, not below that of the last
    of them (g,).
    """
    first = min(lags, context)
    x, w = legendre.leggauss(nodes)
    root, width = (1 + x) / 2, context - first
    t = np.concatenate([np.arange(1, first + 1), first + 0.5 + width * root**2])
    weights = np.concatenate([np.ones(first), w * width * root]) / context
    exists = np.tri(first, lags)
    early = (exists[..., None] * (np.arange(1, first + 1)[:, None] <= t)[:, None]).reshape(first, -1) / context
    return t / context, weights, early, exists.T, np.maximum(t, first) + 0.5


class LagShares:
    """The sum of each lag's layer-1 weight over the sources up to a position, in closed form.

    Parameters
    ----------
    lag_logits : array, shape (..., R)
    context : int
    nodes : int, optional
        Nodes beyond the first R positions; by default `ROOT_NODES`.

    Attributes
    ----------
    u, weights : array, shape (g,)
        ``weights @ f`` is the mean of f over positions.
    reach : array, shape (..., R, g)
        u p_r(u) = Σ_{s ≤ uT} a_r(s)/T.
    """

    def __init__(self, lag_logits: Array, context: int, nodes: int | None = None) -> None:
        lags, self._context = lag_logits.shape[-1], context
        constants = _share_constants(lags, context, ROOT_NODES if nodes is None else nodes)
        self.u, self.weights, self._early, self._exists, until = constants
        first = len(self._early)
        self._weight = np.exp(lag_logits)
        total = self._weight.cumsum(axis=-1)
        excess = total[..., -1:] - lags
        # One over the normalisers at the first sources, and those at the edges of the integral.
        self._inverse = 1 / total[..., :first]
        self._before, self._until = first + 0.5 + excess, until + excess
        per_weight = (self._inverse[..., None, :] @ self._early).reshape(*lag_logits.shape, -1)
        per_weight += (np.log(self._until / self._before) / context)[..., None, :]
        self.reach = per_weight * self._weight[..., None]

    def by_lag_logits(self, by_reach: Array) -> Array:
        """∂L/∂v from ∂L/∂reach."""
        weight = self._weight
        by_weight = by_reach * weight[..., None]
        by_inverse = (self._early @ by_weight.reshape(*by_weight.shape[:-2], -1, 1))[..., 0]
        by_total = (by_inverse * self._inverse**2) @ self._exists.T
        by_excess = by_weight.sum(axis=-2) * (1 / self._until - 1 / self._before)
        direct = (by_reach * self.reach).sum(axis=-1)
        return direct + weight * (by_excess.sum(axis=-1, keepdims=True) / self._context - by_total)


class LinearMeanField(MeanField):
    """Mean-field loss of the linear family; `match` coordinates are the entries of W (c + ω on the diagonal, c off it).

    The logits are a product of coefficients of C, Ω and Ω p_r, which depend on the prior's node, with functions of
    position.
    """

    family = "linear"

    @classmethod
    def matrices(cls, states: int) -> int:
        """More matrices for more states: the match of the plateau is a third moment of the stationary law.

        Its drive then scatters by 0.3% from rule to rule with three states, 1% with four and 3% with eight.
        """
        return 1 << (9 + min(states, 5))

    def _prepare(self, powers: Array) -> None:
        of_scale, of_match, of_excess = _coefficients()(self.query[..., None, None], self.stationary[..., None])
        columns = np.concatenate([of_scale, of_match, of_excess * self.deviation], axis=-1)
        # (rules, 1, symbol and node, coefficient)
        stacked = columns.swapaxes(-2, -3).reshape(self.replicates, 1, -1, columns.shape[-1])
        self._columns = np.ascontiguousarray(stacked)
        self._rows = np.ascontiguousarray(stacked.swapaxes(-1, -2))

    def logits(self, points: Array) -> Logits:
        context = self.task.context
        shares = LagShares(points[..., self.layout.lags], context)
        u, reach = shares.u, shares.reach
        scale = context * points[..., 1, None]
        match = context * points[..., 0, None] - scale
        factors = np.concatenate(
            [(u * scale)[..., None, :], (u * match)[..., None, :], match[..., None] * reach], axis=-2
        )
        logits = self._columns @ factors
        batch = logits.shape[:2]  # (rules, points), also where all rules share their points

        def pullback(by_logit: Array) -> Array:
            by_factor = self._rows @ by_logit.reshape(*batch, -1, len(u))
            by_factor *= shares.weights
            by_both = by_factor[..., :2, :] @ u
            by_match = by_both[..., 1] + (by_factor[..., 2:, :] * reach).sum(axis=(-1, -2))
            out = np.empty((*batch, points.shape[-1]))
            out[..., 0], out[..., 1] = context * by_match, context * (by_both[..., 0] - by_match)
            out[..., self.layout.lags] = shares.by_lag_logits(match[..., None] * by_factor[..., 2:, :])
            return out

        return Logits(logits.reshape(*batch, self.task.states, -1, len(u)), shares.weights, pullback)

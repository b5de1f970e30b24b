r"""The linear family in the mean-field limit.

Logits f_t = Σ_{s≤t} (e_tᵀ W z_s) e_s with W = ωI + c·11ᵀ. With C = Tc and Ω = Tω held fixed as T → ∞,

    f_j(u; i) = u { C π_j + Ω π_i [ π_j + Σ_r p_r(u) ((P^r)_ij - π_j) ] },    p_r(u) = (1/u) ∫₀^u a_r(u') du'.

The logit below is differentiated and evaluated as it stands. The integral p_r = (q_r/u) ln(1 + u/Q) is the limit
against which the sum over sources, `onset.theory.mean_fields.positions.LagShares`, is tested. Derived here; the model
is the minimal one of arXiv 2402.11004 (released code: row-softmax lag weights).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.mean_fields.limit import Logits, MeanField
from onset.theory.mean_fields.positions import LagShares

__all__ = ["LinearMeanField", "lag_share", "layer1_weight", "logit", "logit_and_slopes"]

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


class LinearMeanField(MeanField):
    """Mean-field loss of the linear family; `match` coordinates are the entries of W (c + ω on the diagonal, c off it).

    The logits are a product of coefficients of C, Ω and Ω p_r, which depend on the prior's node, with functions of
    position.
    """

    family = "linear"

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
        logits = (self._columns @ factors).reshape(*points.shape[:2], self.task.states, -1, len(u))

        def pullback(by_logit: Array) -> Array:
            by_factor = self._rows @ by_logit.reshape(*points.shape[:2], -1, len(u))
            by_factor *= shares.weights
            by_both = by_factor[..., :2, :] @ u
            by_match = by_both[..., 1] + (by_factor[..., 2:, :] * reach).sum(axis=(-1, -2))
            out = np.empty_like(points)
            out[..., 0], out[..., 1] = context * by_match, context * (by_both[..., 0] - by_match)
            out[..., self.layout.lags] = shares.by_lag_logits(match[..., None] * by_factor[..., 2:, :])
            return out

        return Logits(logits, shares.weights, pullback)

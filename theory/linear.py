r"""The linear family in the mean-field limit.

Logits f_t = Σ_{s≤t} (e_tᵀ W z_s) e_s with W = ωI + c·11ᵀ. With C = Tc and Ω = Tω held fixed as T → ∞,

    f_j(u; i) = u { C π_j + Ω π_i [ π_j + Σ_r p_r(u) ((P^r)_ij - π_j) ] },    p_r(u) = (1/u) ∫₀^u a_r(u') du'.

The logit below is differentiated and evaluated as it stands. The integral p_r = (q_r/u) ln(1 + u/Q) is the limit against
which the sum over sources, `theory.mean_field.PositionGrid`, is tested.
Derived here; the model is the minimal one of arXiv 2402.11004 (released code: row-softmax lag weights).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from theory.chains import Array
from theory.mean_field import MeanField, PositionGrid, Pullback

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


class LinearMeanField(MeanField):
    """Mean-field loss of the linear family; `match` coordinates are the entries of W, unscaled (c + ω on the diagonal, c off it)."""

    def logits(self, point: Array, grid: PositionGrid) -> tuple[Array, Pullback]:
        diagonal, off_diagonal = point[:2] * self.setting.context
        share = (grid.attention @ grid.cumulative.T) / grid.u
        pi_query, pi_next = self.query[:, None, None], self.stationary[:, :, None]
        logits, by_C, by_Omega, by_excess = logit_and_slopes(
            grid.u, off_diagonal, diagonal - off_diagonal, pi_query, pi_next, self.deviation @ share
        )

        def pullback(by_logit: Array) -> Array:
            scale, match = float((by_logit * by_C).sum()), float((by_logit * by_Omega).sum())
            by_share = self.deviation.reshape(-1, len(share)).T @ (by_logit * by_excess).reshape(-1, len(grid.u))
            by_lags = grid.by_lag_logits((by_share / grid.u) @ grid.cumulative)
            return np.array([self.setting.context * match, self.setting.context * (scale - match), *by_lags])

        return logits, pullback

r"""The softmax family in the mean-field limit.

Logits f_t = Uᵀ Σ_{s≤t} softmax_s(e_tᵀ W z_s) e_s with W = ωI + c·11ᵀ and U = μI + d·11ᵀ; z_s sums to one, so c and d
shift all scores or all logits of a position alike and drop out.

Take source u' and query state i. Its tracked predecessors x_{s-r} raise the score by ω a_r(u') each time they equal i,
the background by ω π_i (1 - Σ_r a_r(u')). The expected weight of sources that hold symbol j is then a product along the
chain,

    h_j(u'; i) = e^{ω π_i (1 - Σ_r a_r)} [ π D_{R-1} P D_{R-2} P ⋯ P D_0 ]_j,    D_r = I + (e^{ω a_r(u')} - 1) e_i e_iᵀ,

exact for R tracked lags. That is an expectation over which of them match: with ρ_S the probability that x_{s-r} = i for
lags r in S and for no other,

    h_j = e^{ω π_i (1 - Σ_r a_r)} Σ_S e^{ω Σ_{r∈S} a_r} ρ_S(x_s = j)    over sets S of lags,

a product of what depends on the source with what depends on the chain. Counts concentrate, so that layer 2 reads

    y_j(u; i) = ∫₀^u h_j du' / Σ_l ∫₀^u h_l du',    f_j = μ y_j.

Derived here. Range of validity: T → ∞ at fixed μ, ω. From all-zero weights the first signal for ω is itself of order ln
T / T, as are the fluctuations of counts that this limit neglects: the plateau's length is then right only in order of
magnitude.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onset.theory.arrays import Array
from onset.theory.mean_fields.limit import Logits, MeanField
from onset.theory.mean_fields.positions import PositionGrid

__all__ = ["SoftmaxMeanField"]

MOST_EXPANDED = 8
"""Lags up to which the product is expanded over their sets; of more, matrices are multiplied."""


class SoftmaxMeanField(MeanField):
    """Mean-field loss of the softmax family in the entries of W and U (diagonal, off-diagonal) and the lag logits."""

    family = "softmax"

    def _prepare(self, powers: Array) -> None:
        shape = self.replicates, 1, *self.row.shape[-2:]
        lags = powers.shape[-1]
        self._pi_query = self.query.reshape(*shape[:3], 1)
        if lags <= MOST_EXPANDED and shape[2] > 1:
            self.source_law: _Expanded | _Chained = _Expanded(
                self.stationary.reshape(shape), powers.reshape(*shape, lags)
            )
        else:
            self.source_law = _Chained(self.stationary.reshape(shape), self.transition.reshape(*shape, -1))

    def logits(self, points: Array) -> Logits:
        points = np.broadcast_to(points, (self.replicates, *points.shape[1:]))
        grid = PositionGrid(points[..., self.layout.lags], self.task.context)
        omega = (points[..., 0] - points[..., 1])[..., None, None]
        mu = (points[..., 2] - points[..., 3])[..., None, None, None]
        attention = grid.attention
        untracked = self._pi_query * (1 - attention.sum(axis=-2, keepdims=True))
        background = np.exp(omega * untracked - np.maximum(omega, 0.0))
        law, law_pullback = self.source_law(omega * attention)
        law *= background[..., None, :, :]
        mass = law @ np.ascontiguousarray(grid.cumulative.swapaxes(-1, -2))[..., None, :, :]
        total = mass.sum(axis=-3, keepdims=True)
        read = mass / total

        def pullback(by_logit: Array) -> Array:
            along = (by_logit * read).sum(axis=-3, keepdims=True)
            weights = grid.weights[..., None, None, :]
            by_mu = (along * weights).sum(axis=(-1, -2, -3))
            by_mass = (by_logit - along) * (mu * weights / total)
            by_law = by_mass @ grid.cumulative[..., None, :, :]
            by_exponent = (by_law * law).sum(axis=-3)
            by_law *= background[..., None, :, :]
            by_score = law_pullback(by_law)
            by_omega = (by_score * attention).sum(axis=(-1, -2)) + (by_exponent * untracked).sum(axis=(-1, -2))
            by_attention = omega * (by_score - (self._pi_query * by_exponent).sum(axis=-2, keepdims=True))
            out = np.empty(points.shape)
            out[..., 0], out[..., 1], out[..., 2], out[..., 3] = by_omega, -by_omega, by_mu, -by_mu
            out[..., self.layout.lags] = grid.by_lag_logits(by_attention)
            return out

        return Logits(mu * read, grid.weights, pullback)


LawPullback = Callable[[Array], Array]


class _Expanded:
    """h_j without the background's factor, as a sum over sets of lags; bit r of a set's number says whether r is in it.

    Called with scores ω a_r, shape (rules, points, R, source), it returns h, shape (rules, points, symbol, prior node,
    source), and the map from ∂L/∂h to the derivative by scores.
    """

    def __init__(self, law: Array, powers: Array) -> None:
        states, lags = law.shape[-1], powers.shape[-1]
        returning = powers[..., 0, None, :]
        # The probability that the lags of a set match, whatever others do:
        # π_i (P^{s_2-s_1})_ii (P^{s_3-s_2})_ii ⋯ (P^{s_1})_ij.
        columns, latest = [law], [-1]
        for r in range(lags):
            for n in range(1 << r):
                before = law[..., :1] * powers[..., r] if n == 0 else columns[n] * returning[..., r - latest[n]]
                columns.append(before)
                latest.append(r)
        by_set = np.stack(columns, axis=-1).swapaxes(-2, -3)
        for r in range(lags):  # and no other
            halves = by_set.reshape(*by_set.shape[:-1], -1, 2, 1 << r)
            halves[..., 0, :] -= halves[..., 1, :]
        self._shape = states, law.shape[-2]
        self._columns = by_set.reshape(*law.shape[:2], -1, len(columns))
        self._rows = np.ascontiguousarray(self._columns.swapaxes(-1, -2))
        self._members = (np.arange(1 << lags) >> np.arange(lags)[:, None] & 1).astype(float)

    def __call__(self, score: Array) -> tuple[Array, LawPullback]:
        *batch, _, sources = score.shape
        weights = np.exp(self._members.T @ score)

        def pullback(by_law: Array) -> Array:
            by_weight = self._rows @ by_law.reshape(*batch, -1, sources)
            by_weight *= weights
            return self._members @ by_weight

        return (self._columns @ weights).reshape(*batch, *self._shape, sources), pullback


class _Chained:
    """The same as a product of matrices, for many lags."""

    def __init__(self, law: Array, transition: Array) -> None:
        self._law, self._transition = law, transition
        self._forward = transition.swapaxes(-1, -2)

    def __call__(self, score: Array) -> tuple[Array, LawPullback]:
        *batch, lags, sources = score.shape
        factor = np.exp(score)
        law = np.broadcast_to(self._law[..., None], (*batch, *self._law.shape[2:], sources))
        before = []
        for r in reversed(range(lags)):
            law = law.copy() if r == lags - 1 else self._forward @ law
            before.append(law[..., 0, :].copy())
            law[..., 0, :] *= factor[..., r, None, :]

        def pullback(by_law: Array) -> Array:
            by_law, by_factor = by_law.swapaxes(-2, -3), np.empty_like(factor)
            for r in range(lags):
                by_law = by_law.copy() if r == 0 else self._transition @ by_law
                by_factor[..., r, :] = (by_law[..., 0, :] * before[lags - 1 - r]).sum(axis=-2)
                by_law[..., 0, :] *= factor[..., r, None, :]
            return by_factor * factor

        return law.swapaxes(-2, -3), pullback

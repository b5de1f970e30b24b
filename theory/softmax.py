r"""The softmax family in the mean-field limit.

Logits f_t = Uᵀ Σ_{s≤t} softmax_s(e_tᵀ W z_s) e_s with W = ωI + c·11ᵀ and U = μI + d·11ᵀ; z_s sums to one, so c and d
shift all scores or all logits of a position alike and drop out.

Take source u' and query state i. Its tracked predecessors x_{s-r} raise the score by ω a_r(u') each time they equal i,
the background by ω π_i (1 - Σ_r a_r(u')). The expected weight of sources that hold symbol j is then a product along the chain,

    h_j(u'; i) = e^{ω π_i (1 - Σ_r a_r)} [ π D_{R-1} P D_{R-2} P ⋯ P D_0 ]_j,    D_r = I + (e^{ω a_r(u')} - 1) e_i e_iᵀ,

exact for R tracked lags, and counts concentrate, so that layer 2 reads

    y_j(u; i) = ∫₀^u h_j du' / Σ_l ∫₀^u h_l du',    f_j = μ y_j.

Derived here. Range of validity: T → ∞ at fixed μ, ω. From all-zero weights the first signal for ω is itself of order
ln T / T, as are the fluctuations of counts that this limit neglects: the plateau's length is then right only in order of magnitude.
"""

from __future__ import annotations

import numpy as np

from theory.chains import Array
from theory.mean_field import MeanField, PositionGrid, Pullback

__all__ = ["SoftmaxMeanField"]


class SoftmaxMeanField(MeanField):
    """Mean-field loss of the softmax family in the entries of W and U (diagonal, off-diagonal) and the lag logits."""

    def logits(self, point: Array, grid: PositionGrid) -> tuple[Array, Pullback]:
        omega, mu = point[0] - point[1], point[2] - point[3]
        attention = grid.attention
        untracked = self.query[:, None] * (1 - attention.sum(axis=0))
        weight, parts = self._source_law(omega, attention, untracked)
        mass = weight @ grid.cumulative.T
        total = mass.sum(axis=1, keepdims=True)
        read = mass / total

        def pullback(by_logit: Array) -> Array:
            by_mu = float((by_logit * read).sum())
            by_mass = mu * (by_logit - (by_logit * read).sum(axis=1, keepdims=True)) / total
            by_score, by_attention = self._source_pullback(
                by_mass @ grid.cumulative, omega, attention, untracked, parts
            )
            return np.array([by_score, -by_score, by_mu, -by_mu, *grid.by_lag_logits(by_attention)])

        return mu * read, pullback

    def _source_law(self, omega: float, attention: Array, untracked: Array) -> tuple[Array, list[Array]]:
        """h_j(u') up to a factor common to all sources, shape (prior node, symbol, source), and the product before each D_r."""
        highest = max(omega, 0.0)
        law = self.stationary[:, :, None] * np.exp(omega * untracked - highest)[:, None, :]
        forward = self.transition.transpose(0, 2, 1)
        before = []
        for r in reversed(range(len(attention))):
            before.append(law)
            law = law.copy()
            law[:, 0] *= np.exp(omega * attention[r])
            if r > 0:
                law = forward @ law
        return law, before

    def _source_pullback(
        self, by_weight: Array, omega: float, attention: Array, untracked: Array, before: list[Array]
    ) -> tuple[float, Array]:
        by_omega, by_attention = 0.0, np.empty_like(attention)
        for r, law in enumerate(reversed(before)):
            by_weight = self.transition @ by_weight if r > 0 else by_weight.copy()
            by_weight[:, 0] *= np.exp(omega * attention[r])
            by_exponent = (by_weight[:, 0] * law[:, 0]).sum(axis=0)
            by_omega += float(by_exponent @ attention[r])
            by_attention[r] = omega * by_exponent
        by_background = (by_weight * before[0]).sum(axis=1)
        by_omega += float((by_background * untracked).sum())
        return by_omega, by_attention - omega * (self.query @ by_background)

r"""The corrected mean field of the linear family: the weight G_s of a source, and logits from the sums S."""

from __future__ import annotations

import numpy as np

from onset.theory.arrays import Array
from onset.theory.mean_fields.corrected.base import Corrected, EarlyPullback, Link, Pullback
from onset.theory.mean_fields.corrected.moments import Moments

__all__ = ["LinearCorrected"]


class LinearCorrected(Corrected):
    """The linear family, f = S with G_s = c + ω z_s.

    G_s is linear in the memory, so that m and K are exact except for fluctuations of lags that are not followed.
    """

    family = "linear"

    def remember(self, transition: Array) -> None:
        super().remember(transition)
        memory = self.memory
        followed = len(memory.second) - 1
        # E[1(x_{s-r} = 0) | x_s = b] of lag 0 and of lags that are not followed, shape (R, T, k, n).
        self._known = np.zeros((len(memory.back), *memory.second.shape[2:]))
        self._known[0, :, 0] = 1.0
        for r in range(followed, len(memory.back)):
            self._known[r, r:] = memory.back[r]

    def source(self, point: Array) -> tuple[Array, Pullback]:
        omega, c = point[0] - point[1], point[1]
        excess, inverse, by_lag_logits = self.normaliser(point)
        known, inside = self._known, slice(1, len(self.memory.second) - 1)
        raised = np.concatenate([[1.0], excess[inside]])
        summed = np.tensordot(excess, known, 1)
        shown = np.empty((1 + len(raised), *summed.shape))
        shown[0] = summed * inverse[:, None, None]
        shown[1:] = (raised[:, None] * inverse)[..., None, None]
        weights = omega * shown
        weights[0] += c

        def pullback(by_w: Array) -> Array:
            by_omega, by_c = float((by_w * shown).sum()), float(by_w[0].sum())
            by_followed = by_w[1:].sum(axis=(2, 3))
            by_excess = np.tensordot(known, by_w[0] * inverse[:, None, None], 3)
            by_excess[inside] += (by_followed @ inverse)[1:]
            by_inverse = (by_w[0] * summed).sum(axis=(1, 2)) + raised @ by_followed
            return np.array([by_omega, by_c - by_omega, *by_lag_logits(omega * by_excess, omega * by_inverse)])

        return weights, pullback

    def early_logits(self, attention: Array, point: Array) -> tuple[Array, EarlyPullback]:
        omega, held = point[0] - point[1], self.early.held
        logits = ((point[1] + omega * attention)[:, None, :] @ held)[:, 0]

        def pullback(by_logits: Array) -> tuple[Array, Array]:
            by_score = (held @ by_logits[..., None])[..., 0]
            by_omega, by_c = float((by_score * attention).sum()), float(by_score.sum())
            return omega * by_score, np.array([by_omega, by_c - by_omega])

        return logits, pullback

    def link(self, moments: Moments, point: Array) -> Link:
        return Link(moments.mean, moments.covariance, lambda by_m, by_k: (moments.pullback(by_m, by_k), np.zeros(0)))

    def with_counts(self, moments: Moments, cross: Array, point: Array) -> Array:
        return np.einsum("gnjj->gnj", cross) / 2

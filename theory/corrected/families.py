r"""What each toy family puts into `theory.corrected.dynamics`: the weight G_s of a source, and how logits follow from the sums S."""

from __future__ import annotations

import numpy as np

from theory.chains import Array
from theory.corrected.dynamics import Adjoint, Corrected
from theory.corrected.moments import TINY, Moments

__all__ = ["LinearCorrected", "SoftmaxCorrected"]

RARE = 1e-12
"""A state that is seen less often than this at some lag does not count there."""


def _normaliser(lag_logits: np.ndarray, sources: Array) -> tuple[np.ndarray, np.ndarray]:
    """e^{v_r} - 1 (R,), and 1/(s + Σ_{r<s} (e^{v_r} - 1)), shape (T,): the weight that source s gives an untracked lag."""
    excess = np.exp(lag_logits) - 1
    existing = sources[:, None] > np.arange(len(excess))
    return excess, 1 / (sources + existing @ excess)


class LinearCorrected(Corrected):
    """The linear family, f = S with G_s = c + ω z_s: linear in the memory, so that m and K are exact."""

    def source(self, match: np.ndarray, lag_logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        omega, c = match[0] - match[1], match[1]
        excess, inverse = _normaliser(lag_logits, self.sources)
        slope = omega * inverse[:, None] * np.concatenate([[1.0], excess[1:]])
        level = c + np.einsum("snbx,sx->snb", self.memory.mean, slope)
        level[:, :, 0] += (omega * inverse * excess[0])[:, None]
        return level, np.broadcast_to(slope[:, None, None, :], self.memory.mean.shape)

    def early_logits(self, seen: np.ndarray, point: np.ndarray) -> np.ndarray:
        score = point[1] + (point[0] - point[1]) * seen
        return (score[:, None, :] @ self.early.held)[:, 0]

    def link(self, found: Moments, point: Array) -> tuple[Array, Array, Adjoint]:
        return found.mean, found.covariance, lambda by_m, by_k: (by_m, by_k, np.zeros(len(point)))

    def with_counts(self, found: Moments, cross: Array, point: Array) -> Array:
        return np.einsum("gnjj->gnj", cross) / 2


class SoftmaxCorrected(Corrected):
    r"""The softmax family, G_s = e^{ω z_s} up to a common factor and f = μ S/|S| + d.

    With η = ω/normaliser, what the tracked lags of a source contribute to E[G_s | x_s = b] is a product along the reversed chain, as in
    `theory.softmax`, begun with the background N' of the lags r ≥ R: E e^{ηN'} ≈ exp(η E N' + ½ η² Var N'), given x_{s-R+1}. The
    ratio's second-order bias and covariance are divided by 1 + Var|S|/(E|S|)², which keeps them bounded where a few sources take all the
    attention. The slopes are η g_s for N, and κ g_s/(1 + κ E[1(x_{s-r} = 0) | x_s]), κ = e^{η(e^{v_r} - 1)} - 1, for the lag r.
    """

    def source(self, match: np.ndarray, lag_logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        memory, lags = self.memory, len(lag_logits)
        omega = match[0] - match[1]
        excess, inverse = _normaliser(lag_logits, self.sources)
        eta = omega * inverse
        level = np.zeros(memory.mean.shape[:-1], dtype=eta.dtype)
        level[lags - 1 :] = eta[lags - 1 :, None, None] * self._background[0]
        level[lags - 1 :] += eta[lags - 1 :, None, None] ** 2 / 2 * self._background[1]
        np.exp(level - max(omega.real, 0.0), out=level)
        for r in reversed(range(lags)):
            level[r:, :, 0] *= np.exp(eta[r:] * (1 + excess[r]))[:, None]
            if r > 0:
                level = np.einsum("nba,sna->snb", memory.reversed, level, optimize=True)
        rate = np.empty(memory.mean.shape, dtype=eta.dtype)
        rate[..., 0] = eta[:, None, None]
        raised = eta[:, None, None, None] * excess[1:]
        # Whichever sign the exponent has, the exponential is below one.
        low = np.exp(np.where(raised.real > 0, -raised, raised)) - 1
        held = np.where(raised.real > 0, 1 - memory.mean[..., 1:], memory.mean[..., 1:])
        held = np.minimum(held, 1 - RARE)
        rate[..., 1:] = np.where(raised.real > 0, -low, low) / (1 + low * held)
        return level, rate * level[..., None]

    @property
    def _background(self) -> tuple[Array, Array]:
        """Mean and variance of N(s - R) given x_{s-R+1} = b."""
        memory, lags = self.memory, self.memory.mean.shape[-1]
        reach = slice(None, len(memory.mean) - lags + 1)
        variance = memory.covariance[reach, ..., 0, 0] / np.maximum(memory.law, TINY)
        return memory.expected[reach, ..., 0], variance

    def early_logits(self, seen: np.ndarray, point: np.ndarray) -> np.ndarray:
        omega = point[0] - point[1]
        weight = np.exp(omega * seen - max(omega.real, 0.0))
        held = (weight[:, None, :] @ self.early.held)[:, 0]
        return (point[2] - point[3]) * held / held.sum(axis=1, keepdims=True)

    def link(self, found: Moments, point: Array) -> tuple[Array, Array, Adjoint]:
        mu = point[2] - point[3]
        total = found.mean.sum(axis=-1)[..., None]
        read = found.mean / total
        scaled = found.covariance / total[..., None] ** 2
        along = scaled.sum(axis=-1)
        spread = along.sum(axis=-1)[..., None]
        damp = 1 / (1 + spread)
        bias = read * spread - along
        mean = read + damp * bias
        outer = read[..., :, None] * along[..., None, :]
        square = read[..., :, None] * read[..., None, :]
        bare = scaled - outer - outer.swapaxes(-1, -2) + spread[..., None] * square
        covariance = damp[..., None] * bare

        def adjoint(by_m: Array, by_k: Array) -> tuple[Array, Array, Array]:
            by_mu = float((by_m * mean).sum() + 2 * mu * (by_k * covariance).sum())
            by_m, by_k = mu * by_m, mu**2 * by_k
            by_damp = (by_m * bias).sum(axis=-1) + (by_k * bare).sum(axis=(-1, -2))
            by_bias, by_k = damp * by_m, damp[..., None] * by_k
            read_k = (by_k @ read[..., None])[..., 0]
            by_spread = (by_bias * read + read * read_k).sum(axis=-1) - damp[..., 0] ** 2 * by_damp
            by_along = -by_bias - 2 * read_k
            by_read = by_m + by_bias * spread - 2 * (by_k @ along[..., None])[..., 0] + 2 * spread * read_k
            by_scaled = by_k + by_spread[..., None, None]
            by_scaled = by_scaled + (by_along[..., :, None] + by_along[..., None, :]) / 2
            by_total = -(by_read * read).sum(axis=-1) - 2 * (by_scaled * scaled).sum(axis=(-1, -2))
            by_mean = (by_read + by_total[..., None]) / total
            return (
                by_mean,
                by_scaled / total[..., None] ** 2,
                np.array([0, 0, by_mu, -by_mu, *np.zeros(len(point) - 4)]),
            )

        return mu * mean, mu**2 * covariance, adjoint

    def with_counts(self, found: Moments, cross: Array, point: Array) -> Array:
        total = found.mean.sum(axis=-1)[..., None]
        # Counts sum to t, so Σ_l Cov(S_j, N_l) = 0.
        own, all_sources = np.einsum("gnjj->gnj", cross) / 2, cross.sum(axis=-1)
        return (point[2] - point[3]) * (own - found.mean / total * all_sources) / total

r"""Exact first and second moments of what layer 2 sums, at finite context.

Both toy families sum over the sources s ≤ t that hold symbol j something that grows with what layer 1 shows there,

    S_j(t) = Σ_{s≤t} 1[x_s = j] G_s,    G_s = g_s(b) + Σ_X σ_{X,s}(b) (X_s - E[X_s | x_s = b])   at x_s = b,

with X_s the memory of the query state 0: its running count N(s) = Σ_{q≤s} 1[x_q = 0], and the indicators 1[x_{s-r} = 0] of
the tracked lags r = 1 … R - 1. Memory moves linearly along the chain: N grows by one at a 0, indicators shift by one lag. So

    m_s(b) = E[S; x_s = b],    Q_s(b) = E[S X̃; x_s = b],    E[S Sᵀ; x_s = b],    X̃ = X - E[X | x_s],

obey a closed linear recursion along s, of one step per token, and nothing is neglected in them: mixing may take as long as
the context. Given x_t = 0 the mean and covariance of S(t) follow from the component b = 0. What a fixed query state says about the
end of the sequence is included: Pr(x_s = j | x_t = 0) = π_j (P^{t-s})_{j0} / π_0.

Derived here; `theory.derivations.count_fluctuations` has the limit of counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theory.chains import Array, stationary

__all__ = ["Memory", "Moments", "positions"]

TINY = 1e-300
FIRST, NODES = 8, 16


def positions(context: int, first: int = FIRST, count: int = NODES) -> tuple[NDArray[np.int_], Array]:
    """Positions t in 1 … T (integers) and weights that sum to one: the first one by one, then a rule that averages polynomials in ln t.

    Gauss's nodes for the sum over the remaining positions, rounded to integers, with the weights that are exact at those.
    """
    if context <= first + count:
        return np.arange(1, context + 1), np.full(context, 1 / context)
    rest = np.arange(first + 1, context + 1)
    spread = np.log(rest[-1] + 0.5) - np.log(rest[0] - 0.5)
    x, _ = np.polynomial.legendre.leggauss(count)
    wanted = np.exp(np.log(rest[0] - 0.5) + spread * (x + 1) / 2)
    chosen = np.unique(np.clip(np.rint(wanted), rest[0], rest[-1]).astype(int))

    def basis(t: NDArray[np.int_]) -> Array:
        return np.polynomial.legendre.legvander(2 * np.log(t / (rest[0] - 0.5)) / spread - 1, len(chosen) - 1)

    weights = np.linalg.solve(basis(chosen).T, basis(rest).sum(axis=0))
    return np.concatenate([np.arange(1, first + 1), chosen]), np.concatenate([np.ones(first), weights]) / context


class Memory:
    """What does not depend on a model: means and covariances of the memory X, for chains (n, k, k) and R lags up to T.

    Attributes
    ----------
    mean : array, shape (T, n, k, R)
        E[X_s | x_s = b], X = (N, 1[x_{s-1} = 0], …, 1[x_{s-R+1} = 0]).
    covariance : array, shape (T, n, k, R, R)
        E[X̃ X̃ᵀ; x_s = b], with the probability π_b of b.
    """

    def __init__(self, transition: Array, lags: int, context: int, at: NDArray[np.int_]) -> None:
        law = stationary(transition)
        count, k, _ = transition.shape
        self.transition, self.law, self.at = transition, law, at
        self.reversed = (law[:, :, None] * transition).swapaxes(1, 2) / np.maximum(law, TINY)[:, :, None]
        back = np.zeros((context, count, k))
        back[0, :, 0] = 1.0
        ahead = back.copy()
        for d in range(1, context):
            back[d] = np.einsum("nba,na->nb", self.reversed, back[d - 1])
            ahead[d] = np.einsum("nab,nb->na", transition, ahead[d - 1])
        self.mean = np.zeros((context, count, k, lags))
        self.mean[..., 0] = back.cumsum(axis=0)
        for r in range(1, min(lags, context)):
            self.mean[r:, ..., r] = back[r]
        # What is carried into s from x_{s-1} = a, and what x_s = b lets expect of it.
        self.carried = np.zeros((context, count, k, lags))
        self.carried[1:, ..., 0] = self.mean[:-1, ..., 0]
        if lags > 1:
            self.carried[1:, :, 0, 1] = 1.0
            self.carried[1:, ..., 2:] = self.mean[:-1, ..., 1:-1]
        self.expected = self.mean.copy()
        self.expected[:, :, 0, 0] -= 1.0
        self.covariance = self._covariance()
        distance = np.asarray(at)[:, None] - np.arange(1, context + 1)
        # (P^{t-s})_{b0} / π_0, shape (n, b, positions, T).
        known = np.where((distance >= 0)[..., None, None], ahead[np.maximum(distance, 0)], 0.0)
        self.ahead = np.ascontiguousarray((known / law[:, :1]).transpose(2, 3, 0, 1))

    def _covariance(self) -> Array:
        context, count, k, lags = self.mean.shape
        out = np.zeros((context, count, k, lags, lags))
        keep = [0, *range(1, lags - 1)]
        into = [0, *range(2, lags)]
        joint = self.law[:, :, None] * self.transition
        forward = self.transition.swapaxes(1, 2)
        for s in range(1, context):
            shifted = np.zeros((count, k, lags, lags))
            shifted[np.ix_(range(count), range(k), into, into)] = out[s - 1][np.ix_(range(count), range(k), keep, keep)]
            change = self.carried[s][:, :, None, :] - self.expected[s][:, None, :, :]
            out[s] = (forward @ shifted.reshape(count, k, -1)).reshape(shifted.shape)
            out[s] += np.einsum("nab,nabx,naby->nbxy", joint, change, change, optimize=True)
        return out


@dataclass
class Moments:
    """Mean (positions, n, k) and covariance (positions, n, k, k) of S(t) given x_t = 0, for g (T, n, k) and σ (T, n, k, R)."""

    memory: Memory
    level: Array
    slope: Array

    def __post_init__(self) -> None:
        memory = self.memory
        context, count, k, lags = memory.mean.shape
        law, forward = memory.law, memory.transition.swapaxes(1, 2)
        self.slope = np.broadcast_to(self.slope, memory.mean.shape)
        self.spread = np.einsum("snbx,snbxy->snby", self.slope, memory.covariance)
        before = np.zeros((context, count, k, k, lags + 1))
        sums = np.zeros((count, k, k, lags + 1))
        diagonal = np.arange(k)
        for s in range(context):
            if s > 0:
                moved = np.zeros_like(sums)
                moved[..., 0] = sums[..., 0]
                moved[..., 1] = sums[..., 1]
                moved[..., 3:] = sums[..., 2:-1]
                moved[..., 1:] += memory.carried[s][:, :, None, :] * sums[..., :1]
                sums = (forward @ moved.reshape(count, k, -1)).reshape(sums.shape)
                sums[..., 1:] -= memory.expected[s][:, :, None, :] * sums[..., :1]
                before[s] = sums
            sums[:, diagonal, diagonal, 0] += self.level[s] * law
            sums[:, diagonal, diagonal, 1:] += self.spread[s]
        self.before = before
        # E[G_s S_l(s - 1); x_s = b] and E[G_s²; x_s = b].
        self.cross = self.level[..., None] * before[..., 0] + np.einsum("snbx,snblx->snbl", self.slope, before[..., 1:])
        square = self.level**2 * law + np.einsum("snbx,snbx->snb", self.slope, self.spread)
        ahead = memory.ahead
        self.mean = (ahead @ (self.level * law).transpose(1, 2, 0)[..., None])[..., 0].transpose(2, 0, 1)
        half = (ahead @ self.cross.transpose(1, 2, 0, 3)).transpose(2, 0, 1, 3)
        own = (ahead @ square.transpose(1, 2, 0)[..., None])[..., 0].transpose(2, 0, 1)
        self.second = half + half.swapaxes(-1, -2)
        self.second[..., diagonal, diagonal] += own
        self.covariance = self.second - self.mean[..., :, None] * self.mean[..., None, :]

    def pullback(self, by_mean: Array, by_covariance: Array) -> tuple[Array, Array]:
        """∂L/∂g and ∂L/∂σ from those by the mean and by the (symmetric) covariance."""
        memory = self.memory
        context, count, k, lags = memory.mean.shape
        law, diagonal = memory.law, np.arange(k)
        behind = memory.ahead.swapaxes(-1, -2)
        by_mean = by_mean - 2 * np.einsum("gnjl,gnl->gnj", by_covariance, self.mean)
        by_cross = (behind @ (2 * by_covariance).transpose(1, 2, 0, 3)).transpose(2, 0, 1, 3)
        by_square = (behind @ by_covariance[..., diagonal, diagonal].transpose(1, 2, 0)[..., None])[..., 0]
        by_square = by_square.transpose(2, 0, 1)
        by_level = law * (behind @ by_mean.transpose(1, 2, 0)[..., None])[..., 0].transpose(2, 0, 1)
        by_level += (by_cross * self.before[..., 0]).sum(axis=-1) + 2 * self.level * law * by_square
        by_slope = np.einsum("snbl,snblx->snbx", by_cross, self.before[..., 1:])
        by_slope += 2 * self.spread * by_square[..., None]
        by_spread = np.zeros((context, count, k, lags))
        by_sums = np.zeros((count, k, k, lags + 1))
        for s in reversed(range(context)):
            by_level[s] += law * by_sums[:, diagonal, diagonal, 0]
            by_spread[s] = by_sums[:, diagonal, diagonal, 1:]
            if s == 0:
                break
            by_sums[..., 0] += by_cross[s] * self.level[s][..., None]
            by_sums[..., 1:] += by_cross[s][..., None] * self.slope[s][:, :, None, :]
            by_sums[..., 0] -= np.einsum("nbx,nblx->nbl", memory.expected[s], by_sums[..., 1:])
            by_moved = (memory.transition @ by_sums.reshape(count, k, -1)).reshape(by_sums.shape)
            by_sums = np.zeros_like(by_moved)
            by_sums[..., 0] = by_moved[..., 0] + np.einsum("nax,nalx->nal", memory.carried[s], by_moved[..., 1:])
            by_sums[..., 1] = by_moved[..., 1]
            by_sums[..., 2:-1] = by_moved[..., 3:]
        by_slope += np.einsum("snbxy,snby->snbx", memory.covariance, by_spread)
        return by_level, by_slope

r"""Exact first and second moments of what layer 2 sums, at finite context.

Both toy families sum over the sources s ≤ t that hold symbol j something that grows with what layer 1 shows there,

    S_j(t) = Σ_{s≤t} 1[x_s = j] G_s,    G_s = Σ_X w_{X,s}(b) X_s  at x_s = b,

with X_s the memory of the query state 0: the constant 1, its running count N(s) = Σ_{q≤s} 1[x_q = 0], and the
indicators 1[x_{s-r} = 0] of the followed lags r = 1 … F - 1. Memory moves linearly along the chain: N grows by one at a
0, indicators shift by one lag. So with (x_{s-1}, x_s) = (a, b) and X_s = D_b C_a X_{s-1},

    Y_s(X, b, l) = E[X_s S_l(s-1); x_s = b] = Σ_{Y,a} (D_b C_a)_{XY} P_ab { Y_{s-1}(Y, a, l) + 1[a = l] E[G_{s-1}
    Y_{s-1}; x_{s-1} = a] }

is a closed linear recursion of one step per token, and nothing is neglected in it: mixing may take as long as the
context. Given x_t = 0 the mean and covariance of S(t) follow from E[G_s; b], E[G_s²; b] and E[G_s S_l(s-1); b]. What a
fixed query state says about the end of the sequence is included: Pr(x_s = j | x_t = 0) = π_j (P^{t-s})_{j0} / π_0.

Derived here; `onset.theory.derivations.count_fluctuations` has the limit of counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onset.theory.arrays import Array
from onset.theory.markov.chains import lag_matrices, stationary

__all__ = ["NODES", "TINY", "Memory", "Moments", "positions"]

TINY = 1e-300
"""Least divisor, for states of probability zero."""

NODES = 12
"""Default number of positions beyond the first ones."""


def positions(context: int, first: int, count: int = NODES) -> tuple[NDArray[np.int_], Array]:
    """Positions t in first + 1 … T (integers) and weights that sum to (T - first)/T.

    The rule averages polynomials in ln t exactly.
    Gauss's nodes for the sum over these positions, rounded to integers, with the weights that are exact at those.
    """
    rest = np.arange(first + 1, context + 1)
    if len(rest) <= count:
        return rest, np.full(len(rest), 1 / context)
    start, spread = np.log(first + 0.5), np.log((context + 0.5) / (first + 0.5))
    x, _ = np.polynomial.legendre.leggauss(count)
    chosen = np.unique(np.clip(np.rint(np.exp(start + spread * (x + 1) / 2)), rest[0], rest[-1]).astype(int))

    def basis(t: NDArray[np.int_]) -> Array:
        return np.polynomial.legendre.legvander(2 * (np.log(t) - start) / spread - 1, len(chosen) - 1)

    return chosen, np.linalg.solve(basis(chosen).T, basis(rest).sum(axis=0)) / context


class Memory:
    """Moments of the memory X = (1, N, 1[x_{s-1} = 0], …), which depend on no model, for chains (n, k, k) up to T.

    Chains are the last axis of arrays of the recursion along s, so that every operation runs over them.

    Attributes
    ----------
    back : array, shape (R, k, n)
        Pr(x_{s-r} = 0 | x_s = b).
    forward, reversed : array, shape (k, k, n)
        P_ab at [a, b], and Pr(x_{s-1} = a | x_s = b) at [b, a].
    second : array, shape (X, X, T, k, n)
        E[X_s Y_s; x_s = b], with the probability π_b of b.
    ahead : array, shape (n, k, positions, T)
        Pr(x_s = b | x_t = 0) / π_b, zero for s > t.
    """

    def __init__(self, transition: Array, lags: int, followed: int, context: int, at: NDArray[np.int_]) -> None:
        law = stationary(transition)
        self.transition, self.at = transition, at
        self.law = np.ascontiguousarray(law.T)
        self.forward = np.ascontiguousarray(transition.transpose(1, 2, 0))
        safe = np.maximum(self.law, TINY)
        self.reversed = np.ascontiguousarray((self.law[:, None] * self.forward).swapaxes(0, 1) / safe[:, None])
        powers = lag_matrices(transition, context)
        self.back = self.law[0] * powers[:lags, :, 0, :].swapaxes(1, 2) / safe
        size = 1 + followed
        self.second = np.zeros((size, size, context, *self.law.shape))
        self.second[0, 0, 0] = self.law
        self.second[:2, :2, 0, 0] = self.law[0]
        now = np.zeros((size, size, *self.law.shape))
        for s in range(1, context):
            shifted = _shift(_shift(self.second[:, :, s - 1]).swapaxes(0, 1))
            np.einsum("abn,xyan->xybn", self.forward, shifted, out=now)
            now[1, :, 0] += now[0, :, 0]
            now[:, 1, 0] += now[:, 0, 0]
            self.second[:, :, s] = now
        self.ahead = self.until(powers[..., 0].swapaxes(-1, -2)) / law[:, :1, None, None]

    def until(self, by_distance: Array) -> Array:
        """`by_distance` (T, k, n) at distances t - s of positions and sources, (n, k, positions, T); zero for s > t."""
        distance = self.at[:, None] - np.arange(1, len(by_distance) + 1)
        values = np.where((distance >= 0)[..., None, None], by_distance[np.maximum(distance, 0)], 0.0)
        return np.ascontiguousarray(values.transpose(3, 2, 0, 1))

    @property
    def mean(self) -> Array:
        """E[X_s | x_s = b], shape (X, T, k, n)."""
        return self.second[0] / np.maximum(self.law, TINY)

    def expected(self) -> Array:
        """E[N(s - 1) | x_s = b], shape (T, k, n)."""
        counted = self.mean[1].copy()
        counted[:, 0] -= 1.0
        return counted

    def variance(self) -> Array:
        """Var(N(s) | x_s = b), shape (T, k, n)."""
        return self.second[1, 1] / np.maximum(self.law, TINY) - self.mean[1] ** 2


def _shift(memory: Array) -> Array:
    """C_a X_{s-1}, shape (X, …, k, n): the memory at s before x_s is known, for x_{s-1} = a."""
    shifted = np.zeros(memory.shape)
    shifted[:2], shifted[3:] = memory[:2], memory[2:-1]
    shifted[2:3, ..., 0, :] = memory[:1, ..., 0, :]
    return shifted


@dataclass
class Moments:
    """Mean (positions, n, k) and covariance (positions, n, k, k) of S(t) given x_t = 0.

    `weights` are w (X, T, k, n) of the memory.
    """

    memory: Memory
    weights: Array

    def __post_init__(self) -> None:
        memory, w = self.memory, self.weights
        forward = memory.forward
        size, context, k, count = w.shape
        # E[G_s X_s; x_s = b], shape (X, T, k, n), and Y.
        self.entry = np.einsum("xysbn,ysbn->xsbn", memory.second, w)
        self.before = np.zeros((context, size, k, k, count))
        now = np.empty((size, k, k, count))
        entered = now.reshape(size, k * k, count)[:, :: k + 1]
        for s in range(1, context):
            np.copyto(now, self.before[s - 1])
            entered += self.entry[:, s - 1]
            after = self.before[s]
            np.einsum("abn,xaln->xbln", forward, now[:2], out=after[:2])
            if size > 2:
                np.multiply(forward[0][:, None], now[0, 0], out=after[2])
            if size > 3:
                np.einsum("abn,xaln->xbln", forward, now[2:-1], out=after[3:])
            after[1, 0] += after[0, 0]
        summed = np.empty((context, k, k + 2, count))
        summed[:, :, 0] = self.entry[0]
        summed[:, :, 1] = np.einsum("xsbn,xsbn->sbn", w, self.entry)
        summed[:, :, 2:] = np.einsum("xsbn,sxbln->sbln", w, self.before)
        totals = (memory.ahead @ summed.transpose(3, 1, 0, 2)).transpose(2, 0, 1, 3)
        self.mean = np.ascontiguousarray(totals[..., 0])
        second = totals[..., 2:] + totals[..., 2:].swapaxes(-1, -2)
        second.reshape(*second.shape[:2], k * k)[..., :: k + 1] += totals[..., 1]
        self.covariance = second - self.mean[..., :, None] * self.mean[..., None, :]

    def pullback(self, by_mean: Array, by_covariance: Array, by_entry: Array | float = 0.0) -> Array:
        """∂L/∂w from ∂L/∂mean, ∂L/∂covariance (symmetric), and the direct dependence of L on `entry`."""
        memory, w = self.memory, self.weights
        forward = memory.forward
        size, context, k, count = w.shape
        by_totals = np.empty((*by_mean.shape, k + 2))
        by_totals[..., 0] = by_mean - 2 * (by_covariance @ self.mean[..., None])[..., 0]
        by_totals[..., 1] = np.einsum("gnjj->gnj", by_covariance)
        by_totals[..., 2:] = 2 * by_covariance
        by_summed = memory.ahead.swapaxes(-1, -2) @ by_totals.transpose(1, 2, 0, 3)
        by_summed = np.ascontiguousarray(by_summed.transpose(2, 1, 3, 0))
        by_square, by_cross = by_summed[:, :, 1], by_summed[:, :, 2:]
        by_w = by_square * self.entry + np.einsum("sbln,sxbln->xsbn", by_cross, self.before)
        by_entry = by_entry + by_square * w
        by_entry[0] += by_summed[:, :, 0]
        by_before = np.einsum("xsbn,sbln->sxbln", w, by_cross)
        by_now = np.zeros((size, k, k, count))
        by_entered = by_now.reshape(size, k * k, count)[:, :: k + 1]
        for s in range(context - 1, 0, -1):
            by_after = by_before[s]
            by_after[0, 0] += by_after[1, 0]
            np.einsum("abn,xbln->xaln", forward, by_after[:2], out=by_now[:2])
            if size > 2:
                by_now[0, 0] += np.einsum("bn,bln->ln", forward[0], by_after[2])
            if size > 3:
                np.einsum("abn,xbln->xaln", forward, by_after[3:], out=by_now[2:-1])
            by_entry[:, s - 1] += by_entered
            by_before[s - 1] += by_now
        return by_w + np.einsum("xysbn,ysbn->xsbn", memory.second, by_entry)

r"""Third cumulants of a chain's counts N_j(t), given x_t = 0.

The covariance of a ratio of fluctuating sums needs them in addition to second moments.

Of y = S/|S| to third order in fluctuations, with y' = (δS - y δ|S|)/E|S|,

    Cov(y_j, y_l) = Cov(y'_j, y'_l) - 2 κ₃(y'_j, y'_l, |S|)/E|S| + …

In the softmax family sources weigh nearly alike before the head has formed, so that y' fluctuates as the counts per
token do, while |S| moves with the count of the query state, since layer 1 shows the attention on that state. With |S| =
E|S| + β (N_0 - E N_0) + …, β = Cov(|S|, N_0)/Var N_0, the third cumulant is then β κ₃(N_j, N_l, N_0)/t², in which only
β depends on the model. Counts grow by one along the chain, so that E[N_j N_l N_0; x_t = b] obeys a closed
recursion. Derived here, `onset.theory.derivations.count_fluctuations`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onset.theory.arrays import Array
from onset.theory.mean_fields.corrected.moments import TINY, Memory

__all__ = ["Counts"]


@dataclass(frozen=True)
class Counts:
    """Cumulants of counts given x_t = 0 at a memory's positions.

    Attributes
    ----------
    mean, variance : array, shape (positions, n)
        Of N_0.
    third : array, shape (positions, n, k, k)
        κ₃(N_j, N_l, N_0).
    later : array, shape (n, k, positions, T)
        E[N_0(t) - N_0(s); x_t = 0 | x_s = b]/π_0, zero for s > t.
    """

    mean: Array
    variance: Array
    third: Array
    later: Array

    @classmethod
    def of(cls, memory: Memory) -> Counts:
        k, count = memory.law.shape
        context = memory.ahead.shape[-1]
        # E[C; b], E[C N_j; b] and E[C N_j N_l; b], for C = 1 and C = N_0 on the first axis.
        zeroth, first, second = (np.zeros((2, k, *[k] * power, count)) for power in (0, 1, 2))
        zeroth[0] = memory.law
        symbol = np.arange(k)
        kept = [np.zeros((len(memory.at), 2, *[k] * power, count)) for power in (0, 1, 2)]
        for t in range(1, context + 1):
            if t > 1:
                zeroth, first, second = (
                    np.einsum("abn,ca...n->cb...n", memory.forward, part) for part in (zeroth, first, second)
                )
            second[:, symbol, symbol] += first
            second[:, symbol, :, symbol] += first.swapaxes(0, 1)
            second[:, symbol, symbol, symbol] += zeroth
            first[:, symbol, symbol] += zeroth
            for part in (zeroth, first, second):
                part[1, 0] += part[0, 0]
            for values, part in zip(kept, (zeroth, first, second), strict=True):
                values[memory.at == t] = part[:, 0] / np.maximum(memory.law[0], TINY)
        zeroth, first, second = kept
        mean, means = zeroth[:, 1], first[:, 0]
        outer = first[:, 1, :, None] * means[:, None, :]
        products = means[:, :, None] * means[:, None, :]
        third = second[:, 1] - second[:, 0] * mean[:, None, None] - outer - outer.swapaxes(1, 2)
        third += 2 * products * mean[:, None, None]
        variance = second[:, 0, 0, 0] - products[:, 0, 0]
        return cls(mean, variance, third.transpose(0, 3, 1, 2), cls._later(memory))

    @staticmethod
    def _later(memory: Memory) -> Array:
        k, count = memory.law.shape
        context = memory.ahead.shape[-1]
        counted, returns = np.zeros((context, k, count)), np.zeros((k, count))
        returns[0] = 1.0
        for d in range(1, context):
            before = counted[d - 1].copy()
            before[0] += returns[0]
            counted[d] = np.einsum("ban,an->bn", memory.forward, before)
            returns = np.einsum("ban,an->bn", memory.forward, returns)
        return memory.until(counted) / np.maximum(memory.law[0], TINY)[:, None, None, None]

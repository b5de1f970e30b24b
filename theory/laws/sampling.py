r"""Sequences sampled on the unigram plateau, where no lag has grown, v = 0, and layer 2 reads counts alone.

With N_j(t) the count of state j up to t, source s scores z_s[i] = N_i(s)/s for the query state i. Its sum over the
sources that hold j, and the slopes of the sum by lag logits, are sampled step by step along every sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from onset.theory import costs
from onset.theory.arrays import Array
from onset.theory.markov.chains import stationary
from onset.theory.markov.priors import Prior, sample

__all__ = ["Position", "best_readout", "covariance", "draw", "positions", "relative"]

PILOT_SEQUENCES = 1024
"""Sequences that the best read-out is computed from."""

NEWTON_STEPS = 50
"""Most steps of Newton's iteration for the best read-out."""


class Position(NamedTuple):
    """One position of n sequences with k states; the next position overwrites `counts` and `all_sums`.

    Attributes
    ----------
    t : int
        Position, from 1.
    tokens : array, shape (T, n)
        All tokens of the sequences.
    counts : array, shape (n, k)
        N_j(t).
    row : array, shape (n, k)
        The law P of the next token.
    all_sums : array, shape (1 + lags, n, k, k)
        Σ_{s≤t} 1[x_s = j] z_s[i] at [0, :, i, j], and its slopes by the lag logits.
    """

    t: int
    tokens: NDArray[np.int_]
    counts: Array
    row: Array
    all_sums: Array

    @property
    def token(self) -> NDArray[np.int_]:
        """x_t, shape (n,)."""
        return self.tokens[self.t - 1]

    @property
    def next_token(self) -> Array:
        """1[x_{t+1} = j], shape (n, k), if there is a next position."""
        return np.eye(self.counts.shape[1])[self.tokens[self.t]]

    @property
    def sums(self) -> Array:
        """`all_sums` for the query state i = x_t, shape (1 + lags, n, k)."""
        return self.all_sums[:, np.arange(len(self.token)), self.token]


def positions(
    prior: Prior, context: int, count: int, generator: np.random.Generator, lags: Sequence[int] = ()
) -> Iterator[Position]:
    """Positions t = 1 … `context` of `count` sequences, with slopes by the lag logits of `lags`."""
    costs.require_memory("sampling the plateau", lambda context: 8.0 * count * context, context=context)
    transition = sample(prior, generator, count)
    tokens = draw(transition, context, generator)
    states, sequence = prior.states, np.arange(count)
    counts, sums = np.zeros((count, states)), np.zeros((1 + len(lags), count, states, states))
    for t in range(1, context + 1):
        token = tokens[t - 1]
        counts[sequence, token] += 1
        share = counts / t
        sums[0, sequence, :, token] += share
        for n, r in enumerate(lags):
            if r < t:
                slope = -share / t
                slope[sequence, tokens[t - 1 - r]] += 1 / t
                sums[1 + n, sequence, :, token] += slope
        yield Position(t, tokens, counts, transition[sequence, token], sums)


def draw(transition: Array, context: int, generator: np.random.Generator) -> NDArray[np.int_]:
    """Tokens (T, n) of one stationary sequence of each chain (n, k, k)."""
    sequence = np.arange(len(transition))
    edges, first = transition.cumsum(axis=2)[:, :, :-1], stationary(transition).cumsum(axis=1)[:, :-1]
    tokens = np.empty((context, len(transition)), dtype=np.int64)
    for t in range(context):
        before = first if t == 0 else edges[sequence, tokens[t - 1]]
        tokens[t] = (generator.random(len(transition))[:, None] > before).sum(axis=1)
    return tokens


def relative(sums: Array, counts: Array, t: int) -> Array:
    """Slope of the logits of a softmax over sources by a score: its covariance with the sources' states."""
    return sums / t - counts / t * sums.sum(axis=2, keepdims=True) / t


def covariance(law: Array, a: Array, b: Array) -> Array:
    """Covariance of a and b over states under `law`."""
    return (law * a * b).sum(axis=-1) - (law * a).sum(axis=-1) * (law * b).sum(axis=-1)


def best_readout(prior: Prior, context: int, generator: np.random.Generator, *, shares: bool) -> float:
    """The multiple of counts, or of their `shares` N/t, whose softmax has the least loss, by Newton's iteration.

    Raises
    ------
    ValueError
        If the loss fixes none, as for doubly stochastic matrices, or memory would not suffice.
    """
    # Tokens twice; counts, laws and, of Newton's iteration, some eight arrays of their shape (T, n, k).
    costs.require_memory(
        "the best read-out on the plateau",
        lambda context: 8.0 * PILOT_SEQUENCES * (2 + 8 * prior.states) * context,
        context=context,
    )
    steps = [
        (p.counts / p.t if shares else p.counts.copy(), p.row)
        for p in positions(prior, context, PILOT_SEQUENCES, generator)
    ]
    features, rows = (np.array(part) for part in zip(*steps, strict=True))
    readout = 0.0
    for _ in range(NEWTON_STEPS):
        law = softmax(readout * features, axis=-1)
        slope = float(((law - rows) * features).sum())
        change = slope / float(covariance(law, features, features).sum())
        readout -= change
        if abs(change) <= np.sqrt(np.finfo(float).eps) * abs(readout):
            return readout
    raise ValueError(
        f"prior = {prior} at T = {context}: expected a plateau with one best read-out of counts, but none was found; "
        "use a prior whose stationary laws differ."
    )

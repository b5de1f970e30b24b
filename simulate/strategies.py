r"""Predictive distributions of the ideal strategies, for every prefix of every sequence in one pass.

At position t (1 ≤ t ≤ T, t tokens seen, the last of them i), with pseudo-count α:

    uniform   1/k
    unigram   (N_j + α) / (t + kα)            N_j: occurrences of j among the t tokens
    bigram    (c_ij + α) / (c_i· + kα)        c_ij: transitions i → j among the t tokens

With α the prior's concentration, bigram is the posterior mean of the row, exactly Bayes but for the little that a
stationary first token tells; unigram is the posterior mean for memoryless chains, not exact Bayes for π (arXiv 2402.11004).
Cost O(Tk) per sequence.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from simulate.sequences import Tokens
from theory import arguments
from theory.chains import Array
from theory.transitions import STRATEGIES

__all__ = ["predict"]


def predict(tokens: Tokens, states: int, strategy: str, pseudo_count: float) -> Array:
    """Predictive distributions of `strategy`, shape (n, T, k), for `tokens` of shape (n, T + 1); the last token is a target only.

    Raises
    ------
    ValueError
        If the strategy is unknown or the pseudo-count is not positive.
    """
    arguments.one_of("strategy", strategy, STRATEGIES)
    pseudo_count = arguments.positive("pseudo_count", pseudo_count)
    count, length = tokens.shape
    out = np.empty((count, length - 1, states))
    if strategy == "uniform":
        out.fill(1 / states)
    elif strategy == "unigram":
        _unigram(tokens, pseudo_count, out)
    else:
        _bigram(tokens, pseudo_count, out)
    return out


@njit(cache=True)
def _unigram(tokens, pseudo_count, out):
    count, positions, states = out.shape
    counts = np.empty(states)
    for n in range(count):
        counts[:] = 0
        for t in range(positions):
            counts[tokens[n, t]] += 1
            total = t + 1 + states * pseudo_count
            for j in range(states):
                out[n, t, j] = (counts[j] + pseudo_count) / total


@njit(cache=True)
def _bigram(tokens, pseudo_count, out):
    count, positions, states = out.shape
    counts, visits = np.empty((states, states)), np.empty(states)
    for n in range(count):
        counts[:] = 0
        visits[:] = 0
        out[n, 0] = 1 / states
        now = tokens[n, 0]
        for t in range(1, positions):
            before, now = now, tokens[n, t]
            counts[before, now] += 1
            visits[before] += 1
            total = visits[now] + states * pseudo_count
            for j in range(states):
                out[n, t, j] = (counts[now, j] + pseudo_count) / total

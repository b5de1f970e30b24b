r"""Predictive distributions of the ideal strategies, for every prefix of every sequence in one pass.

At position t (1 ≤ t ≤ T, t tokens seen, the last of them i), with pseudo-count α:

    uniform   1/k
    unigram   (N_j + α) / (t + kα)            N_j: occurrences of j among the t tokens
    bigram    (c_ij + α) / (c_i· + kα)        c_ij: transitions i → j among the t tokens
    n-gram    likewise, i the last n - 1 tokens; before there are so many, 1/k

With α the prior's concentration, bigram is the posterior mean of the row, exactly Bayes but for the little that a
stationary first token tells; unigram is the posterior mean for memoryless chains, not exact Bayes for π (arXiv 2402.11004).
Cost O(Tk) per sequence.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onset.theory import arguments
from onset.theory.arrays import Array, Tokens
from onset.theory.markov.task import strategies

__all__ = ["first_visits", "histories", "predict"]


LONGEST = 8
"""Order of the longest n-gram strategy."""


def predict(tokens: Tokens, states: int, strategy: str, pseudo_count: float) -> Array:
    """Predictive distributions of `strategy`, shape (n, T, k), for `tokens` of shape (n, T + 1); the last token is a target only.

    Raises
    ------
    ValueError
        If the strategy is unknown or the pseudo-count is not positive.
    """
    order = strategies(LONGEST).index(arguments.one_of("strategy", strategy, strategies(LONGEST)))
    pseudo_count = arguments.positive("pseudo_count", pseudo_count)
    count, length = tokens.shape
    out = np.empty((count, length - 1, states))
    if strategy == "uniform":
        out.fill(1 / states)
    elif strategy == "unigram":
        _unigram(tokens, pseudo_count, out)
    elif strategy == "bigram":
        _bigram(tokens, pseudo_count, out)
    else:
        _ngram(histories(tokens, states, order - 1), tokens, order - 1, states ** (order - 1), pseudo_count, out)
    return out


def histories(tokens: Tokens, states: int, length: int) -> NDArray[np.int64]:
    """Number of the history of the last `length` tokens at each position, shape (n, T); fewer tokens are preceded by 0s."""
    known = tokens[:, :-1].astype(np.int64)
    code = known.copy()
    for lag in range(1, length):
        code[:, lag:] += known[:, :-lag] * states**lag
    return code


def first_visits(tokens: Tokens, states: int, length: int) -> NDArray[np.bool_]:
    """Positions whose last `length` tokens occur for the first time, shape (n, T); False where there are fewer tokens."""
    codes = histories(tokens, states, length)[:, length - 1 :]
    order = np.argsort(codes, axis=1, kind="stable")
    in_order = np.take_along_axis(codes, order, axis=1)
    first = np.ones(codes.shape, dtype=bool)
    first[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    visits = np.zeros((len(tokens), tokens.shape[1] - 1), dtype=bool)
    np.put_along_axis(visits[:, length - 1 :], order, first, axis=1)
    return visits


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


@njit(cache=True)
def _ngram(history, tokens, length, rows, pseudo_count, out):
    """`history` (n, T) numbers the last `length` of the tokens seen at each position, of `rows` that there are."""
    count, positions, states = out.shape
    counts, visits = np.empty((rows, states)), np.empty(rows)
    for n in range(count):
        counts[:] = 0
        visits[:] = 0
        for t in range(positions):
            if t >= length:
                counts[history[n, t - 1], tokens[n, t]] += 1
                visits[history[n, t - 1]] += 1
            now = history[n, t]
            known = t >= length - 1
            total = (visits[now] if known else 0.0) + states * pseudo_count
            for j in range(states):
                out[n, t, j] = ((counts[now, j] if known else 0.0) + pseudo_count) / total

r"""Predictive distributions of the ideal strategies, for every prefix of every sequence in one pass.

At position t (1 ≤ t ≤ T, t tokens seen, the last of them i), with pseudo-count α:

    uniform   1/k
    unigram   (N_j + α) / (t + kα)            N_j: occurrences of j among the t tokens
    bigram    (c_ij + α) / (c_i· + kα)        c_ij: transitions i → j among the t tokens
    n-gram    likewise, i the last n - 1 tokens; 1/k where there are fewer

With α the prior's concentration, bigram is the posterior mean of the row: exactly Bayes, apart from the little that a
first token from the stationary law tells. Unigram is the posterior mean for memoryless chains, not exact Bayes for π
(arXiv 2402.11004). Cost O(Tk) per sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onset.simulate.compiling import njit
from onset.theory import arguments
from onset.theory.arrays import Array, Tokens, tokens_of
from onset.theory.markov.task import strategies

__all__ = ["first_visits", "histories", "predict"]


LARGEST_ORDER = 8
"""Order of the longest n-gram strategy."""


def predict(tokens: Tokens, states: int, strategy: str, pseudo_count: float) -> Array:
    """Predictive distributions of `strategy`, shape (n, T, k), for `tokens` (n, T + 1); the last is only a target.

    Raises
    ------
    ValueError
        If the strategy is unknown, the pseudo-count is not positive, or a token is none of the `states` symbols.
    """
    tokens = tokens_of("tokens", tokens, states)
    known = strategies(LARGEST_ORDER)
    order = known.index(arguments.one_of("strategy", strategy, known))
    pseudo_count = arguments.scale("pseudo_count", pseudo_count)
    count, length = tokens.shape
    out = np.empty((count, length - 1, states))
    if order == 0:
        out.fill(1 / states)
    else:
        _ngram(tokens, order - 1, pseudo_count, out)
    return out


def histories(tokens: Tokens, states: int, length: int) -> NDArray[np.int64]:
    """Number of the history of the last `length` tokens at each position, shape (n, T); missing tokens count as 0."""
    inputs = tokens_of("tokens", tokens, states)[:, :-1].astype(np.int64)
    code = inputs.copy()
    for lag in range(1, length):
        code[:, lag:] += inputs[:, :-lag] * states**lag
    return code


def first_visits(tokens: Tokens, states: int, length: int) -> NDArray[np.bool_]:
    """Whether the last `length` tokens of a position occur for the first time, shape (n, T); else False."""
    codes = histories(tokens, states, length)[:, length - 1 :]
    order = np.argsort(codes, axis=1, kind="stable")
    in_order = np.take_along_axis(codes, order, axis=1)
    first = np.ones(codes.shape, dtype=bool)
    first[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    visits = np.zeros((len(tokens), tokens.shape[1] - 1), dtype=bool)
    np.put_along_axis(visits[:, length - 1 :], order, first, axis=1)
    return visits


@njit(cache=True)
def _ngram(tokens, length, pseudo_count, out):
    """Count the symbols that followed each history of `length` tokens; before there are so many tokens, none."""
    count, positions, states = out.shape
    rows = states**length
    counts, visits = np.empty((rows, states)), np.empty(rows)
    for n in range(count):
        counts[:] = 0
        visits[:] = 0
        history = 0
        for t in range(positions):
            token = np.int64(tokens[n, t])
            if t >= length:
                counts[history, token] += 1
                visits[history] += 1
            if length == 1:
                history = token
            elif length > 1:
                history = (history * states + token) % rows
            known = t >= length - 1
            total = (visits[history] if known else 0.0) + states * pseudo_count
            for j in range(states):
                out[n, t, j] = ((counts[history, j] if known else 0.0) + pseudo_count) / total

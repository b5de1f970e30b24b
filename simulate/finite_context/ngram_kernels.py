r"""Compiled arithmetic of `onset.simulate.finite_context.dynamics` for order n > 2: n - 1 heads in layer 1.

Head h outputs z^h_s = Σ_r a^h_{s,r} e_{s-r} at every position. As a key it is compared with the query q^h, which is the
token itself for the first head and the output of head h - 1 for the others, so that keys n - 1 symbols back are matched
with queries n - 2 back:

    score_ts = Σ_h (ω_h q^h_t·z^h_s + c_h),    q^1_t = e_t,    q^h_t = z^{h-1}_t.

A query is no longer one of k symbols, so scores are formed row by row: O(T² k (n - 1)) per sequence, most of it along
sources, several at a time. Sequences of a chunk are summed in order, so numbers do not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from onset.simulate.compiling import njit
from onset.simulate.finite_context.kernels import CHUNK, _exponentiate, _first_layer
from onset.theory.arrays import Array

__all__ = ["Model", "gradient", "log_predictions"]


class Model(NamedTuple):
    """A point as the kernels take it.

    Attributes
    ----------
    softmax : bool
    omega : array, shape (heads,)
    c : float
        Σ_h c_h.
    mu : float
    weight, inverse : array, shape (heads, T)
        e^{v_r} of each head up to a common factor, and one over its running sum.
    """

    softmax: bool
    omega: Array
    c: float
    mu: float
    weight: Array
    inverse: Array


@njit(cache=True)
def _query(tokens, z, head, t, symbol):
    """q^h_t[symbol]."""
    if head == 0:
        return 1.0 if tokens[t] == symbol else 0.0
    return z[head - 1, symbol, t]


@njit(cache=True)
def _weigh(tokens, model, z, t, score):
    """Weights of the sources s ≤ t: scores, or for softmax their normalised exponentials, in score[: t + 1]."""
    heads, states, _ = z.shape
    score[: t + 1] = 0.0 if model.softmax else model.c
    for h in range(heads):
        for i in range(states):
            share = model.omega[h] * _query(tokens, z, h, t, i)
            if share != 0.0:
                row = z[h, i]
                for s in range(t + 1):
                    score[s] += share * row[s]
    if model.softmax:
        highest = score[0]
        for s in range(1, t + 1):
            highest = max(highest, score[s])
        for s in range(t + 1):
            score[s] -= highest
        _exponentiate(score[: t + 1])
        total = 0.0
        for s in range(t + 1):
            total += score[s]
        for s in range(t + 1):
            score[s] /= total


@njit(cache=True)
def _read(tokens, score, t, mu, read, logits):
    """What layer 2 reads at t, and logits with maximum 0; returns the logarithm of the sum of their exponentials."""
    states = len(read)
    read[:] = 0.0
    for s in range(t + 1):
        read[tokens[s]] += score[s]
    highest = -np.inf
    for j in range(states):
        logits[j] = mu * read[j]
        highest = max(highest, logits[j])
    total = 0.0
    for j in range(states):
        logits[j] -= highest
        total += np.exp(logits[j])
    return np.log(total)


@njit(cache=True)
def _add_sequence(tokens, rows, model, z, room, derivative, square):
    """Loss of one sequence, its gradient, and in `square` the squared gradients of entries summed over each orbit."""
    heads, states, positions = z.shape
    for h in range(heads):
        _first_layer(tokens, model.weight[h], model.inverse[h], z[h])
    score, by_z, by_match, by_readout = room
    by_z[:], by_match[:], by_readout[:] = 0.0, 0.0, 0.0
    read, logits, by_logit, along = np.empty(states), np.empty(states), np.empty(states), np.empty(states)
    loss = 0.0
    for t in range(positions):
        _weigh(tokens, model, z, t, score)
        log_total = _read(tokens, score, t, model.mu, read, logits)
        inner = 0.0
        for j in range(states):
            loss -= rows[t, j] * (logits[j] - log_total)
            by_logit[j] = (np.exp(logits[j] - log_total) - rows[t, j]) / positions
            inner += by_logit[j] * read[j]
        if model.softmax:
            for i in range(states):
                for j in range(states):
                    by_readout[i, j] += read[i] * by_logit[j]
            for s in range(t + 1):
                score[s] *= model.mu * (by_logit[tokens[s]] - inner)
        else:
            for s in range(t + 1):
                score[s] = by_logit[tokens[s]]
        for h in range(heads):
            for i in range(states):
                total = 0.0
                for s in range(t + 1):
                    total += score[s] * z[h, i, s]
                along[i] = total
            for i in range(states):
                query = _query(tokens, z, h, t, i)
                if query != 0.0:
                    share = model.omega[h] * query
                    row = by_z[h, i]
                    for s in range(t + 1):
                        row[s] += share * score[s]
                    for j in range(states):
                        by_match[h, i, j] += query * along[j]
                if h > 0:
                    by_z[h - 1, i, t] += model.omega[h] * along[i]
    _collect(tokens, model, z, by_z, by_match, by_readout, derivative, square)
    return loss / positions


@njit(cache=True)
def _collect(tokens, model, z, by_z, by_match, by_readout, derivative, square):
    """Gradients of the entries of the matrices and of z as those of the coordinates."""
    heads, states, positions = z.shape
    matrices = heads + (1 if model.softmax else 0)
    for m in range(matrices):
        entries = by_match[m] if m < heads else by_readout
        diagonal, total, diagonal_square, total_square = 0.0, 0.0, 0.0, 0.0
        for i in range(states):
            for j in range(states):
                total += entries[i, j]
                total_square += entries[i, j] ** 2
            diagonal += entries[i, i]
            diagonal_square += entries[i, i] ** 2
        derivative[2 * m], derivative[2 * m + 1] = diagonal, total - diagonal
        if len(square):
            square[2 * m], square[2 * m + 1] = diagonal_square, total_square - diagonal_square
    for h in range(heads):
        first = 2 * matrices + h * positions
        by_lag = derivative[first : first + positions]
        mean = 0.0
        for s in range(positions - 1, -1, -1):
            for i in range(states):
                by_z[h, i, s] *= model.inverse[h, s]
                mean += by_z[h, i, s] * z[h, i, s]
            # Derivative through the normaliser, over all sources that have lag s.
            by_lag[s] = -mean
        for origin in range(positions):
            row = by_z[h, tokens[origin]]
            for lag in range(positions - origin):
                by_lag[lag] += row[origin + lag]
        for lag in range(positions):
            by_lag[lag] *= model.weight[h, lag]
        if len(square):
            square[first : first + positions] = by_lag**2


@njit(cache=True)
def _room(heads, states, positions):
    return (
        np.empty(positions),
        np.empty((heads, states, positions)),
        np.empty((heads, states, states)),
        np.empty((states, states)),
    )


@njit(cache=True, parallel=True)
def gradient(tokens, rows, model, loss, first, second):
    """Loss, gradient and squared gradient summed over each chunk: shapes (chunks,), (chunks, n), (chunks, n or 0).

    `rows`, shape (n, T, k), are the laws of the targets.
    """
    count, positions, states = rows.shape
    heads = len(model.omega)
    for chunk in prange(len(loss)):
        z, room = np.empty((heads, states, positions)), _room(heads, states, positions)
        derivative, square = np.empty(first.shape[1]), np.empty(second.shape[1])
        for n in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count)):
            loss[chunk] += _add_sequence(tokens[n, :positions], rows[n], model, z, room, derivative, square)
            first[chunk] += derivative
            second[chunk] += square


@njit(cache=True, parallel=True)
def log_predictions(tokens, model, out):
    """ln of the predictive distributions, shape (n, T, k)."""
    count, positions, states = out.shape
    heads = len(model.omega)
    for n in prange(count):
        z, score, read = np.empty((heads, states, positions)), np.empty(positions), np.empty(states)
        x = tokens[n, :positions]
        for h in range(heads):
            _first_layer(x, model.weight[h], model.inverse[h], z[h])
        for t in range(positions):
            _weigh(x, model, z, t, score)
            log_total = _read(x, score, t, model.mu, read, out[n, t])
            for j in range(states):
                out[n, t, j] -= log_total

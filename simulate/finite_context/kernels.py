r"""Compiled arithmetic of `onset.simulate.finite_context.dynamics`: loss and gradient of one sequence after another.

Scores depend on t only through x_t, so running sums replace the T × T scores: O(Tk²) per sequence, and T²/2 additions
for z and for the gradient by v. A sequence's arrays have shape (k, T), so that most loops run along positions and a
processor takes several at once. Sequences of a chunk are summed in order, and so are chunks, so numbers do not depend
on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from onset.simulate.compiling import njit
from onset.theory.arrays import Array

__all__ = ["CHUNK", "Model", "gradient", "log_predictions"]

CHUNK = 16
"""Sequences summed one after the other."""

INVERSE_LN2, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693147180369123816, 1.90821492927058770e-10
"""1/ln 2, and ln 2 in two parts of which small multiples of the first are exact."""


class Model(NamedTuple):
    """A point for the kernels: `weight` holds e^{v_r} up to a common factor, `inverse` one over its running sum."""

    softmax: bool
    omega: float
    c: float
    mu: float
    weight: Array
    inverse: Array


@njit(cache=True)
def _first_layer(tokens, weight, inverse, z):
    """z[i, s]: share of layer-1 attention of source s that falls on symbol i."""
    states, positions = z.shape
    z[:] = 0.0
    for origin in range(positions):
        row = z[tokens[origin]]
        for lag in range(positions - origin):
            row[origin + lag] += weight[lag]
    for i in range(states):
        for s in range(positions):
            z[i, s] *= inverse[s]


@njit(cache=True)
def _scores(z, model, score):
    """score[i, s] of source s for a query of symbol i: ω z + c, or its exponential up to a common factor."""
    states, positions = z.shape
    shift = -max(model.omega, 0.0) if model.softmax else model.c
    for i in range(states):
        for s in range(positions):
            score[i, s] = model.omega * z[i, s] + shift
    if model.softmax:
        _exponentiate(score.ravel())


@njit(cache=True)
def _exponentiate(x):
    """Replace each x ≤ 0 by e^x = 2^n e^r, |r| ≤ ln(2)/2, to one rounding error; below -708 by e^-708.

    The series in place of the library's function lets a processor take several at once.
    """
    bits = x.view(np.int64)
    for i in range(len(x)):
        y = max(x[i], -708.0)
        n = np.floor(y * INVERSE_LN2 + 0.5)
        r = (y - n * LN2_HIGH) - n * LN2_LOW
        series = 1 / 6227020800
        series = series * r + 1 / 479001600
        series = series * r + 1 / 39916800
        series = series * r + 1 / 3628800
        series = series * r + 1 / 362880
        series = series * r + 1 / 40320
        series = series * r + 1 / 5040
        series = series * r + 1 / 720
        series = series * r + 1 / 120
        series = series * r + 1 / 24
        series = series * r + 1 / 6
        series = series * r + 1 / 2
        x[i] = (series * r + 1) * r + 1
        bits[i] += np.int64(n) << 52


@njit(cache=True)
def _running_sums(tokens, values, out):
    """out[j, t]: sum of values[x_t, s] over the positions s ≤ t with x_s = j."""
    states, positions = values.shape
    sums = np.zeros((states, states))
    for t in range(positions):
        x = tokens[t]
        for i in range(states):
            sums[i, x] += values[i, t]
        for j in range(states):
            out[j, t] = sums[x, j]


@njit(cache=True)
def _running_sums_adjoint(tokens, values, out):
    """The same over s ≥ t. (One function for both directions is a third slower: signs of indices are unknown.)"""
    states, positions = values.shape
    sums = np.zeros((states, states))
    for t in range(positions - 1, -1, -1):
        x = tokens[t]
        for i in range(states):
            sums[i, x] += values[i, t]
        for j in range(states):
            out[j, t] = sums[x, j]


@njit(cache=True, error_model="numpy")
def _divide(rows, by):
    """Divide rows (k, T) by their sum over the k rows, and keep one over that sum in `by` (T,)."""
    states, positions = rows.shape
    by[:] = 0.0
    for j in range(states):
        for t in range(positions):
            by[t] += rows[j, t]
    for t in range(positions):
        by[t] = 1 / by[t]
    for j in range(states):
        for t in range(positions):
            rows[j, t] *= by[t]


@njit(cache=True)
def _logits(read, mu, highest, logits):
    """Logits up to a constant, the highest zero."""
    states, positions = read.shape
    highest[:] = -np.inf
    for j in range(states):
        for t in range(positions):
            logits[j, t] = mu * read[j, t]
            highest[t] = max(highest[t], logits[j, t])
    for j in range(states):
        for t in range(positions):
            logits[j, t] -= highest[t]


@njit(cache=True)
def _forward(tokens, model, z, score, read, logits, mass, buffer):
    """Logits (k, T), the highest zero; for softmax also what layer 2 reads (k, T) and one over its normaliser (T,)."""
    _first_layer(tokens, model.weight, model.inverse, z)
    _scores(z, model, score)
    _running_sums(tokens, score, read)
    if model.softmax:
        _divide(read, mass)
    _logits(read, model.mu, buffer, logits)


@njit(cache=True)
def _log_sum(inverse):
    """-Σ ln x of numbers from 1/256 to 1, one logarithm for many of them."""
    total, product = 0.0, 1.0
    for t in range(len(inverse)):
        product *= inverse[t]
        if product < 1e-200:
            total -= np.log(product)
            product = 1.0
    return total - np.log(product)


@njit(cache=True)
def _sum_products(left, right, out):
    """out[t] = Σ_j left[j, t] right[j, t]; returns its sum."""
    states, positions = left.shape
    out[:] = 0.0
    for j in range(states):
        for t in range(positions):
            out[t] += left[j, t] * right[j, t]
    total = 0.0
    for t in range(positions):
        total += out[t]
    return total


@njit(cache=True)
def _differentiate(rows, at, logits, target, buffer):
    """Loss of one sequence whose next token has the law rows[at[t]]; `logits` (k, T) become its derivative by them."""
    states, positions = logits.shape
    for j in range(states):
        for t in range(positions):
            target[j, t] = rows[at[t], j]
    loss = -_sum_products(target, logits, buffer)
    _exponentiate(logits.ravel())
    _divide(logits, buffer)
    loss += _log_sum(buffer)
    share = 1 / positions
    for j in range(states):
        for t in range(positions):
            logits[j, t] = (logits[j, t] - target[j, t]) * share
    return loss * share


@njit(cache=True)
def _by_match(by_score, z, diagonal, rest):
    """Derivative by the diagonal of W and by its other entries, where Σ_{b≠i} z[b, s] = 1 - z[i, s]; also by source."""
    states, positions = z.shape
    diagonal[:] = 0.0
    rest[:] = 0.0
    for i in range(states):
        for s in range(positions):
            diagonal[s] += by_score[i, s] * z[i, s]
            rest[s] += by_score[i, s] * (1 - z[i, s])
    return diagonal.sum(), rest.sum()


@njit(cache=True)
def _by_lags(tokens, by_score, diagonal, model, by_z, by_lag):
    """Derivative by the lag logits; `by_z` (k, T + 3) ends in zeros, so that origins can be taken four at a time."""
    states, positions = by_score.shape
    mean = 0.0
    for s in range(positions - 1, -1, -1):
        mean += model.omega * model.inverse[s] * diagonal[s]
        by_lag[s] = -mean
    for i in range(states):
        for s in range(positions):
            by_z[i, s] = model.omega * model.inverse[s] * by_score[i, s]
    for origin in range(0, positions, 4):
        a = by_z[tokens[origin], origin:]
        b = by_z[tokens[min(origin + 1, positions)], origin + 1 :]
        c = by_z[tokens[min(origin + 2, positions)], origin + 2 :]
        d = by_z[tokens[min(origin + 3, positions)], origin + 3 :]
        for lag in range(positions - origin):
            by_lag[lag] += (a[lag] + b[lag]) + (c[lag] + d[lag])
    for lag in range(positions):
        by_lag[lag] *= model.weight[lag]


@njit(cache=True)
def _squares(left, right):
    """Sum over the diagonal, and over the other entries, of the squared entries of left · rightᵀ."""
    states, positions = left.shape
    diagonal, rest = 0.0, 0.0
    for i in range(states):
        for j in range(states):
            entry = 0.0
            for s in range(positions):
                entry += left[i, s] * right[j, s]
            if i == j:
                diagonal += entry**2
            else:
                rest += entry**2
    return diagonal, rest


@njit(cache=True)
def _by_softmax(model, read, mass, by_logit, inner):
    """Derivative by the logits of softmax turned into that by the sums S; `inner` (T,) is Σ_j of it times `read`."""
    states, positions = read.shape
    for j in range(states):
        for t in range(positions):
            by_logit[j, t] = model.mu * mass[t] * (by_logit[j, t] - inner[t])


@njit(cache=True)
def _backward(tokens, model, z, score, read, mass, by_logit, by_score, by_z, buffer, rest, derivative, square):
    """Gradient of one sequence by the coordinates, from that by the logits (k, T); and the squares of its entries.

    A row of U has Σ_i read[i, t] = 1 and Σ_j by_logit[j, t] = 0, so the other entries of U weigh against the diagonal.
    """
    states, positions = z.shape
    if model.softmax:
        derivative[2] = _sum_products(by_logit, read, buffer)
        derivative[3] = -derivative[2]
        if len(square):
            square[2], square[3] = _squares(read, by_logit)
        _by_softmax(model, read, mass, by_logit, buffer)
    _running_sums_adjoint(tokens, by_logit, by_score)
    if model.softmax:
        for i in range(states):
            for s in range(positions):
                by_score[i, s] *= score[i, s]
    derivative[0], derivative[1] = _by_match(by_score, z, buffer, rest)
    by_lag = derivative[len(derivative) - positions :]
    _by_lags(tokens, by_score, buffer, model, by_z, by_lag)
    if len(square):
        square[0], square[1] = _squares(by_score, z)
        square[len(derivative) - positions :] = by_lag**2


@njit(cache=True)
def _add_chunk(chunk, tokens, transition, sampled, model, loss, first, second):
    """Add the loss, gradient and squared gradient of each sequence of a chunk to the chunk's sums."""
    count, positions, states = tokens.shape[0], tokens.shape[1] - 1, transition.shape[1]
    room, line = np.empty((6, states, positions)), np.empty((3, positions))
    z, score, read, logits, target, by_score = room[0], room[1], room[2], room[3], room[4], room[5]
    mass, buffer, rest = line[0], line[1], line[2]
    by_z = np.zeros((states, positions + 3))
    derivative, square = np.empty(first.shape[1]), np.empty(second.shape[1])
    certain = np.eye(states)
    for n in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count)):
        x = tokens[n]
        _forward(x, model, z, score, read, logits, mass, buffer)
        rows, at = (certain, x[1:]) if sampled else (transition[n], x[:-1])
        loss[chunk] += _differentiate(rows, at, logits, target, buffer)
        _backward(x, model, z, score, read, mass, logits, by_score, by_z, buffer, rest, derivative, square)
        first[chunk] += derivative
        second[chunk] += square


@njit(cache=True, parallel=True)
def gradient(tokens, transition, sampled, model, loss, first, second):
    """Loss, gradient and squared gradient summed over each chunk: shapes (chunks,), (chunks, n), (chunks, n or 0)."""
    for chunk in prange(len(loss)):
        _add_chunk(chunk, tokens, transition, sampled, model, loss, first, second)


@njit(cache=True, parallel=True)
def log_predictions(tokens, model, out):
    """ln of the predictive distributions, shape (n, T, k)."""
    count, positions, states = out.shape
    for n in prange(count):
        room, line = np.empty((4, states, positions)), np.empty((2, positions))
        z, score, read, logits, mass, buffer = room[0], room[1], room[2], room[3], line[0], line[1]
        _forward(tokens[n], model, z, score, read, logits, mass, buffer)
        for t in range(positions):
            total = 0.0
            for j in range(states):
                total += np.exp(logits[j, t])
            for j in range(states):
                out[n, t, j] = logits[j, t] - np.log(total)

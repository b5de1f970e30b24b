"""Compiled embedding with dropout, and compiled norm, head and cross-entropy, with their derivatives.

S seeds, B sequences, T positions, k tokens, D channels. Gradients of weights have an entry for each chunk of sequences
in place of each seed; the caller adds them up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, prange

from onset.simulate.compiling import njit
from onset.validate.models.compiled.elementwise import affine, dropout, exponentiate, normalize, normalize_backward
from onset.validate.models.compiled.layout import chunk, chunk_count, padded
from onset.validate.models.compiled.matrix_product import multiply

__all__ = ["OutputLayer", "embed", "embed_backward", "logits", "losses"]


class OutputLayer(NamedTuple):
    """Scale and shift of the last norm (S, 2, D), empty without a norm, and weights to the logits (S, k, padded D)."""

    norm: np.ndarray
    weights: np.ndarray


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def embed(tokens, embedding, positions, mask_bits, threshold, scale, x):
    """x (S, B, T, D): dropout of rows of `embedding` (S, k, D), plus those of `positions` (S, T, D) unless empty."""
    seeds, batch, length, width = x.shape
    for n in prange(seeds * chunk_count(batch)):
        s, first, last = chunk(n, batch)
        for b in range(first, last):
            for t in range(length):
                for c in range(width):
                    x[s, b, t, c] = embedding[s, tokens[s, b, t], c]
                for c in range(positions.shape[2]):
                    x[s, b, t, c] += positions[s, t, c]
            dropout(x[s, b], mask_bits[s, b], threshold, scale, x[s, b])


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def embed_backward(tokens, mask_bits, threshold, scale, grad_x, grad_embedding, grad_positions):
    """Add each chunk's gradients of embedding and positions; `grad_x` is overwritten."""
    seeds, batch, length, width = grad_x.shape
    for n in prange(seeds * chunk_count(batch)):
        s, first, last = chunk(n, batch)
        for b in range(first, last):
            dropout(grad_x[s, b], mask_bits[s, b], threshold, scale, grad_x[s, b])
            for t in range(length):
                for c in range(width):
                    grad_embedding[n, tokens[s, b, t], c] += grad_x[s, b, t, c]
                for c in range(grad_positions.shape[2]):
                    grad_positions[n, t, c] += grad_x[s, b, t, c]


@njit(cache=True, nogil=True)
def _logits_of_sequence(x, norm, transposed, normalized, inverse_std, scaled, logit):
    """Padded logits (T, k) of one sequence, and the intermediate results of its norm."""
    if norm.size:
        normalize(x, normalized, inverse_std)
        affine(normalized, norm, scaled)
    else:
        affine(x, norm, scaled)
    logit[:] = float32(0.0)
    multiply(logit, scaled[:, : x.shape[1]], transposed)


@njit(cache=True, nogil=True)
def _transposed(weights, width):
    """Weights (k, D) of the head as (D, padded k)."""
    transposed = np.zeros((width, padded(weights.shape[0])), dtype=np.float32)
    transposed[:, : weights.shape[0]] = weights[:, :width].T
    return transposed


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def logits(x, head, out):
    """Next-token logits (S, B, T, k) of x (S, B, T, D)."""
    seeds, batch, length, width = x.shape
    states = head.weights.shape[1]
    for n in prange(seeds * chunk_count(batch)):
        s, first, last = chunk(n, batch)
        normalized, inverse_std = np.empty((length, width), dtype=np.float32), np.empty(length, dtype=np.float32)
        scaled, logit = np.zeros((length, padded(width)), np.float32), np.empty((length, padded(states)), np.float32)
        transposed = _transposed(head.weights[s], width)
        for b in range(first, last):
            _logits_of_sequence(x[s, b], head.norm[s], transposed, normalized, inverse_std, scaled, logit)
            out[s, b] = logit[:, :states]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _cross_entropy(logit, targets, states, integers):
    """Cross-entropy of `targets` summed over positions; the logits become its gradient. `integers` is a buffer."""
    length, columns = logit.shape
    total = 0.0
    for t in range(length):
        top = logit[t, 0]
        for j in range(states):
            top = max(top, logit[t, j])
        total -= logit[t, targets[t]] - top
        for j in range(columns):
            logit[t, j] = logit[t, j] - top if j < states else float32(-1e30)
    exponentiate(logit.ravel(), integers)
    for t in range(length):
        mass = float32(0.0)
        for j in range(states):
            mass += logit[t, j]
        total += np.log(mass)
        for j in range(states):
            logit[t, j] /= mass
        logit[t, targets[t]] -= float32(1.0)
    return total


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def losses(x, targets, head, loss, grad_x, grad_head):
    """Each chunk's summed cross-entropy of `targets` (S, B, T), and the gradients of the mean loss."""
    seeds, batch, length, width = x.shape
    states = head.weights.shape[1]
    for n in prange(seeds * chunk_count(batch)):
        s, first, last = chunk(n, batch)
        normalized, inverse_std = np.empty((length, width), dtype=np.float32), np.empty(length, dtype=np.float32)
        scaled, grad_scaled = (
            np.zeros((length, padded(width)), np.float32),
            np.empty((length, padded(width)), np.float32),
        )
        logit, integers = np.empty((length, padded(states)), np.float32), np.empty(length * padded(states), np.int32)
        transposed = _transposed(head.weights[s], width)
        for b in range(first, last):
            _logits_of_sequence(x[s, b], head.norm[s], transposed, normalized, inverse_std, scaled, logit)
            loss[n] += _cross_entropy(logit, targets[s, b], states, integers)
            for t in range(length):
                for j in range(states):
                    logit[t, j] /= float32(batch * length)
            grad_scaled[:], grad_x[s, b] = float32(0.0), float32(0.0)
            multiply(grad_scaled, logit[:, :states], head.weights[s])
            multiply(grad_head.weights[n], logit[:, :states].T, scaled)
            if head.norm.size:
                normalize_backward(normalized, head.norm[s], inverse_std, grad_scaled, grad_x[s, b], grad_head.norm[n])
            else:
                grad_x[s, b] = grad_scaled[:, :width]

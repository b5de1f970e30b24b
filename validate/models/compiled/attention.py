r"""Compiled attention branch, x + drop(projection(heads(norm(x)))), and its derivative.

The equations are those of `onset.validate.models.attention`.

S seeds, B sequences, T positions, H heads, D channels of the model, d channels of a head padded to whole tiles. The
scores of relative positions, with vectors r dropped anew at every pair (i, j), are one product for each position i,
over all sequences. Everything else is computed one sequence after another, `LANES` rows of its T × T pattern at a time,
up to the last column that they attend to: such a block stays in the first-level cache. Patterns are packed
(`layout.row_start`). Gradients of weights have an entry for each chunk of sequences in place of each seed, which the
caller adds up in order, so that numbers do not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, prange

from onset.simulate.compiling import njit
from onset.validate.models.compiled.elementwise import (
    affine,
    dropout,
    normalize,
    normalize_backward,
    softmax,
    transpose,
)
from onset.validate.models.compiled.layout import LANES, chunk, chunk_count, padded, row_start
from onset.validate.models.compiled.matrix_product import LOWER, UPPER, multiply

__all__ = ["POSITION_GROUPS", "DropoutBits", "LayerActivations", "LayerWeights", "backward", "forward"]

POSITION_GROUPS = 8
"""Groups of positions that threads work on where all sequences share the vectors r."""


class LayerWeights(NamedTuple):
    """Weights of an attention layer, padded with zeros; arrays that the model lacks are empty.

    `norm` (S, 2, D) scale and shift; `qkv` (S, D, 3·H·d) to queries (times 1/√d), keys and values; `projection`
    (S, H·d, D); `offsets` (S, H, T, d) and `bias` (S, H, T) by lag. The backward pass takes `qkv` and `projection`
    transposed.
    """

    norm: np.ndarray
    qkv: np.ndarray
    projection: np.ndarray
    offsets: np.ndarray
    bias: np.ndarray


class DropoutBits(NamedTuple):
    """Dropout mask bits.

    Of `offsets` (S, H, pairs, d), `pattern` (S, B, H, pairs) and `output` (S, B, T, D); empty without dropout. Entries
    with bits of at least `threshold` are kept and multiplied by `scale`.
    """

    offsets: np.ndarray
    pattern: np.ndarray
    output: np.ndarray
    threshold: np.int16
    scale: np.float32


class LayerActivations(NamedTuple):
    """Activations that the backward pass needs, or their gradients.

    `normalized` (S, B, T, D) and `inverse_std` (S, B, T) of the norm; `qkv` (S, B, T, 3·H·d); `pattern` (S, B, H,
    pairs); `head_outputs` (S, B, T, H·d).
    """

    normalized: np.ndarray
    inverse_std: np.ndarray
    qkv: np.ndarray
    pattern: np.ndarray
    head_outputs: np.ndarray


@njit(cache=True, nogil=True, inline="always")
def _block(packed, start, rows, columns):
    """Rows of a packed pattern as a matrix; empty if `packed` is."""
    return (
        packed[start : start + rows * columns].reshape((rows, columns)) if packed.size else packed.reshape((0, columns))
    )


@njit(cache=True, nogil=True)
def _dropped_offsets(i, offsets, bits, threshold, scale, out):
    """r_{i-j} of one head (T, d) as dropped at (i, j), in the rows j ≤ i of `out`."""
    width = offsets.shape[1]
    for j in range(i + 1):
        for c in range(width):
            out[j, c] = offsets[i - j, c]
        for c in range(bits.shape[1]):
            out[j, c] = out[j, c] * scale if bits[j, c] >= threshold else float32(0.0)


@njit(cache=True, nogil=True)
def _add_grad_offsets(i, grad_dropped, bits, threshold, scale, grad_offsets):
    """Add the gradient of r given that of r as dropped at (i, j)."""
    width = grad_offsets.shape[1]
    for j in range(i + 1):
        for c in range(bits.shape[1]):
            grad_dropped[j, c] = grad_dropped[j, c] * scale if bits[j, c] >= threshold else float32(0.0)
        for c in range(width):
            grad_offsets[i - j, c] += grad_dropped[j, c]


@njit(cache=True, nogil=True)
def _project(s, first, last, x, weights, saved):
    """Queries, keys and values."""
    length, width = x.shape[2:]
    scaled = np.empty((length, width), dtype=np.float32)
    for b in range(first, last):
        saved.qkv[s, b], saved.pattern[s, b] = float32(0.0), float32(0.0)
        if weights.norm.size:
            normalize(x[s, b], saved.normalized[s, b], saved.inverse_std[s, b])
            affine(saved.normalized[s, b], weights.norm[s], scaled)
        multiply(saved.qkv[s, b], scaled if weights.norm.size else x[s, b], weights.qkv[s])


@njit(cache=True, nogil=True)
def _relative_scores(s, group, weights, bits, saved):
    """Add q·r to the scores at positions `group`, `group` + POSITION_GROUPS, …"""
    heads, length, inner = weights.offsets.shape[1:]
    r, transposed = np.zeros((length, inner), dtype=np.float32), np.zeros((inner, padded(length)), dtype=np.float32)
    for h in range(heads):
        for i in range(group, length, POSITION_GROUPS):
            start, columns = row_start(i), padded(i + 1)
            _dropped_offsets(i, weights.offsets[s, h], bits.offsets[s, h, start:], bits.threshold, bits.scale, r)
            transpose(r[: i + 1], transposed)
            query = saved.qkv[s, :, i, h * inner : (h + 1) * inner]
            multiply(saved.pattern[s, :, h, start : start + columns], query, transposed[:, :columns])


@njit(cache=True, nogil=True)
def _attend(s, first, last, x, weights, bits, saved, y):
    """Patterns, given the scores of relative positions, and the output of the branch."""
    length, width = x.shape[2:]
    heads, inner = saved.pattern.shape[2], saved.head_outputs.shape[3] // saved.pattern.shape[2]
    key = np.zeros((inner, padded(length)), dtype=np.float32)
    buffer, integers = np.empty(LANES * padded(length), np.float32), np.empty(LANES * padded(length), np.int32)
    branch = np.empty((length, padded(width)), dtype=np.float32)
    for b in range(first, last):
        qkv, head_outputs = saved.qkv[s, b], saved.head_outputs[s, b]
        head_outputs[:], branch[:] = float32(0.0), float32(0.0)
        for h in range(heads):
            q, k, v = h * inner, (heads + h) * inner, (2 * heads + h) * inner
            transpose(qkv[:, k : k + inner], key)
            for base in range(0, length, LANES):
                rows, columns, start = min(LANES, length - base), base + LANES, row_start(base)
                sources = min(columns, length)
                pattern = _block(saved.pattern[s, b, h], start, rows, columns)
                dropped = _block(buffer, 0, rows, columns)
                multiply(pattern, qkv[base : base + rows, q : q + inner], key[:, :columns])
                if weights.bias.size:
                    for i in range(rows):
                        for j in range(base + i + 1):
                            pattern[i, j] += weights.bias[s, h, base + i - j]
                softmax(pattern, base, integers)
                pattern_bits = _block(bits.pattern[s, b, h], start, rows, columns)
                dropout(pattern, pattern_bits, bits.threshold, bits.scale, dropped)
                out = head_outputs[base : base + rows, q : q + inner]
                multiply(out, dropped[:, :sources], qkv[:, v : v + inner], LOWER, base)
        multiply(branch, head_outputs, weights.projection[s])
        dropout(branch[:, :width], bits.output[s, b], bits.threshold, bits.scale, y[s, b])
        for t in range(length):
            for c in range(width):
                y[s, b, t, c] += x[s, b, t, c]


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def forward(x, weights, bits, saved, y):
    """y = x + drop(projection(heads(norm(x)))), both (S, B, T, D); what the backward pass needs goes to `saved`."""
    seeds, batch = x.shape[:2]
    chunks = seeds * chunk_count(batch)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        _project(s, first, last, x, weights, saved)
    if weights.offsets.size:
        for n in prange(seeds * POSITION_GROUPS):
            _relative_scores(n // POSITION_GROUPS, n % POSITION_GROUPS, weights, bits, saved)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        _attend(s, first, last, x, weights, bits, saved, y)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _softmax_backward(pattern, bits, threshold, scale, grad, dropped):
    """Turn `grad` from that of the dropped pattern into that of the scores; `dropped` becomes the dropped pattern."""
    rows, columns = pattern.shape
    for i in range(rows):
        mean = float32(0.0)
        for j in range(columns):
            factor = float32(1.0)
            if bits.size:
                factor = scale if bits[i, j] >= threshold else float32(0.0)
            dropped[i, j] = pattern[i, j] * factor
            grad[i, j] *= factor
            mean += pattern[i, j] * grad[i, j]
        for j in range(columns):
            grad[i, j] = pattern[i, j] * (grad[i, j] - mean)


@njit(cache=True, nogil=True)
def _attend_backward(s, first, last, weights, transposed, bits, saved, grad_y, grad_saved, grads):
    """Gradients of the scores, of the values, and of queries and keys through q·k alone."""
    length, width = grad_y.shape[2:]
    heads, inner = saved.pattern.shape[2], saved.head_outputs.shape[3] // saved.pattern.shape[2]
    value = np.zeros((inner, padded(length)), dtype=np.float32)
    buffer, grad_branch = np.empty(LANES * padded(length), np.float32), np.empty((length, width), np.float32)
    for b in range(first, last):
        qkv, grad_qkv, grad_outputs = saved.qkv[s, b], grad_saved.qkv[s, b], grad_saved.head_outputs[s, b]
        grad_qkv[:], grad_outputs[:], grad_saved.pattern[s, b] = float32(0.0), float32(0.0), float32(0.0)
        dropout(grad_y[s, b], bits.output[s, b], bits.threshold, bits.scale, grad_branch)
        multiply(grad_outputs, grad_branch, transposed.projection[s])
        multiply(grads.projection, grad_branch.T, saved.head_outputs[s, b])
        for h in range(heads):
            q, k, v = h * inner, (heads + h) * inner, (2 * heads + h) * inner
            transpose(qkv[:, v : v + inner], value)
            for base in range(0, length, LANES):
                rows, columns, start = min(LANES, length - base), base + LANES, row_start(base)
                queries, sources = slice(base, base + rows), min(columns, length)
                pattern = _block(saved.pattern[s, b, h], start, rows, columns)
                grad_scores = _block(grad_saved.pattern[s, b, h], start, rows, columns)
                dropped = _block(buffer, 0, rows, columns)
                pattern_bits = _block(bits.pattern[s, b, h], start, rows, columns)
                grad_out, query = grad_outputs[queries, q : q + inner], qkv[queries, q : q + inner]
                multiply(grad_scores, grad_out, value[:, :columns])
                _softmax_backward(pattern, pattern_bits, bits.threshold, bits.scale, grad_scores, dropped)
                multiply(grad_qkv[:sources, v : v + inner], dropped[:, :sources].T, grad_out, UPPER, base)
                from_scores = grad_scores[:, :sources]
                multiply(grad_qkv[queries, q : q + inner], from_scores, qkv[:, k : k + inner], LOWER, base)
                multiply(grad_qkv[:sources, k : k + inner], from_scores.T, query, UPPER, base)
                if weights.bias.size:
                    for i in range(rows):
                        for j in range(base + i + 1):
                            grads.bias[h, base + i - j] += grad_scores[i, j]


@njit(cache=True, nogil=True)
def _relative_scores_backward(s, group, weights, bits, saved, grad_saved, grad_offsets):
    """Add the gradients of r, and of queries through q·r, from positions `group`, `group` + POSITION_GROUPS, …"""
    heads, length, inner = weights.offsets.shape[1:]
    r, grad_dropped = np.zeros((length, inner), dtype=np.float32), np.empty((length, inner), dtype=np.float32)
    for h in range(heads):
        for i in range(group, length, POSITION_GROUPS):
            start, q = row_start(i), h * inner
            offset_bits = bits.offsets[s, h, start:]
            _dropped_offsets(i, weights.offsets[s, h], offset_bits, bits.threshold, bits.scale, r)
            grad_scores = grad_saved.pattern[s, :, h, start : start + i + 1]
            multiply(grad_saved.qkv[s, :, i, q : q + inner], grad_scores, r)
            grad_dropped[: i + 1] = float32(0.0)
            multiply(grad_dropped, grad_scores.T, saved.qkv[s, :, i, q : q + inner])
            _add_grad_offsets(i, grad_dropped, offset_bits, bits.threshold, bits.scale, grad_offsets[h])


@njit(cache=True, nogil=True)
def _project_backward(s, first, last, x, weights, transposed, saved, grad_y, grad_saved, grad_x, grads):
    """Gradients of x and of the weights before queries, keys and values."""
    length, width = x.shape[2:]
    scaled = np.zeros((length, padded(width)), dtype=np.float32)
    grad_scaled = np.empty((length, padded(width)), dtype=np.float32)
    for b in range(first, last):
        grad_scaled[:], grad_x[s, b] = float32(0.0), grad_y[s, b]
        multiply(grad_scaled, grad_saved.qkv[s, b], transposed.qkv[s])
        if weights.norm.size:
            normalized = saved.normalized[s, b]
            affine(normalized, weights.norm[s], scaled)
            normalize_backward(
                normalized, weights.norm[s], saved.inverse_std[s, b], grad_scaled, grad_x[s, b], grads.norm
            )
        else:
            affine(x[s, b], weights.norm[s], scaled)
            for t in range(length):
                for c in range(width):
                    grad_x[s, b, t, c] += grad_scaled[t, c]
        multiply(grads.qkv, grad_saved.qkv[s, b].T, scaled)


@njit(cache=True, nogil=True)
def _of_chunk(grads, n):
    """Gradients of weights that chunk n adds to."""
    return LayerWeights(grads.norm[n], grads.qkv[n], grads.projection[n], grads.offsets[0], grads.bias[n])


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def backward(x, weights, transposed, bits, saved, grad_y, grad_saved, grad_x, grads):
    """Gradients of x in `grad_x` and of the weights, laid out as `transposed`, added to `grads`.

    `grads` has an entry for each of S·POSITION_GROUPS groups of positions in `offsets`, for each chunk in the others.
    """
    seeds, batch = x.shape[:2]
    chunks = seeds * chunk_count(batch)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        chunk_grads = _of_chunk(grads, n)
        _attend_backward(s, first, last, weights, transposed, bits, saved, grad_y, grad_saved, chunk_grads)
    if weights.offsets.size:
        for n in prange(seeds * POSITION_GROUPS):
            group = n % POSITION_GROUPS
            seed, grad_offsets = n // POSITION_GROUPS, grads.offsets[n]
            _relative_scores_backward(seed, group, weights, bits, saved, grad_saved, grad_offsets)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        chunk_grads = _of_chunk(grads, n)
        _project_backward(s, first, last, x, weights, transposed, saved, grad_y, grad_saved, grad_x, chunk_grads)

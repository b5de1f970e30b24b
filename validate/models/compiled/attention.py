r"""Compiled arithmetic of an attention branch, x + drop(projection(heads(norm(x)))), and its derivative: see `onset.validate.models.transformer`.

What the vectors r, dropped anew at every pair (i, j), add to the scores is one product per position i, of all sequences; everything else is done one
sequence after another, and of its T × T pattern `LANES` rows at a time, up to the column where
their last row ends. Such a block stands in the first-level cache while all is done to it that is to be done. Rows of a pattern are kept one after
the other, each filled up to a multiple of `LANES` (`start`). Chunks add up their share of the derivatives by weights on their own, and are added in
order, so that numbers do not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, njit, prange

from onset.validate.models.compiled.elementwise import affine, keep_words, normalize, normalize_back, softmax, transpose
from onset.validate.models.compiled.tiles import LANES, LOWER, UPPER, chunk, chunks_of, filled, multiply, start

__all__ = ["PARTS", "Drop", "Kept", "Weights", "backward", "forward"]

PARTS = 8
"""Into which positions are split where all sequences meet the same vectors r."""


class Weights(NamedTuple):
    """Weights of S seeds; channels of each head, d, and of the model, D, are filled up with zeros. Empty where the model has none.

    `norm` (S, 2, D) scale and shift; `into` (S, D, 3·heads·d) to queries, already over √d, keys and values, `onto` (S, heads·d, D); `offsets`
    (S, heads, T, d) and `bias` (S, heads, T) by offset.
    """

    norm: np.ndarray
    into: np.ndarray
    onto: np.ndarray
    offsets: np.ndarray
    bias: np.ndarray


class Drop(NamedTuple):
    """Words of dropout, of r (S, heads, pairs, d), of the pattern (S, B, heads, pairs) and of what the branch adds (S, B, T, D), all empty if
    nothing is dropped; the least word kept and the factor of what is kept."""

    offsets: np.ndarray
    pattern: np.ndarray
    out: np.ndarray
    least: np.int16
    factor: np.float32


class Kept(NamedTuple):
    """What the way back needs: x less its mean and over its spread (S, B, T, D) and one over the spread (S, B, T), if there is a norm; queries, keys and
    values (S, B, T, 3·heads·d); the pattern (S, B, heads, pairs); what heads put out (S, B, T, heads·d)."""

    normal: np.ndarray
    spread: np.ndarray
    parts: np.ndarray
    pattern: np.ndarray
    mixed: np.ndarray


@njit(cache=True, nogil=True, inline="always")
def _block(x, at, rows, columns):
    """Rows of a pattern from `at` on; nothing of words that there are not."""
    return x[at : at + rows * columns].reshape((rows, columns)) if x.size else x.reshape((0, columns))


@njit(cache=True, nogil=True)
def _offsets_at(i, offsets, words, least, factor, out):
    """r_{i-j} as dropped at (i, j), one head's (T, d), into the rows j ≤ i of `out`."""
    width = offsets.shape[1]
    for j in range(i + 1):
        for c in range(width):
            out[j, c] = offsets[i - j, c]
        for c in range(words.shape[1]):
            out[j, c] = out[j, c] * factor if words[j, c] >= least else float32(0.0)


@njit(cache=True, nogil=True)
def _fold(i, by_r, words, least, factor, by_offsets):
    """Add to the derivative by the vectors r what comes by r as dropped at (i, j)."""
    width = by_offsets.shape[1]
    for j in range(i + 1):
        for c in range(words.shape[1]):
            by_r[j, c] = by_r[j, c] * factor if words[j, c] >= least else float32(0.0)
        for c in range(width):
            by_offsets[i - j, c] += by_r[j, c]


@njit(cache=True, nogil=True)
def _project(s, first, last, x, weights, kept):
    """Queries, keys and values."""
    length, width = x.shape[2:]
    scaled = np.empty((length, width), dtype=np.float32)
    for b in range(first, last):
        kept.parts[s, b], kept.pattern[s, b] = float32(0.0), float32(0.0)
        if weights.norm.size:
            normalize(x[s, b], kept.normal[s, b], kept.spread[s, b])
            affine(kept.normal[s, b], weights.norm[s], scaled)
        multiply(kept.parts[s, b], scaled if weights.norm.size else x[s, b], weights.into[s])


@njit(cache=True, nogil=True)
def _score_offsets(s, part, weights, drop, kept):
    """What r adds to the scores of positions `part`, `part` + PARTS, …"""
    heads, length, inner = weights.offsets.shape[1:]
    r, turned = np.zeros((length, inner), dtype=np.float32), np.zeros((inner, filled(length)), dtype=np.float32)
    for h in range(heads):
        for i in range(part, length, PARTS):
            at, columns = start(i), filled(i + 1)
            _offsets_at(i, weights.offsets[s, h], drop.offsets[s, h, at:], drop.least, drop.factor, r)
            transpose(r[: i + 1], turned)
            query = kept.parts[s, :, i, h * inner : (h + 1) * inner]
            multiply(kept.pattern[s, :, h, at : at + columns], query, turned[:, :columns])


@njit(cache=True, nogil=True)
def _attend(s, first, last, x, weights, drop, kept, y):
    """Patterns, from scores so far, and what the branch adds."""
    length, width = x.shape[2:]
    heads, inner = kept.pattern.shape[2], kept.mixed.shape[3] // kept.pattern.shape[2]
    key = np.zeros((inner, filled(length)), dtype=np.float32)
    used, bits = np.empty(LANES * filled(length), np.float32), np.empty(LANES * filled(length), np.int32)
    add = np.empty((length, filled(width)), dtype=np.float32)
    for b in range(first, last):
        parts, mixed = kept.parts[s, b], kept.mixed[s, b]
        mixed[:], add[:] = float32(0.0), float32(0.0)
        for h in range(heads):
            q, k, v = h * inner, (heads + h) * inner, (2 * heads + h) * inner
            transpose(parts[:, k : k + inner], key)
            for base in range(0, length, LANES):
                rows, columns, at = min(LANES, length - base), base + LANES, start(base)
                block = _block(kept.pattern[s, b, h], at, rows, columns)
                multiply(block, parts[base : base + rows, q : q + inner], key[:, :columns])
                if weights.bias.size:
                    for i in range(rows):
                        for j in range(base + i + 1):
                            block[i, j] += weights.bias[s, h, base + i - j]
                softmax(block, base, bits)
                share = _block(used, 0, rows, columns)
                words = _block(drop.pattern[s, b, h], at, rows, columns)
                keep_words(block, words, drop.least, drop.factor, share)
                seen = min(columns, length)
                multiply(
                    mixed[base : base + rows, q : q + inner], share[:, :seen], parts[:, v : v + inner], LOWER, base
                )
        multiply(add, mixed, weights.onto[s])
        keep_words(add[:, :width], drop.out[s, b], drop.least, drop.factor, y[s, b])
        for t in range(length):
            for c in range(width):
                y[s, b, t, c] += x[s, b, t, c]


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def forward(x, weights, drop, kept, y):
    """y = x + drop(projection(heads(norm(x)))), all of shape (S, B, T, D), and what the way back needs in `kept`."""
    seeds, batch = x.shape[:2]
    chunks = seeds * chunks_of(batch)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        _project(s, first, last, x, weights, kept)
    if weights.offsets.size:
        for n in prange(seeds * PARTS):
            _score_offsets(n // PARTS, n % PARTS, weights, drop, kept)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        _attend(s, first, last, x, weights, drop, kept, y)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _score_back(shares, words, least, factor, by_used, used):
    """From the derivative by what was used of each share to that by its score, in place; and `used`, the shares as dropped."""
    rows, columns = shares.shape
    for i in range(rows):
        mean = float32(0.0)
        for j in range(columns):
            weight = float32(1.0)
            if words.size:
                weight = factor if words[i, j] >= least else float32(0.0)
            used[i, j] = shares[i, j] * weight
            by_used[i, j] *= weight
            mean += shares[i, j] * by_used[i, j]
        for j in range(columns):
            by_used[i, j] = shares[i, j] * (by_used[i, j] - mean)


@njit(cache=True, nogil=True)
def _attend_back(s, first, last, weights, back, drop, kept, by_y, by_kept, by):
    """From the derivative by y to those by scores and, so far, by queries, keys and values."""
    length, width = by_y.shape[2:]
    heads, inner = kept.pattern.shape[2], kept.mixed.shape[3] // kept.pattern.shape[2]
    value = np.zeros((inner, filled(length)), dtype=np.float32)
    used, by_add = np.empty(LANES * filled(length), np.float32), np.empty((length, width), np.float32)
    for b in range(first, last):
        parts, by_parts, by_mixed = kept.parts[s, b], by_kept.parts[s, b], by_kept.mixed[s, b]
        by_parts[:], by_mixed[:], by_kept.pattern[s, b] = float32(0.0), float32(0.0), float32(0.0)
        keep_words(by_y[s, b], drop.out[s, b], drop.least, drop.factor, by_add)
        multiply(by_mixed, by_add, back.onto[s])
        multiply(by.onto, by_add.T, kept.mixed[s, b])
        for h in range(heads):
            q, k, v = h * inner, (heads + h) * inner, (2 * heads + h) * inner
            transpose(parts[:, v : v + inner], value)
            for base in range(0, length, LANES):
                rows, columns, at = min(LANES, length - base), base + LANES, start(base)
                seen = min(columns, length)
                shares, block = (
                    _block(kept.pattern[s, b, h], at, rows, columns),
                    _block(by_kept.pattern[s, b, h], at, rows, columns),
                )
                share, words = _block(used, 0, rows, columns), _block(drop.pattern[s, b, h], at, rows, columns)
                by_out = by_mixed[base : base + rows, q : q + inner]
                multiply(block, by_out, value[:, :columns])
                _score_back(shares, words, drop.least, drop.factor, block, share)
                multiply(by_parts[:seen, v : v + inner], share[:, :seen].T, by_out, UPPER, base)
                multiply(
                    by_parts[base : base + rows, q : q + inner], block[:, :seen], parts[:, k : k + inner], LOWER, base
                )
                multiply(
                    by_parts[:seen, k : k + inner],
                    block[:, :seen].T,
                    parts[base : base + rows, q : q + inner],
                    UPPER,
                    base,
                )
                if weights.bias.size:
                    for i in range(rows):
                        for j in range(base + i + 1):
                            by.bias[h, base + i - j] += block[i, j]


@njit(cache=True, nogil=True)
def _score_offsets_back(s, part, weights, drop, kept, by_kept, by_offsets):
    """From the derivative by the scores of positions `part`, `part` + PARTS, … to those by r and, its share, by queries."""
    heads, length, inner = weights.offsets.shape[1:]
    r, by_r = np.zeros((length, inner), dtype=np.float32), np.empty((length, inner), dtype=np.float32)
    for h in range(heads):
        for i in range(part, length, PARTS):
            at = start(i)
            words = drop.offsets[s, h, at:]
            _offsets_at(i, weights.offsets[s, h], words, drop.least, drop.factor, r)
            by_scores, q = by_kept.pattern[s, :, h, at : at + i + 1], h * inner
            multiply(by_kept.parts[s, :, i, q : q + inner], by_scores, r)
            by_r[: i + 1] = float32(0.0)
            multiply(by_r, by_scores.T, kept.parts[s, :, i, q : q + inner])
            _fold(i, by_r, words, drop.least, drop.factor, by_offsets[h])


@njit(cache=True, nogil=True)
def _project_back(s, first, last, x, weights, back, kept, by_y, by_kept, by_x, by):
    """From the derivatives by queries, keys and values to those by what is before them."""
    length, width = x.shape[2:]
    scaled = np.zeros((length, filled(width)), dtype=np.float32)
    by_scaled = np.empty((length, filled(width)), dtype=np.float32)
    for b in range(first, last):
        by_scaled[:], by_x[s, b] = float32(0.0), by_y[s, b]
        multiply(by_scaled, by_kept.parts[s, b], back.into[s])
        if weights.norm.size:
            affine(kept.normal[s, b], weights.norm[s], scaled)
            normalize_back(kept.normal[s, b], weights.norm[s], kept.spread[s, b], by_scaled, by_x[s, b], by.norm)
        else:
            affine(x[s, b], weights.norm[s], scaled)
            for t in range(length):
                for c in range(width):
                    by_x[s, b, t, c] += by_scaled[t, c]
        multiply(by.into, by_kept.parts[s, b].T, scaled)


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def backward(x, weights, back, drop, kept, by_y, by_kept, by_x, by):
    """The derivative by x, and in `by` shares of those by the weights, to be added: by `offsets` those of (S·PARTS) parts of the positions, by the
    others those of (S·chunks) chunks. `back` holds `into` (S, 3·heads·d, D) and `onto` (S, D, heads·d) turned, and `by` is laid out as `back` is."""
    seeds, batch = x.shape[:2]
    chunks = seeds * chunks_of(batch)
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        own = Weights(by.norm[n], by.into[n], by.onto[n], by.offsets[0], by.bias[n])
        _attend_back(s, first, last, weights, back, drop, kept, by_y, by_kept, own)
    if weights.offsets.size:
        for n in prange(seeds * PARTS):
            _score_offsets_back(n // PARTS, n % PARTS, weights, drop, kept, by_kept, by.offsets[n])
    for n in prange(chunks):
        s, first, last = chunk(n, batch)
        own = Weights(by.norm[n], by.into[n], by.onto[n], by.offsets[0], by.bias[n])
        _project_back(s, first, last, x, weights, back, kept, by_y, by_kept, by_x, own)

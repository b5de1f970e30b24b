"""Compiled arithmetic entry by entry: norms, exponentials, softmax, dropout by words. Arrays are of single precision."""

from __future__ import annotations

import numpy as np
from numba import float32, int32, njit

from onset.validate.models.compiled.tiles import LANES

__all__ = ["affine", "exponentiate", "keep_words", "normalize", "normalize_back", "softmax", "transpose"]

EPSILON = 1e-5
"""Of LayerNorm."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def normalize(x, out, spread):
    """Rows of x (T, D) less their mean and over their spread into `out`, and one over the spread."""
    length, width = x.shape
    for t in range(length):
        mean = float32(0.0)
        for c in range(width):
            mean += x[t, c]
        mean /= float32(width)
        square = float32(0.0)
        for c in range(width):
            square += (x[t, c] - mean) ** 2
        spread[t] = float32(1.0) / np.sqrt(square / float32(width) + float32(EPSILON))
        for c in range(width):
            out[t, c] = (x[t, c] - mean) * spread[t]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def normalize_back(normal, norm, spread, by_out, by_x, by_norm):
    """Add to the derivative by x (T, D) what comes through its norm, and to those by scale and shift."""
    length, width = by_x.shape
    for t in range(length):
        total, along = float32(0.0), float32(0.0)
        for c in range(width):
            slope = by_out[t, c] * norm[0, c]
            by_norm[0, c] += by_out[t, c] * normal[t, c]
            by_norm[1, c] += by_out[t, c]
            total += slope
            along += slope * normal[t, c]
        total, along = total / float32(width), along / float32(width)
        for c in range(width):
            by_x[t, c] += spread[t] * (by_out[t, c] * norm[0, c] - total - normal[t, c] * along)


@njit(cache=True, nogil=True)
def affine(normal, norm, out):
    """`out` is `normal` times scale plus shift; the same without a norm."""
    for t in range(normal.shape[0]):
        if norm.size == 0:
            for c in range(normal.shape[1]):
                out[t, c] = normal[t, c]
        else:
            for c in range(norm.shape[1]):
                out[t, c] = normal[t, c] * norm[0, c] + norm[1, c]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def exponentiate(x, bits):
    """exp of x ≤ 0, in place; below -87, where it is less than 2⁻¹²⁵, zero. It is 2ⁿ, its bits made in `bits`, times Cephes' polynomial: unlike a
    call, it is vectorised."""
    powers = bits.view(np.float32)
    for j in range(len(x)):
        y = max(x[j], float32(-87.0))
        n = np.rint(y * float32(1.4426950408889634))
        bits[j] = (int32(n) + int32(127)) << int32(23)
        y = y - n * float32(0.693359375) + n * float32(2.12194440e-4)
        z = float32(1.9875691500e-4) * y + float32(1.3981999507e-3)
        z = z * y + float32(8.3334519073e-3)
        z = z * y + float32(4.1665795894e-2)
        z = z * y + float32(1.6666665459e-1)
        z = z * y + float32(5.0000001201e-1)
        x[j] = (z * y * y + y + float32(1.0)) * powers[j] if x[j] >= float32(-87.0) else float32(0.0)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def softmax(block, base, bits):
    """Softmax of the rows of `block`, (rows, columns), of the first `base + i + 1` entries of row i, in place; the rest becomes zero.

    The greatest score is found among integers in the order of the numbers whose bits they are: among numbers the search is not vectorised.
    """
    rows, columns = block.shape
    own, sign = block.view(np.int32), int32(31)
    for i in range(rows):
        for c in range(LANES):
            block[i, base + c] = block[i, base + c] if c <= i else float32(-1e30)
        top = own[i, 0] ^ ((own[i, 0] >> sign) & int32(0x7FFFFFFF))
        for j in range(columns):
            top = max(top, own[i, j] ^ ((own[i, j] >> sign) & int32(0x7FFFFFFF)))
        bits[i] = top ^ ((top >> sign) & int32(0x7FFFFFFF))
    tops = bits.view(np.float32)
    for i in range(rows):
        top = tops[i]
        for j in range(columns):
            block[i, j] -= top
    exponentiate(block.ravel(), bits)
    for i in range(rows):
        total = float32(0.0)
        for j in range(columns):
            total += block[i, j]
        total = float32(1.0) / total
        for j in range(columns):
            block[i, j] *= total


@njit(cache=True, nogil=True)
def keep_words(x, words, least, factor, out):
    """`out` is x, both (rows, columns), as dropped by words."""
    for i in range(x.shape[0]):
        if words.size == 0:
            for j in range(x.shape[1]):
                out[i, j] = x[i, j]
        else:
            for j in range(x.shape[1]):
                out[i, j] = x[i, j] * factor if words[i, j] >= least else float32(0.0)


@njit(cache=True, nogil=True)
def transpose(x, out):
    """`out` (columns, rows) becomes the transpose of x, (rows, columns)."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[c, t] = x[t, c]

"""Compiled element-wise arithmetic in single precision: LayerNorm, exponentials, softmax, dropout."""

from __future__ import annotations

import numpy as np
from numba import float32, int32

from onset.simulate.compiling import njit
from onset.validate.models.compiled.layout import LANES

__all__ = ["affine", "dropout", "exponentiate", "normalize", "normalize_backward", "softmax", "transpose"]

EPSILON = 1e-5
"""LayerNorm epsilon."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def normalize(x, out, inverse_std):
    """LayerNorm of the rows of x (T, D) without scale and shift, and one over the standard deviation of each (T,)."""
    length, width = x.shape
    for t in range(length):
        mean = float32(0.0)
        for c in range(width):
            mean += x[t, c]
        mean /= float32(width)
        square = float32(0.0)
        for c in range(width):
            square += (x[t, c] - mean) ** 2
        inverse_std[t] = float32(1.0) / np.sqrt(square / float32(width) + float32(EPSILON))
        for c in range(width):
            out[t, c] = (x[t, c] - mean) * inverse_std[t]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def normalize_backward(normalized, norm, inverse_std, grad_out, grad_x, grad_norm):
    """Add the gradients of a LayerNorm to `grad_x` (T, D) and, of scale and shift, to `grad_norm` (2, D)."""
    length, width = grad_x.shape
    for t in range(length):
        total, along = float32(0.0), float32(0.0)
        for c in range(width):
            slope = grad_out[t, c] * norm[0, c]
            grad_norm[0, c] += grad_out[t, c] * normalized[t, c]
            grad_norm[1, c] += grad_out[t, c]
            total += slope
            along += slope * normalized[t, c]
        total, along = total / float32(width), along / float32(width)
        for c in range(width):
            grad_x[t, c] += inverse_std[t] * (grad_out[t, c] * norm[0, c] - total - normalized[t, c] * along)


@njit(cache=True, nogil=True)
def affine(x, norm, out):
    """x times scale plus shift, `norm` (2, D); a copy of x if `norm` is empty."""
    for t in range(x.shape[0]):
        if norm.size == 0:
            for c in range(x.shape[1]):
                out[t, c] = x[t, c]
        else:
            for c in range(norm.shape[1]):
                out[t, c] = x[t, c] * norm[0, c] + norm[1, c]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def exponentiate(x, integers):
    """exp of x ≤ 0 in place; zero below -87, where it is less than 2⁻¹²⁵.

    `integers` is a buffer of int32, as long as x. A power of two, made from its bits, times the polynomial of the
    Cephes library: vectorised, unlike a call of exp.
    """
    powers = integers.view(np.float32)
    for j in range(len(x)):
        y = max(x[j], float32(-87.0))
        n = np.rint(y * float32(1.4426950408889634))
        integers[j] = (int32(n) + int32(127)) << int32(23)
        y = y - n * float32(0.693359375) + n * float32(2.12194440e-4)
        z = float32(1.9875691500e-4) * y + float32(1.3981999507e-3)
        z = z * y + float32(8.3334519073e-3)
        z = z * y + float32(4.1665795894e-2)
        z = z * y + float32(1.6666665459e-1)
        z = z * y + float32(5.0000001201e-1)
        x[j] = (z * y * y + y + float32(1.0)) * powers[j] if x[j] >= float32(-87.0) else float32(0.0)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def softmax(block, base, integers):
    """Softmax in place of the first `base + i + 1` entries of row i of `block` (rows, columns); the others become zero.

    The maximum is taken over integers that are ordered as the floating-point numbers of the same bits: vectorised,
    unlike a maximum of floating-point numbers. `integers` is a buffer of int32 with as many entries as `block`.
    """
    rows, columns = block.shape
    as_integers, sign = block.view(np.int32), int32(31)
    for i in range(rows):
        for c in range(LANES):
            block[i, base + c] = block[i, base + c] if c <= i else float32(-1e30)
        top = as_integers[i, 0] ^ ((as_integers[i, 0] >> sign) & int32(0x7FFFFFFF))
        for j in range(columns):
            top = max(top, as_integers[i, j] ^ ((as_integers[i, j] >> sign) & int32(0x7FFFFFFF)))
        integers[i] = top ^ ((top >> sign) & int32(0x7FFFFFFF))
    tops = integers.view(np.float32)
    for i in range(rows):
        top = tops[i]
        for j in range(columns):
            block[i, j] -= top
    exponentiate(block.ravel(), integers)
    for i in range(rows):
        total = float32(0.0)
        for j in range(columns):
            total += block[i, j]
        total = float32(1.0) / total
        for j in range(columns):
            block[i, j] *= total


@njit(cache=True, nogil=True)
def dropout(x, mask_bits, threshold, scale, out):
    """Dropout of x (rows, columns) by mask bits of the same shape; a copy of x if there are none."""
    for i in range(x.shape[0]):
        if mask_bits.size == 0:
            for j in range(x.shape[1]):
                out[i, j] = x[i, j]
        else:
            for j in range(x.shape[1]):
                out[i, j] = x[i, j] * scale if mask_bits[i, j] >= threshold else float32(0.0)


@njit(cache=True, nogil=True)
def transpose(x, out):
    """Write the transpose of x (rows, columns) to the first entries of `out`."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[c, t] = x[t, c]

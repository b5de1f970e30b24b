"""Dropout by random bits that the caller draws, so that a model drops the same entries alone and among many.

An entry x that may be dropped has 16 *mask bits*, an int16: it becomes x·`scale(p)` if its bits are at least
`threshold(p)`, else zero. So p is rounded to a multiple of 2⁻¹⁶. The mask bits of pairs (i, j), j ≤ i, are packed row
by row, each row padded to whole tiles: those of (i, j) stand at `row_start(i) + j` of `pair_count(T)` entries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onset.validate.models.compiled.layout import row_start

__all__ = ["drop", "pair_count", "scale", "threshold", "unpack"]

BITS = 16


def threshold(probability: float) -> int:
    """The smallest mask bits of an entry that is kept."""
    return min(round(probability * 2**BITS), 2**BITS - 1) - 2 ** (BITS - 1)


def scale(probability: float) -> float:
    """Factor of the entries that are kept."""
    return 2**BITS / (2 ** (BITS - 1) - threshold(probability))


def drop(x: Tensor, mask_bits: Tensor | None, probability: float) -> Tensor:
    """Dropout of x by mask bits of the same shape; x itself without them."""
    if mask_bits is None:
        return x
    return x * ((mask_bits >= threshold(probability)).to(x.dtype) * scale(probability))


def pair_count(length: int) -> int:
    """Packed entries for all pairs of `length` positions, padding included."""
    return row_start(length)


def unpack(mask_bits: Tensor | None, length: int, dim: int) -> Tensor | None:
    """Packed mask bits of pairs along `dim` as T × T entries, those at j > i arbitrary."""
    if mask_bits is None:
        return None
    position = torch.arange(length, device=mask_bits.device)
    starts = torch.tensor([row_start(i) for i in range(length)], device=mask_bits.device)
    index = starts[:, None] + position.minimum(position[:, None])
    return mask_bits.index_select(dim, index.flatten()).unflatten(dim, (length, length))

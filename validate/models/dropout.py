"""Dropout by words: 16 random bits as int16, that the caller draws, one for each entry that may be dropped.

An entry is kept if its word is at least as large as p's. So p is rounded to 2⁻¹⁶, and what is kept is scaled by the p that results. Words of pairs
(i, j), j ≤ i, are packed row by row, each row filled up to whole tiles: that of (i, j) stands at `start(i) + j` of `pairs(T)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onset.validate.models.compiled.tiles import start

__all__ = ["drop", "least", "pairs", "scale", "unpacked"]

BITS = 16


def least(probability: float) -> int:
    """The least word that is kept."""
    return min(round(probability * 2**BITS), 2**BITS - 1) - 2 ** (BITS - 1)


def scale(probability: float) -> float:
    """Factor of what is kept."""
    return 2**BITS / (2 ** (BITS - 1) - least(probability))


def drop(x: Tensor, words: Tensor | None, probability: float) -> Tensor:
    """Dropout of x by words of its shape; nothing is dropped without words."""
    if words is None:
        return x
    return x * ((words >= least(probability)).to(x.dtype) * scale(probability))


def pairs(length: int) -> int:
    """Words of all pairs of `length` positions."""
    return start(length)


def unpacked(words: Tensor | None, length: int, dim: int) -> Tensor | None:
    """Words of pairs along `dim` as words of T × T entries, anything at j > i."""
    if words is None:
        return None
    position = torch.arange(length, device=words.device)
    first = torch.tensor([start(i) for i in range(length)], device=words.device)
    place = first[:, None] + position.minimum(position[:, None])
    return words.index_select(dim, place.flatten()).unflatten(dim, (length, length))

r"""Causal attention with dropout and relative positions in plain torch: for what the kernels of `onset.validate.models.compiled` do not do, and to test them by.

Head by head, scores are q_i·k_j/√d, plus q_i·r_{i-j}/√d with relative positions, for j ≤ i; the pattern is their softmax over j, the output
Σ_j drop(pattern)_ij v_j. Dropout acts on r anew at every pair (i, j), as in the released code of arXiv 2402.11004.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from onset.validate.models.dropout import drop, unpacked

__all__ = ["attend", "scores"]


def attend(
    parts: Tensor,
    offsets: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    words: tuple[Tensor | None, Tensor | None] = (None, None),
    probability: float = 0.0,
) -> Tensor:
    """Output of each head, shape (B, T, H, d).

    Parameters
    ----------
    parts : tensor, shape (B, T, 3, H, d)
        Queries, keys and values.
    offsets : tensor, shape (H, at least T, d), optional
        r, one vector per offset.
    bias : tensor, shape (H, at least T), optional
        Added to the scores, one number per offset.
    words : pair of tensor, optional
        Of dropout: of the pattern (B, H, pairs) and of r (H, pairs, d).
    probability : float
        Of dropping.
    """
    shares = scores(parts, offsets, bias, words[1], probability).softmax(dim=-1)
    shares = drop(shares, unpacked(words[0], parts.shape[1], dim=2), probability)
    return torch.einsum("bhij,bjhd->bihd", shares, parts[:, :, 2])


def scores(
    parts: Tensor,
    offsets: Tensor | None = None,
    bias: Tensor | None = None,
    words: Tensor | None = None,
    probability: float = 0.0,
    *,
    first: int = 0,
) -> Tensor:
    """What the softmax makes the pattern of, shape (B, H, T, T), -∞ above the diagonal; arguments as in `attend`, `words` those of r. Of queries from
    position `first` on alone, (B, H, T - first, T)."""
    length, width = parts.shape[1], parts.shape[-1]
    query, key = parts[:, first:, 0] / math.sqrt(width), parts[:, :, 1]
    position = torch.arange(length, device=parts.device)
    lag = position[first:, None] - position
    found = torch.einsum("bihd,bjhd->bhij", query, key)
    if offsets is not None:
        # Row i is a window on r, backwards: unlike r_{i-j} picked by its index, its derivative is a sum without collisions.
        backwards = F.pad(offsets[:, :length].flip(1), (0, 0, 0, length - 1))
        table = backwards.unfold(1, length, 1).flip(1).transpose(-1, -2)
        table = drop(table, unpacked(words, length, dim=1), probability)[:, first:]
        found = found + torch.einsum("bihd,hijd->bhij", query, table)
    if bias is not None:
        found = found + bias[:, lag.clamp(min=0)]
    return found.masked_fill(lag < 0, -torch.inf)

r"""Causal attention in plain torch, for inspection and for kinds that `onset.validate.models.compiled` lacks.

With queries q, keys k and values v of width d per head, and p the dropout probability, for j ≤ i

    scores        S_ij = q_i·k_j/√d, plus by `positions`
                  relative   q_i·drop(r_{i-j})/√d, one learned vector r per offset and head
                  bias       b_{i-j}, one learned number per offset and head
                  rotary     nothing; q and k are rotated by their positions
    pattern       A_ij = softmax of S_ij over j
    head output   o_i = Σ_j drop(A_ij) v_j.

Where layer 1 is given its pattern (`Architecture.previous`), its scores are 0 for j = i - 1 and j = i = 1, else -∞.
Dropout acts on r anew at every pair (i, j), as in the released code of arXiv 2402.11004.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.theory.architecture import Architecture
from onset.validate.models.dropout import drop, pair_count, unpack

__all__ = ["Attention", "previous_token"]

ROTARY_BASE = 1e4
"""Pair c of a head of width d is rotated by position / ROTARY_BASE^(2c/d) (arXiv 2104.09864)."""


class Attention(nn.Module):
    """An attention branch: x + drop(projection(heads(norm(x))))."""

    def __init__(self, shape: Architecture, heads: int, context: int, *, previous: bool = False) -> None:
        super().__init__()
        self.previous = previous
        self.shape, self.heads, self.head_width = shape, heads, shape.width // heads
        self.norm = nn.LayerNorm(shape.width) if shape.norm else nn.Identity()
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.projection = nn.Linear(shape.width, shape.width, bias=False)
        if shape.positions == "relative" and not previous:
            self.offsets = nn.Parameter(torch.empty(heads, context, self.head_width))
        if shape.positions == "bias" and not previous:
            self.bias = nn.Parameter(torch.empty(heads, context))
        self.smear: Tensor
        if shape.even:
            self.register_buffer("smear", torch.zeros(heads, 1), persistent=False)
        elif shape.smeared:
            self.smear = nn.Parameter(torch.zeros(heads, 1))
        self.points = nn.ModuleDict({name: nn.Identity() for name in ("scores", "patterns", "head_outputs")})
        """Points of the forward pass to which hooks attach."""

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Shapes of the dropout mask bits, in order."""
        relative = self.shape.positions == "relative" and not self.previous
        offsets = [(self.heads, pair_count(length), self.head_width)] if relative else []
        return [*offsets, (batch, self.heads, pair_count(length)), (batch, length, self.shape.width)]

    def qkv(self, x: Tensor) -> Tensor:
        """Queries, keys and values of each head, shape (B, T, 3, heads, width/heads)."""
        qkv = self.query_key_value(self.norm(x)).unflatten(-1, (3, self.heads, self.head_width))
        if not self.shape.smeared and self.shape.positions != "rotary":
            return qkv
        query, key, value = qkv.unbind(dim=-3)
        if self.shape.smeared:
            share, previous = self.smear.sigmoid(), torch.cat([key[:, :1], key[:, :-1]], dim=1)
            key = share * key + (1 - share) * previous
        if self.shape.positions == "rotary":
            query, key = _rotate(query), _rotate(key)
        return torch.stack([query, key, value], dim=-3)

    def scores(self, qkv: Tensor, offset_bits: Tensor | None = None, *, first: int = 0) -> Tensor:
        """Scores before the softmax, shape (B, H, T - first, T), of queries from position `first` on; -∞ where j > i.

        Parameters
        ----------
        qkv : tensor, shape (B, T, 3, H, d)
            Queries, keys and values.
        offset_bits : tensor, shape (H, pairs, d), optional
            Dropout mask bits of the vectors r.
        first : int
            Position of the first query.
        """
        length = qkv.shape[1]
        if self.previous:
            pattern = previous_token(qkv.new_zeros(len(qkv), self.heads, length, length))
            return pattern.log()[:, :, first:]
        query, key = qkv[:, first:, 0] / math.sqrt(self.head_width), qkv[:, :, 1]
        position = torch.arange(length, device=qkv.device)
        lag = position[first:, None] - position
        scores = torch.einsum("bihd,bjhd->bhij", query, key)
        if self.shape.positions == "relative":
            # Row i is a window on r, backwards: unlike indexing r_{i-j}, its derivative is a sum without collisions.
            backwards = F.pad(self.offsets[:, :length].flip(1), (0, 0, 0, length - 1))
            table = backwards.unfold(1, length, 1).flip(1).transpose(-1, -2)
            table = drop(table, unpack(offset_bits, length, dim=1), self.shape.dropout)[:, first:]
            scores = scores + torch.einsum("bihd,hijd->bhij", query, table)
        if self.shape.positions == "bias":
            scores = scores + self.bias[:, lag.clamp(min=0)]
        return scores.masked_fill(lag < 0, -torch.inf)

    def forward(self, x: Tensor, mask_bits: Iterator[Tensor | None]) -> Tensor:
        offset_bits = next(mask_bits) if self.shape.positions == "relative" and not self.previous else None
        qkv = self.qkv(x)
        pattern = self.points["patterns"](self.points["scores"](self.scores(qkv, offset_bits)).softmax(dim=-1))
        pattern = drop(pattern, unpack(next(mask_bits), x.shape[1], dim=2), self.shape.dropout)
        outputs = self.points["head_outputs"](torch.einsum("bhij,bjhd->bihd", pattern, qkv[:, :, 2]))
        return x + drop(self.projection(outputs.flatten(-2)), next(mask_bits), self.shape.dropout)


def previous_token(pattern: Tensor) -> Tensor:
    """All attention on the previous token, of the first on itself, in the shape of a pattern (B, H, T, T)."""
    identity = torch.eye(pattern.shape[-1], dtype=pattern.dtype, device=pattern.device)
    return torch.cat([identity[:1], identity[:-1]]).expand_as(pattern)


def _rotate(x: Tensor) -> Tensor:
    """Pairs (c, c + d/2) of the entries of x (B, T, heads, d), rotated by angles proportional to the position."""
    length, half = x.shape[1], x.shape[-1] // 2
    rates = ROTARY_BASE ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = (torch.arange(length, device=x.device, dtype=x.dtype)[:, None] * rates)[:, None]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)

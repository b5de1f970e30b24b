r"""Causal attention with dropout and relative positions: a compiled kernel on a CPU, plain torch elsewhere.

Head by head, scores are q_i·k_j/√d, plus q_i·r_{i-j}/√d with relative positions, for j ≤ i; the pattern is their softmax over j, the output
Σ_j drop(pattern)_ij v_j. Dropout acts on r anew at every pair (i, j), as in the released code of arXiv 2402.11004. At widths
of 16 a step's time goes into passes over T × T matrices that hold little work each: the kernel holds one row of them at a time, of its causal half.

Dropout takes words, 16 random bits as int16, that the caller draws, one for each entry that may be dropped: an entry is kept if its word is at
least as large as p's. So p is rounded to 2⁻¹⁶, and what is kept is scaled by the p that results. Pairs (i, j) are
packed row by row: (0, 0), (1, 0), (1, 1), (2, 0), …
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import float32, int32, njit
from torch import Tensor
from torch.nn import functional as F

__all__ = ["attend", "drop", "pairs", "pattern", "scores"]

BITS = 16


def pairs(length: int) -> int:
    """Number of pairs j ≤ i of `length` positions."""
    return length * (length + 1) // 2


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
    length, (heads, width) = parts.shape[1], parts.shape[-2:]
    single = parts.device.type == "cpu" and parts.dtype == torch.float32 and bias is None
    if single and not torch.is_autocast_enabled("cpu"):
        used = parts.new_zeros(heads, length, width) if offsets is None else offsets[:, :length]
        return _Attend.apply(parts, used, *words, probability)[0]  # type: ignore[no-untyped-call]
    shares = pattern(parts, offsets, bias, words[1], probability)
    shares = drop(shares, _unpacked(words[0], length, dim=2), probability)
    return torch.einsum("bhij,bjhd->bihd", shares, parts[:, :, 2])


def pattern(
    parts: Tensor,
    offsets: Tensor | None = None,
    bias: Tensor | None = None,
    words: Tensor | None = None,
    probability: float = 0.0,
) -> Tensor:
    """Attention of each head, shape (B, H, T, T), itself not dropped; arguments as in `attend`, `words` those of r."""
    return scores(parts, offsets, bias, words, probability).softmax(dim=-1)


def scores(
    parts: Tensor,
    offsets: Tensor | None = None,
    bias: Tensor | None = None,
    words: Tensor | None = None,
    probability: float = 0.0,
) -> Tensor:
    """What the softmax makes `pattern` of, -∞ above the diagonal."""
    length, width = parts.shape[1], parts.shape[-1]
    query, key = parts[:, :, 0] / math.sqrt(width), parts[:, :, 1]
    position = torch.arange(length, device=parts.device)
    lag = position[:, None] - position
    found = torch.einsum("bihd,bjhd->bhij", query, key)
    if offsets is not None:
        # Row i is a window on r, backwards: unlike r_{i-j} picked by its index, its derivative is a sum without collisions.
        backwards = F.pad(offsets[:, :length].flip(1), (0, 0, 0, length - 1))
        table = backwards.unfold(1, length, 1).flip(1).transpose(-1, -2)
        table = drop(table, _unpacked(words, length, dim=1), probability)
        found = found + torch.einsum("bihd,hijd->bhij", query, table)
    if bias is not None:
        found = found + bias[:, lag.clamp(min=0)]
    return found.masked_fill(lag < 0, -torch.inf)


def _unpacked(words: Tensor | None, length: int, dim: int) -> Tensor | None:
    """Words of pairs along `dim` as words of T × T entries."""
    if words is None:
        return None
    position = torch.arange(length, device=words.device)
    row, column = position[:, None], position.minimum(position[:, None])
    return words.index_select(dim, (row * (row + 1) // 2 + column).flatten()).unflatten(dim, (length, length))


class _Attend(torch.autograd.Function):
    """The compiled kernel as a function of torch; under ``torch.vmap`` the seeds are one more leading dimension.

    Its second output is the pattern (S, B, H, pairs), kept for the way back.
    """

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        parts, offsets, kept, on_offsets = _arrays(*inputs[:4])
        least_kept, factor = _rule(inputs[4])
        seeds, batch, length, _, heads, width = parts.shape
        out = np.empty((seeds, batch, length, heads, width), dtype=np.float32)
        shares = np.empty((seeds, batch, heads, pairs(length)), dtype=np.float32)
        table = _table(offsets, on_offsets, least_kept, factor)
        _forward(parts, table, kept, least_kept, factor, shares, out)
        given = inputs[0]
        return torch.from_numpy(out).view(*given.shape[:-3], *given.shape[-2:]), torch.from_numpy(shares)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs[:4], output[1])
        ctx.probability = inputs[4]
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, *by_output: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, shares = ctx.saved_tensors
        parts, offsets, kept, on_offsets = _arrays(*inputs)
        least_kept, factor = _rule(ctx.probability)
        table = _table(offsets, on_offsets, least_kept, factor)
        by_parts, by_table, by_offsets = np.empty_like(parts), np.zeros_like(table), np.zeros_like(offsets)
        by_out = by_output[0].detach().contiguous().numpy().reshape(*parts.shape[:3], *parts.shape[4:])
        _backward(parts, table, kept, least_kept, factor, shares.numpy(), by_out, by_parts, by_table)
        _fold(by_table, on_offsets, least_kept, factor, by_offsets)
        whole = torch.from_numpy(by_parts).view(inputs[0].shape), torch.from_numpy(by_offsets).view(inputs[1].shape)
        return (*whole, None, None, None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        stacked = [
            one
            if not isinstance(one, Tensor)
            else one.expand(info.batch_size, *one.shape)
            if dim is None
            else one.movedim(dim, 0)
            for one, dim in zip(inputs, in_dims, strict=True)
        ]
        return _Attend.apply(*stacked), (0, 0)  # type: ignore[no-untyped-call]


def _rule(probability: float) -> tuple[np.int16, np.float32]:
    """The least word kept and the factor of what is kept."""
    return np.int16(least(probability)), np.float32(scale(probability))


def _arrays(
    parts: Tensor, offsets: Tensor, words: Tensor | None, offset_words: Tensor | None
) -> tuple[np.ndarray, ...]:
    """Arrays parts (S, B, T, 3, H, d), offsets (S, H, T, d), words (S, B, H, pairs) and (S, H, pairs, d), empty if nothing is dropped."""

    def plain(one: Tensor | None, dims: int) -> np.ndarray:
        if one is None:
            return np.empty((0, 0, 0, 0), np.int16)
        return one.detach().reshape(-1, *one.shape[one.ndim - dims :]).contiguous().numpy()

    return plain(parts, 5), plain(offsets, 3), plain(words, 3), plain(offset_words, 3)


@njit(cache=True, nogil=True)
def _table(offsets, words, least_kept, factor):
    """r_{i-j} as dropped at (i, j), shape (S, H, T, d, T)."""
    seeds, heads, length, width = offsets.shape
    out = np.zeros((seeds, heads, length, width, length), dtype=np.float32)
    for s in range(seeds):
        for h in range(heads):
            for i in range(length):
                for j in range(i + 1):
                    place = i * (i + 1) // 2 + j
                    for c in range(width):
                        if words.size == 0:
                            out[s, h, i, c, j] = offsets[s, h, i - j, c]
                        elif words[s, h, place, c] >= least_kept:
                            out[s, h, i, c, j] = offsets[s, h, i - j, c] * factor
    return out


@njit(cache=True, nogil=True)
def _fold(by_table, words, least_kept, factor, by_offsets):
    """Add to the derivative by r what comes by the table."""
    seeds, heads, length, width = by_offsets.shape
    for s in range(seeds):
        for h in range(heads):
            for i in range(length):
                for j in range(i + 1):
                    place = i * (i + 1) // 2 + j
                    for c in range(width):
                        if words.size == 0:
                            by_offsets[s, h, i - j, c] += by_table[s, h, i, c, j]
                        elif words[s, h, place, c] >= least_kept:
                            by_offsets[s, h, i - j, c] += by_table[s, h, i, c, j] * factor


@njit(cache=True, nogil=True)
def _turn(parts, head, query, key, value):
    """Queries over √d, shape (T, d), keys and values, shape (d, T), of one head of one sequence (T, 3, H, d)."""
    length, width = query.shape
    shrink = float32(1.0) / np.sqrt(float32(width))
    for t in range(length):
        for c in range(width):
            query[t, c] = parts[t, 0, head, c] * shrink
            key[c, t] = parts[t, 1, head, c]
            value[c, t] = parts[t, 2, head, c]


@njit(cache=True, nogil=True)
def _turn_back(query, key, value, head, parts):
    """The derivative by `parts` from those by what `_turn` makes of it."""
    length, width = query.shape
    shrink = float32(1.0) / np.sqrt(float32(width))
    for t in range(length):
        for c in range(width):
            parts[t, 0, head, c] = query[t, c] * shrink
            parts[t, 1, head, c] = key[c, t]
            parts[t, 2, head, c] = value[c, t]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _softmax(row, bits, length):
    """Softmax of the first entries of `row`, in place. exp is 2ⁿ, its bits made in `bits`, times Cephes' polynomial: unlike a call, it is vectorised."""
    powers = bits.view(np.float32)
    top = row[0]
    for j in range(length):
        top = max(top, row[j])
    for j in range(length):
        x = max(row[j] - top, float32(-87.0))
        n = np.rint(x * float32(1.4426950408889634))
        bits[j] = (int32(n) + int32(127)) << int32(23)
        x = x - n * float32(0.693359375) + n * float32(2.12194440e-4)
        y = float32(1.9875691500e-4) * x + float32(1.3981999507e-3)
        y = y * x + float32(8.3334519073e-3)
        y = y * x + float32(4.1665795894e-2)
        y = y * x + float32(1.6666665459e-1)
        y = y * x + float32(5.0000001201e-1)
        row[j] = y * x * x + x + float32(1.0)
    total = float32(0.0)
    for j in range(length):
        row[j] *= powers[j]
        total += row[j]
    for j in range(length):
        row[j] *= float32(1.0) / total


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _forward(parts, table, words, least_kept, factor, shares, out):
    seeds, batch, length, _, heads, width = parts.shape
    row, bits = np.empty(length, dtype=np.float32), np.empty(length, dtype=np.int32)
    query = np.empty((length, width), dtype=np.float32)
    key, value = np.empty((width, length), dtype=np.float32), np.empty((width, length), dtype=np.float32)
    for s in range(seeds):
        for b in range(batch):
            for h in range(heads):
                _turn(parts[s, b], h, query, key, value)
                for i in range(length):
                    seen, first = i + 1, i * (i + 1) // 2
                    r = table[s, h, i]
                    row[:seen] = float32(0.0)
                    for c in range(width):
                        q = query[i, c]
                        for j in range(seen):
                            row[j] += q * (key[c, j] + r[c, j])
                    _softmax(row, bits, seen)
                    p = shares[s, b, h, first : first + seen]
                    for j in range(seen):
                        p[j] = row[j]
                    if words.size > 0:
                        kept = words[s, b, h, first : first + seen]
                        for j in range(seen):
                            row[j] = row[j] * factor if kept[j] >= least_kept else float32(0.0)
                    for c in range(width):
                        total = float32(0.0)
                        for j in range(seen):
                            total += row[j] * value[c, j]
                        out[s, b, i, h, c] = total


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _backward(parts, table, words, least_kept, factor, shares, by_out, by_parts, by_table):
    seeds, batch, length, _, heads, width = parts.shape
    row, used = np.empty(length, dtype=np.float32), np.empty(length, dtype=np.float32)
    query, by_query = np.empty((length, width), dtype=np.float32), np.empty((length, width), dtype=np.float32)
    key, value = np.empty((width, length), dtype=np.float32), np.empty((width, length), dtype=np.float32)
    by_key, by_value = np.empty_like(key), np.empty_like(value)
    for s in range(seeds):
        for b in range(batch):
            for h in range(heads):
                _turn(parts[s, b], h, query, key, value)
                by_key[:], by_value[:] = float32(0.0), float32(0.0)
                for i in range(length):
                    seen, first = i + 1, i * (i + 1) // 2
                    r, by_r, p = table[s, h, i], by_table[s, h, i], shares[s, b, h, first : first + seen]
                    # The derivative by what was used of each source, then by its share, then by its score.
                    row[:seen] = float32(0.0)
                    for c in range(width):
                        g = by_out[s, b, i, h, c]
                        for j in range(seen):
                            row[j] += g * value[c, j]
                    used[:seen] = p
                    if words.size > 0:
                        kept = words[s, b, h, first : first + seen]
                        for j in range(seen):
                            weight = factor if kept[j] >= least_kept else float32(0.0)
                            used[j] *= weight
                            row[j] *= weight
                    mean = float32(0.0)
                    for j in range(seen):
                        mean += p[j] * row[j]
                    for j in range(seen):
                        row[j] = p[j] * (row[j] - mean)
                    for c in range(width):
                        g, q = by_out[s, b, i, h, c], query[i, c]
                        total = float32(0.0)
                        for j in range(seen):
                            x = q * row[j]
                            by_value[c, j] += g * used[j]
                            by_key[c, j] += x
                            by_r[c, j] += x
                            total += row[j] * (key[c, j] + r[c, j])
                        by_query[i, c] = total
                _turn_back(by_query, by_key, by_value, h, by_parts[s, b])

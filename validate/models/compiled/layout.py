"""How the compiled kernels lay out arrays: padding to vector registers, packed causal patterns, chunks of a batch."""

from __future__ import annotations

from onset.simulate.compiling import njit

__all__ = ["LANES", "chunk", "chunk_count", "padded", "row_start"]

LANES = 16
"""Single-precision numbers in the widest vector register (512 bits)."""

CHUNK = 8
"""Sequences that one thread processes one after another."""


@njit(cache=True)
def padded(count):
    """`count` rounded up to a multiple of `LANES`."""
    return (count + LANES - 1) // LANES * LANES


@njit(cache=True)
def row_start(i):
    """Start of row i of a packed causal pattern: rows of entries j ≤ i, one after another, each padded to `LANES`."""
    block = i // LANES
    return LANES * (block + 1) * (LANES * block // 2 + i % LANES)


@njit(cache=True)
def chunk_count(batch):
    """Number of chunks of a batch."""
    return (batch + CHUNK - 1) // CHUNK


@njit(cache=True)
def chunk(n, batch):
    """Seed of chunk n, its first sequence, and the sequence after its last."""
    first = n % chunk_count(batch) * CHUNK
    return n // chunk_count(batch), first, min(first + CHUNK, batch)

"""The in-context-learning score of Olsson et al. (arXiv 2209.11895) from losses by position."""

from __future__ import annotations

from onset.theory.arrays import Array

__all__ = ["EARLY", "LATE", "in_context_positions", "in_context_scores"]

EARLY, LATE = 50, 500
"""Positions of the published score, counted from 1."""


def in_context_positions(context: int) -> tuple[int, int]:
    """The published positions where T predictions reach them, else T/10 and T."""
    return (EARLY, LATE) if context >= LATE else (max(1, context // 10), context)


def in_context_scores(losses: Array) -> Array:
    """Loss at the late position less that at the early one, shape (…), of losses (…, T) by position: negative for what
    context teaches."""
    early, late = in_context_positions(losses.shape[-1])
    return losses[..., late - 1] - losses[..., early - 1]

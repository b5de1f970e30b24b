r"""Scores of attention patterns: the mean attention from a query to its targets.

With the pattern A (rows sum to one) and the targets S_t of the query at t,

    score = mean of Σ_{s ∈ S_t} A_ts over sequences and over the queries t that have a target,

which lies in [0, 1]: queries without a target are left out, not counted as zero. The definitions of Olsson et al.
(arXiv 2209.11895) are applied to whatever sequences are given: there, 25 random tokens repeated 4 times after a first
token; here, held-out chains without one, on which sources repeat by chance. So the control of each score is the same
score of uniform attention on the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["DUPLICATE_TOKEN", "PREFIX_MATCHING", "PREVIOUS_TOKEN", "PatternScore", "Targets", "pattern_scores"]


class PatternScore(NamedTuple):
    """A score of patterns by its targets: tokens (B, T) to bool (B, T, T), true where s is a target of t."""

    name: str
    definition: str
    source: str
    targets: Callable[[Tensor], Tensor]


def _lag(tokens: Tensor) -> Tensor:
    """t - s, shape (T, T)."""
    position = torch.arange(tokens.shape[1], device=tokens.device)
    return position[:, None] - position


def _previous(tokens: Tensor) -> Tensor:
    return (_lag(tokens) == 1).expand(len(tokens), -1, -1)


def _duplicate(tokens: Tensor) -> Tensor:
    return (tokens[:, :, None] == tokens[:, None]) & (_lag(tokens) > 0)


def _prefix(tokens: Tensor) -> Tensor:
    follows = torch.zeros((*tokens.shape, tokens.shape[1]), dtype=torch.bool, device=tokens.device)
    follows[:, :, 1:] = tokens[:, :, None] == tokens[:, None, :-1]
    return follows & (_lag(tokens) >= 0)


OLSSON = "Olsson et al., arXiv 2209.11895"

PREVIOUS_TOKEN = PatternScore("previous-token", "attention to s = t - 1", OLSSON, _previous)

PREFIX_MATCHING = PatternScore(
    "prefix-matching", "attention to 1 ≤ s ≤ t with x_{s-1} = x_t: to what followed the current token", OLSSON, _prefix
)

DUPLICATE_TOKEN = PatternScore(
    "duplicate-token",
    "attention to s < t with x_s = x_t: to earlier copies of the current token",
    "Wang et al., arXiv 2211.00593",
    _duplicate,
)


class Targets(NamedTuple):
    """Targets of n scores on given tokens (B, T).

    Attributes
    ----------
    names : tuple of str
        Names of the scores.
    shares : tensor, shape (n, B, T, T)
        One over the number of queries that have a target, where s is a target of t; else zero.
    control : tensor, shape (n,)
        Scores of uniform attention.
    """

    names: tuple[str, ...]
    shares: Tensor
    control: Tensor

    @classmethod
    def of(cls, tokens: Tensor, scores: Sequence[PatternScore]) -> Targets:
        """Targets of `scores` on tokens (B, T).

        Raises
        ------
        ValueError
            If the tokens are no whole numbers of that shape, or have no target of one of the scores.
        """
        if tokens.ndim != 2 or tokens.is_floating_point() or tokens.is_complex():
            raise ValueError(
                f"tokens of shape {tuple(tokens.shape)} and type {tokens.dtype}: expected whole numbers of shape "
                "(sequences, positions); give one row per sequence."
            )
        targets = torch.stack([score.targets(tokens) for score in scores])
        for score, found in zip(scores, targets, strict=True):
            if not found.any():
                raise ValueError(
                    f"tokens of shape {tuple(tokens.shape)} have no target of the {score.name} score, "
                    f"{score.definition}: expected at least one; give longer sequences, or some in which a token "
                    "repeats."
                )
        shares = targets / targets.any(dim=-1).sum(dim=(1, 2))[:, None, None, None]
        sources = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        names = tuple(score.name for score in scores)
        return cls(names, shares, (shares.sum(dim=-1) / sources).sum(dim=(1, 2)))


def pattern_scores(pattern: Tensor, targets: Targets) -> Tensor:
    """Scores of each head, shape (n, H), from patterns (B, H, T, T) on the tokens of `targets`.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    batch, _, length, _ = pattern.shape
    if targets.shares.shape[1:3] != (batch, length):
        raise ValueError(
            f"targets on tokens of shape {tuple(targets.shares.shape[1:3])} with a pattern of shape "
            f"{tuple(pattern.shape)}: expected ({batch}, {length}); give those of the tokens that made the pattern."
        )
    return torch.einsum("bhts,nbts->nh", pattern, targets.shares.to(pattern.dtype))

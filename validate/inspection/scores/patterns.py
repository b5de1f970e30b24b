r"""Scores of attention patterns: the mean attention from a query to its targets.

With the pattern A (rows sum to one) and the targets S_t of the query at t,

    score = mean of Σ_{s ∈ S_t} A_ts over sequences and over the queries t that have a target,

which lies in [0, 1]: queries without a target are left out, not counted as zero. Some tools average over all queries
(`all_queries`); they give the same name to a smaller number. A score means something only together with the sequences
on which it is taken: during training held-out chains, on which sources repeat by chance; of language models those of
its recipe (`onset.validate.inspection.sequences`). Its chance level is the same score of uniform attention on the same
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.inspection.sequences import Recipe, Sequences

__all__ = [
    "DUPLICATE_TOKEN",
    "PREFIX_MATCHING",
    "PREVIOUS_TOKEN",
    "VARIANTS",
    "PatternScore",
    "Targets",
    "pattern_scores",
    "shares_of",
    "uniform_score",
]

REPEATED = Recipe(25, copies=4, first=True)
"""Sequences of Olsson et al."""


@dataclass(frozen=True)
class PatternScore:
    """A score of patterns by its targets.

    Attributes
    ----------
    name, definition, source : str
    targets : callable
        Tokens (B, T) to weights (B, T, T), bool where all are one: nonzero where s is a target of t.
    recipe : Sequences
        Sequences on which a language model is scored.
    all_queries : bool
        Whether queries without a target count, as zero.
    by_content : bool
        Whether targets are targets for what they hold. Then the control is the attention to the same positions in
        sequences of the same length in which nothing repeats, where there are such; else it is uniform attention.
    unit : str
    level : float
        By how much the score of a head has to exceed its control.
    """

    name: str
    definition: str
    source: str
    targets: Callable[[Tensor], Tensor]
    recipe: Sequences = REPEATED
    all_queries: bool = False
    by_content: bool = True
    unit: str = "share"
    level: float = FORMATION_LEVEL

    @property
    def shown(self) -> str:
        """What a language model is shown."""
        return self.recipe.description

    @property
    def normalisation(self) -> str:
        return "mean over all queries" if self.all_queries else "mean over the queries that have a target"


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


def _stripe(tokens: Tensor) -> Tensor:
    return (_lag(tokens) == tokens.shape[1] // 2 - 1).expand(len(tokens), -1, -1)


def _released(tokens: Tensor) -> Tensor:
    weights, repeats = _prefix(tokens).to(torch.get_default_dtype()), (tokens[0] == tokens[0, 1]).nonzero()[:, 0]
    if len(repeats) > 1:
        length = int(repeats[1]) - 1
        weights[:, 2 * length :: length, 1] += 1
    return weights


OLSSON = "Olsson et al., arXiv 2209.11895"
BANSAL = "Bansal et al., arXiv 2212.09095"

TWICE = Recipe(50, copies=2)
LONGER = Recipe(25, copies=4, first=True, longest=223, trimmed=0.04)

PREVIOUS_TOKEN = PatternScore("previous-token", "attention to s = t - 1", OLSSON, _previous, by_content=False)

PREFIX_MATCHING = PatternScore(
    "prefix-matching",
    "attention to 1 ≤ s ≤ t with x_{s-1} = x_t: to what followed the current token",
    OLSSON,
    _prefix,
)

DUPLICATE_TOKEN = PatternScore(
    "duplicate-token",
    "attention to s < t with x_s = x_t: to earlier copies of the current token",
    "Wang et al., arXiv 2211.00593",
    _duplicate,
)

VARIANTS = (
    PatternScore(
        "prefix-matching, twice",
        "prefix matching on two copies without a first token: one target for each query",
        "Aoyama and Wilcox; 50 tokens, their longest",
        _prefix,
        TWICE,
    ),
    PatternScore(
        "prefix-matching, longer", "prefix matching on longer sequences of common tokens", BANSAL, _prefix, LONGER
    ),
    PatternScore(
        "prefix-matching, released",
        "as above; queries at the end of a copy count attention to position 1 as well, which is no earlier copy's "
        "successor",
        f"{BANSAL}, released code",
        _released,
        LONGER,
    ),
    PatternScore(
        "induction, detector",
        "attention to 1 ≤ s ≤ t with x_{s-1} = x_t, x_{s-1} being an earlier token",
        "TransformerLens, detect_head(…, 'induction_head')",
        _prefix,
        Recipe(50, copies=2, first=True),
        all_queries=True,
    ),
    PatternScore(
        "induction stripe",
        "attention at the offset L - 1 of two copies of L tokens, from t = L - 1 on",
        "TransformerLens, its main demonstration",
        _stripe,
        TWICE,
    ),
)
"""Scores of the same names elsewhere, told apart."""


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
        return cls(tuple(score.name for score in scores), shares, uniform_score(shares).sum(dim=1))


def shares_of(tokens: Tensor, score: PatternScore) -> Tensor:
    """Weights (B, T, T) with which the attention of each sequence of tokens (B, T) adds up to its score."""
    targets = score.targets(tokens)
    queries = tokens.shape[1] if score.all_queries else targets.any(dim=-1).sum(dim=1)[:, None, None].clamp(min=1)
    return targets / queries


def uniform_score(shares: Tensor) -> Tensor:
    """Score (…) of uniform attention, from weights (…, T, T) of the attention."""
    return (shares.sum(dim=-1) / torch.arange(1, shares.shape[-1] + 1, device=shares.device)).sum(dim=-1)


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

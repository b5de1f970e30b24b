r"""Head scores: what an attention head looks at, and whether it copies.

Of a causal pattern A (rows sum to one), for a query at t and tokens x, averaged over heads' sequences and over queries t ≥ 1 that have a target:

    previous-token    A[t, t - 1]
    prefix-matching   Σ_s A[t, s] over 1 ≤ s ≤ t with x_{s-1} = x_t: sources that *follow* an earlier copy of the current token
    duplicate-token   Σ_s A[t, s] over s < t with x_s = x_t: the earlier copies themselves.

Definitions after Olsson et al. (arXiv 2209.11895) [prefix matching, previous token], applied to whatever sequences are given: there, 25 random tokens
repeated 4 times after a first token; here, held-out chains without one, on which sources repeat by chance. So each score comes with its control,
the same score of uniform attention on the same tokens. A score lies in [0, 1]; queries without a target are left out rather than counted as zero.

    copying           Σ_j relu(C_jj) / Σ_{jc} relu(C_jc), rescaled to [-1, 1],

C the k × k effect on the logits c of attending to a source with token j, each row less its mean: embedding, value, projection and head, without the
norms, whose scale divides out. Random C scores 2/k - 1 on the average: its control.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from onset.validate.models.transformer import Activations, Transformer
from onset.validate.probes import SCORES

__all__ = ["Targets", "copying", "head_scores", "pattern_scores"]


class Targets(NamedTuple):
    """What the scores of patterns count on some tokens (B, T).

    Attributes
    ----------
    shares : tensor, shape (3, B, T, T)
        One over the number of queries that have a target, where a source is a target of its query, else zero.
    control : tensor, shape (3,)
        Scores of uniform attention.
    """

    shares: Tensor
    control: Tensor

    @classmethod
    def of(cls, tokens: Tensor) -> Targets:
        length = tokens.shape[1]
        position = torch.arange(length, device=tokens.device)
        lag = position[:, None] - position
        same = tokens[:, :, None] == tokens[:, None, :]
        follows = torch.zeros_like(same)
        follows[:, :, 1:] = same[:, :, :-1]
        where = torch.stack([(lag == 1).expand_as(same), follows & (lag >= 0), same & (lag > 0)])
        shares = where / where.any(dim=-1).sum(dim=(1, 2))[:, None, None, None]
        return cls(shares, (shares.sum(dim=-1) / (position + 1)).sum(dim=(1, 2)))


def pattern_scores(pattern: Tensor, targets: Targets) -> Tensor:
    """Scores of each head, shape (3, H), from patterns (B, H, T, T) on the tokens of `targets`.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    batch, _, length, _ = pattern.shape
    if targets.shares.shape[1:3] != (batch, length):
        raise ValueError(
            f"targets on tokens of shape {tuple(targets.shares.shape[1:3])} with a pattern of shape {tuple(pattern.shape)}: expected ({batch}, {length}); give those of the tokens that made the pattern."
        )
    return torch.einsum("bhts,nbts->nh", pattern, targets.shares.to(pattern.dtype))


@torch.no_grad()
def copying(model: Transformer) -> list[Tensor]:
    """Copying score of each head, one tensor (heads,) for each layer."""
    embedding = model.embedding.weight
    head = embedding if model.shape.tied else model.head.weight
    found = []
    for layer in model.layers:
        branch = layer.attention
        width = model.shape.width
        value = branch.query_key_value.weight[2 * width :]  # type: ignore[union-attr, index]
        scores = []
        for part in torch.arange(width, device=value.device).chunk(branch.heads):  # type: ignore[arg-type]
            effect = embedding @ value[part].T @ branch.projection.weight[:, part].T @ head.T  # type: ignore[union-attr, index]
            raised = (effect - effect.mean(dim=1, keepdim=True)).relu()
            scores.append(2 * raised.diagonal().sum() / raised.sum() - 1)
        found.append(torch.stack(scores))
    return found


@torch.no_grad()
def head_scores(model: Transformer, seen: Activations, targets: Targets) -> Tensor:
    """All of `SCORES` in a pass of the model, those of patterns above their controls, shape (scores, layers, heads); NaN where a layer has fewer heads."""
    heads = model.shape.heads_of
    found = torch.full((len(SCORES), len(heads), max(heads)), torch.nan, device=seen.tokens.device)
    for n, (scores, copies) in enumerate(zip(seen.scores, copying(model), strict=True)):
        found[:-1, n, : heads[n]] = pattern_scores(scores.softmax(dim=-1), targets) - targets.control[:, None]
        found[-1, n, : heads[n]] = copies
    return found

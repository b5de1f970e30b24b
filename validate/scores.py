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

import torch
from torch import Tensor

from validate.models.transformer import Activations, Transformer
from validate.probes import SCORES

__all__ = ["copying", "head_scores", "pattern_scores"]


def _targets(tokens: Tensor) -> dict[str, Tensor]:
    """Which sources s count for a query t, shape (B, T, T) of bool."""
    length = tokens.shape[1]
    position = torch.arange(length, device=tokens.device)
    lag = position[:, None] - position
    same = tokens[:, :, None] == tokens[:, None, :]
    follows = torch.zeros_like(same)
    follows[:, :, 1:] = same[:, :, :-1]
    return {
        "previous-token": (lag == 1).expand_as(same),
        "prefix-matching": follows & (lag >= 0),
        "duplicate-token": same & (lag > 0),
    }


def pattern_scores(pattern: Tensor, tokens: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Scores of each head and their control, from patterns (B, H, T, T) on tokens (B, T): name to (H,) and the control.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    batch, _, length, _ = pattern.shape
    if tokens.shape != (batch, length):
        raise ValueError(
            f"tokens of shape {tuple(tokens.shape)} with a pattern of shape {tuple(pattern.shape)}: expected ({batch}, {length}); give the tokens that made the pattern."
        )
    uniform = torch.ones(length, length, device=pattern.device).tril()
    uniform = uniform / uniform.sum(dim=-1, keepdim=True)
    found = {}
    for name, target in _targets(tokens).items():
        counted = target.any(dim=-1)
        total = counted.sum()
        score = torch.einsum("bhts,bts->h", pattern, target.to(pattern.dtype)) / total
        control = (uniform * target).sum() / total
        found[name] = score, float(control)
    return found


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
def head_scores(model: Transformer, seen: Activations) -> Tensor:
    """All of `SCORES` in a pass of the model, those of patterns above their controls, shape (scores, layers, heads); NaN where a layer has fewer heads."""
    heads = model.shape.heads_of
    found = torch.full((len(SCORES), len(heads), max(heads)), torch.nan, device=seen.tokens.device)
    for n, (scores, copies) in enumerate(zip(seen.scores, copying(model), strict=True)):
        for m, (score, control) in enumerate(pattern_scores(scores.softmax(dim=-1), seen.tokens).values()):
            found[m, n, : heads[n]] = score - control
        found[-1, n, : heads[n]] = copies
    return found

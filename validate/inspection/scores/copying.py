r"""Copying score of a head's weights.

    score = 2 Σ_j relu(C_jj) / Σ_{jc} relu(C_jc) - 1, in [-1, 1],

with C (vocabulary × vocabulary) the effect on the logit of c of attending to a source with token j, each row less its
mean: embedding, value, output projection and unembedding, without the norms, whose scale divides out; -1 for C = 0.
After Olsson et al. (arXiv 2209.11895), who measure the logits of a head's output on random tokens. Control: a random C,
which scores 2/vocabulary - 1 on average.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from onset.validate.inspection.inspectable import Inspectable

__all__ = ["COPYING", "WeightScore"]


class WeightScore(NamedTuple):
    """A score of weights: `measure` returns it for each layer, shape (H,), `control` the mean over random weights."""

    name: str
    definition: str
    source: str
    measure: Callable[[Inspectable], list[Tensor]]
    control: Callable[[Inspectable], float]


@torch.no_grad()
def _copying(model: Inspectable) -> list[Tensor]:
    scores = []
    for weights in map(model.head_weights, range(len(model.heads))):
        heads = []
        for value, output in zip(weights.value, weights.output, strict=True):
            effect = model.embedding_matrix @ value @ output @ model.unembedding_matrix.T
            raised = (effect - effect.mean(dim=1, keepdim=True)).relu()
            total = raised.sum()  # zero for a head that raises no logit, which then copies nothing
            heads.append(2 * raised.diagonal().sum() / torch.where(total > 0, total, 1) - 1)
        scores.append(torch.stack(heads))
    return scores


COPYING = WeightScore(
    "copying",
    "share of the logits that a head's weights raise which belongs to the attended token, rescaled to [-1, 1]",
    "after Olsson et al., arXiv 2209.11895",
    _copying,
    control=lambda model: 2 / len(model.embedding_matrix) - 1,
)

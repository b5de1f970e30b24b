"""Head scores: what an attention head attends to, and if it copies."""

from __future__ import annotations

import torch
from torch import Tensor

from onset.validate.inspection.inspectable import Activations, Inspectable, by_layer
from onset.validate.inspection.scores.copying import COPYING, WeightScore
from onset.validate.inspection.scores.patterns import (
    DUPLICATE_TOKEN,
    PREFIX_MATCHING,
    PREVIOUS_TOKEN,
    PatternScore,
    Targets,
    pattern_scores,
)

__all__ = ["HEAD_SCORES", "Targets", "head_scores", "targets_on"]

HEAD_SCORES: dict[str, PatternScore | WeightScore] = {
    score.name: score for score in (PREVIOUS_TOKEN, PREFIX_MATCHING, DUPLICATE_TOKEN, COPYING)
}
"""The one place where a score is registered; `onset.validate.store.probes.SCORES` names those that run files hold."""


def targets_on(tokens: Tensor, *, where_any: bool = False) -> Targets:
    """Targets of all registered scores of patterns on tokens (B, T); with `where_any`, of those that have some there.

    Raises
    ------
    ValueError
        If a score has no target on these tokens.
    """
    scores = [score for score in HEAD_SCORES.values() if isinstance(score, PatternScore)]
    return Targets.of(tokens, [score for score in scores if not where_any or score.targets(tokens).any()])


def head_scores(
    model: Inspectable, activations: Activations, targets: Targets, *, weights: bool = True
) -> dict[str, Tensor]:
    """Registered scores by name, shape (layers, most heads of a layer): those of patterns less their controls.

    NaN where a layer has fewer heads, and for scores of patterns that are not in `targets`. Needs recorded `patterns`
    on the tokens of `targets`. Without `weights`, scores of weights, which take time and memory of order vocabulary²,
    are NaN.
    """
    above = [(pattern_scores(pattern, targets) - targets.control[:, None]).T for pattern in activations.patterns]
    scores = dict(zip(targets.names, by_layer(above).permute(2, 0, 1), strict=True))
    unknown = torch.full_like(scores[targets.names[0]], torch.nan)
    for name, score in HEAD_SCORES.items():
        if isinstance(score, WeightScore):
            scores[name] = by_layer(score.measure(model)) if weights else unknown
        else:
            scores.setdefault(name, unknown)
    return scores

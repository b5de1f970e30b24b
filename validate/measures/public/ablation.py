"""Losses on two copies of random tokens without a model's induction heads, and without other heads of their layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onset.theory.recording import Progress
from onset.validate.inspection.ablation import losses_on_repeats
from onset.validate.inspection.inspectable import Head
from onset.validate.inspection.measuring import Measured
from onset.validate.inspection.measuring import measure as measure_scores
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, TWICE, PatternScore

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["STRONG", "induction_heads", "literal_scores", "measure", "plain_heads"]

SEQUENCES = 16

STRONG = 0.4
"""Prefix matching of a head that is ablated: SmolLM2 has eight such heads."""

LITERAL = PatternScore("literal", "prefix matching on two copies of random tokens", "", PREFIX_MATCHING.targets, TWICE)


def measure(model: LanguageModel, seed: int, progress: Progress) -> dict[str, Any]:
    """`heads` with their scores, the strongest first, and the `losses` without them and without others."""
    scores = induction_heads(model, seed)
    losses = losses_on_repeats(model.model, model.pool, list(scores), sequences=SEQUENCES, seed=seed, progress=progress)
    return {
        "heads": plain_heads(scores),
        "losses": [loss.to_dict() for loss in losses],
    }


def literal_scores(model: LanguageModel, seed: int) -> Measured:
    """Prefix matching on two copies of random tokens, on sequences that nothing else is measured on."""
    (literal,) = measure_scores(model.model, model.pool, [LITERAL], sequences=SEQUENCES, seed=seed + 2**31)
    return literal


def induction_heads(model: LanguageModel, seed: int) -> dict[Head, float]:
    """Heads whose prefix matching is `STRONG`, the strongest first."""
    mean = literal_scores(model, seed).values.mean(axis=0)
    heads = [Head(int(layer), int(head)) for layer, head in zip(*np.nonzero(mean > STRONG), strict=True)]
    if not heads:
        raise ValueError(f"model {model.name}: no head has a prefix-matching score above {STRONG:g}.")
    return {head: float(mean[head]) for head in sorted(heads, key=lambda head: -mean[head])}


def plain_heads(scores: Mapping[Head, float]) -> list[dict[str, float]]:
    """Heads and scores as plain data."""
    return [{"layer": head.layer, "head": head.head, "score": score} for head, score in scores.items()]

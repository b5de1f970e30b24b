"""In-context learning of a trained transformer without its induction heads, and without as many others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.validate.inspection.in_context import in_context_scores
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import Zero, intervene, preserved_patterns
from onset.validate.inspection.losses import before_and_after, position_losses, token_losses
from onset.validate.measures.runs.trained import Trained
from onset.validate.store.runs import Record

__all__ = ["measure"]


def measure(run: Record) -> dict[str, Any]:
    """`lost`: share of the in-context-learning score that is lost without the induction heads; `others`: without as
    many other heads, or all there are; `undone`: what of each token's change over training is undone, nats."""
    trained = Trained.of(run)
    model, batches = trained.model, list(trained.tokens().split(64))
    heads = trained.heads("prefix-matching")
    rest = [Head(layer, n) for layer, number in enumerate(model.heads) for n in range(number)]
    others = [head for head in rest if head not in heads][: len(heads)]
    intact = position_losses(model, batches)
    before = position_losses(trained.untrained, batches)
    ablated = _preserved(trained, heads)
    undone = -before_and_after(before.ravel(), intact.ravel(), ablated.ravel())
    scale = np.sqrt(intact.size)  # per token
    without_others = _preserved(trained, others)
    return {"lost": _lost(intact, ablated), "undone": float(undone / scale), "others": _lost(intact, without_others)}


def _preserved(trained: Trained, heads: Sequence[Head]) -> Array:
    """Losses with the outputs of heads zero and all patterns as they were."""
    rows = []
    for tokens in trained.tokens().split(64):
        patterns = preserved_patterns(record(trained.model, tokens, "patterns"))
        with intervene(trained.model, *map(Zero, heads), *patterns):
            rows.append(token_losses(trained.model(tokens).detach(), tokens).double().numpy())
    return np.concatenate(rows)


def _lost(intact: Array, ablated: Array) -> float:
    """Share of the in-context-learning score that is lost."""
    return 1 - float(in_context_scores(ablated).mean() / in_context_scores(intact).mean())

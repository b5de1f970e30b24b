"""What is left of the gain from context of a trained transformer when the patterns of its heads are idealised."""

from __future__ import annotations

from typing import Any

from onset.validate.inspection.idealised import INDUCTION, LONGER, PREVIOUS, recovered
from onset.validate.inspection.in_context import in_context_positions
from onset.validate.measures.runs.trained import Trained
from onset.validate.store.runs import Record

__all__ = ["measure"]

PATTERNS = {
    "exact": ("previous-token", PREVIOUS),
    "matches": ("prefix-matching", INDUCTION),
    "longer": ("prefix-matching", LONGER),
}
"""Score of the heads whose patterns are replaced, and the features that the new patterns are mixtures of."""


def measure(run: Record) -> dict[str, Any]:
    """Shares of the loss gap that are recovered: by `exact` previous-token attention, by `matches` of one token, and by
    `longer` ones of two."""
    trained = Trained.of(run)
    fitted, batches = trained.tokens(1)[:64], list(trained.tokens().split(64))
    early, _ = in_context_positions(trained.setting.task.context - 1)
    return {
        name: recovered(trained.model, trained.heads(score), features, fitted, batches, start=early)[0].value
        for name, (score, features) in PATTERNS.items()
    }

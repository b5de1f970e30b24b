"""How many heads our own test takes for induction heads, on random tokens that even a small vocabulary holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onset.theory.recording import Progress
from onset.validate.inspection.heads import head_table
from onset.validate.inspection.inspectable import Inspectable
from onset.validate.inspection.measuring import measure as measure_scores
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, PatternScore
from onset.validate.inspection.sequences import Pool, Recipe

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["exceeding_heads", "measure"]

SEQUENCES = 16

SCORE = PatternScore("prefix-matching", "as usual", "", PREFIX_MATCHING.targets, Recipe(12, 2))


def measure(model: LanguageModel, seed: int, progress: Progress) -> dict[str, Any]:
    """`heads`: the number of heads that exceed chance; `largest`: the largest excess of a mean over its control."""
    number, largest = exceeding_heads(model.model, model.pool, seed)
    progress(1, 1)
    return {"heads": number, "largest": largest}


def exceeding_heads(model: Inspectable, pool: Pool, seed: int) -> tuple[int, float]:
    """Heads that exceed chance in prefix matching at a family-wise error of 5%, and the largest excess."""
    table = head_table(measure_scores(model, pool, [SCORE], sequences=SEQUENCES, seed=seed))
    return int(table.exceeds.sum()), float(np.nanmax((table["mean"] - table.control).values))

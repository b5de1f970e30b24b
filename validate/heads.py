"""All head scores of a language model in one call: `onset.inspect`, and behind ``onset heads``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onset.theory import arguments
from onset.theory.recording import Progress
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.inspection.heads import head_table
from onset.validate.inspection.measuring import measure
from onset.validate.inspection.scores.outputs import OUTPUT_SCORES, OutputScore
from onset.validate.inspection.scores.patterns import (
    DUPLICATE_TOKEN,
    PREFIX_MATCHING,
    PREVIOUS_TOKEN,
    VARIANTS,
    PatternScore,
)

if TYPE_CHECKING:
    import xarray

__all__ = ["SCORES", "USUAL", "inspect"]

SCORES: dict[str, PatternScore | OutputScore] = {
    score.name: score for score in (PREVIOUS_TOKEN, PREFIX_MATCHING, DUPLICATE_TOKEN, *VARIANTS, *OUTPUT_SCORES)
}
"""Scores of language models by name."""

USUAL = tuple(name for name, score in SCORES.items() if score.recipe.longest is None)
"""Scores that are measured unless others are named: those on sequences of about a hundred tokens."""


def inspect(
    model: Any,
    scores: Sequence[str] = (),
    *,
    sequences: int = 16,
    level: float = FORMATION_LEVEL,
    seed: int = 0,
    progress: Progress = lambda step, steps: None,
    **options: Any,
) -> xarray.Dataset:
    """Scores of all heads of a language model, with intervals, controls and the heads that exceed chance.

    Parameters
    ----------
    model : str, Path, transformers.PreTrainedModel, Inspectable or LanguageModel
        As in `onset.validate.models.loading.load`.
    scores : sequence of str
        Names in `SCORES`; by default those of `USUAL` for which the model has what they need.
    sequences : int
        Random sequences of each kind, at least 2.
    level : float
        By how much a head has to exceed its control.
    seed : int
        Of the sequences.
    progress : callable
        Called with the sequences done and in total.
    **options
        Of `onset.validate.models.loading.load`.

    Returns
    -------
    xarray.Dataset
        As `onset.validate.inspection.heads.head_table` makes it; its attributes say what the model is.

    Raises
    ------
    ValueError
        If the model cannot be read or observed, a score is unknown, or its sequences cannot be drawn.
    """
    from onset.validate.models.loading import LanguageModel, load

    loaded = model if isinstance(model, LanguageModel) else load(model, **options)
    names = [arguments.one_of("score", name, SCORES) for name in scores] or _possible(loaded)
    measured = measure(
        loaded.model,
        loaded.pool,
        [SCORES[name] for name in names],
        sequences=sequences,
        seed=seed,
        context=loaded.context,
        progress=progress,
    )
    table = head_table(measured, level)
    return table.assign_attrs(model=loaded.name, description=loaded.description, seed=seed)


def _possible(loaded: Any) -> list[str]:
    """Usual scores whose sequences the model can be shown."""
    names = []
    for name in USUAL:
        recipe = SCORES[name].recipe
        length = recipe.tokens * recipe.copies
        fits = loaded.context is None or length + recipe.first <= loaded.context
        if fits and length <= len(loaded.pool.tokens) and (loaded.pool.first is not None or not recipe.first):
            names.append(name)
    if not names:
        raise ValueError(
            f"model {loaded.name}: none of the usual scores can be measured with {len(loaded.pool.tokens)} tokens, "
            f"context {loaded.context} and first token {loaded.pool.first}; expected a larger vocabulary or context."
        )
    return names

"""All head scores of a language model in one call: `onset.inspect`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onset.theory import arguments
from onset.theory.recording import Progress
from onset.validate.inspection.heads import head_table
from onset.validate.inspection.measuring import Measured, measure, measure_weights
from onset.validate.inspection.scores.outputs import OUTPUT_SCORES, OutputScore
from onset.validate.inspection.scores.patterns import (
    DUPLICATE_TOKEN,
    PREFIX_MATCHING,
    PREVIOUS_TOKEN,
    VARIANTS,
    PatternScore,
)
from onset.validate.inspection.scores.weights import WEIGHT_SCORES, WeightScore
from onset.validate.inspection.sequences import Recipe, TaskSequences

if TYPE_CHECKING:
    import xarray

    from onset.validate.models.loading import LanguageModel

__all__ = ["SCORES", "USUAL", "inspect"]

Score = PatternScore | OutputScore | WeightScore

BASIC = (PREVIOUS_TOKEN, PREFIX_MATCHING, DUPLICATE_TOKEN)
"""Scores that a model trained on few tokens has on sequences of its task."""

ADAPTED = {score.name for score in (*BASIC, *OUTPUT_SCORES[:2])}
"""Scores whose sequences have no first token where a model has none; the others are of one recipe alone."""

SCORES: dict[str, Score] = {score.name: score for score in (*BASIC, *VARIANTS, *OUTPUT_SCORES, *WEIGHT_SCORES)}
"""Scores of language models by name."""

_ON_SEQUENCES = (*VARIANTS, *OUTPUT_SCORES)
_LONG = {score.name for score in _ON_SEQUENCES if isinstance(score.recipe, Recipe) and score.recipe.longest}

USUAL = tuple(name for name in SCORES if name not in _LONG)
"""Scores that are measured unless others are named: all but those on sequences of more than about a hundred tokens."""


def inspect(
    model: Any,
    scores: Sequence[str] = (),
    *,
    sequences: int = 16,
    level: float | None = None,
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
        Random sequences of each kind, or draws of tokens for scores of weights, at least 2.
    level : float, optional
        By how much a score that is a share has to exceed its control; by default its own level.
    seed : int
        Of the sequences.
    progress : callable
        Called with the sequences done and in total.
    **options
        Of `onset.validate.models.loading.load`.

    Returns
    -------
    xarray.Dataset
        As `onset.validate.inspection.heads.head_table` makes it; its attributes say what the model is, and which of the
        usual scores it lacks and why.

    Raises
    ------
    ValueError
        If the model cannot be read or observed, a score is unknown, or its sequences cannot be drawn.
    """
    from onset.validate.models.loading import LanguageModel, load

    loaded = model if isinstance(model, LanguageModel) else load(model, **options)
    count = arguments.integer("sequences", sequences, least=2)
    missing: dict[str, list[str]] = {}
    chosen = []
    for name in scores or USUAL:
        score, problem = _adapted(SCORES[arguments.one_of("score", name, SCORES)], loaded)
        if not problem:
            chosen.append(score)
        elif scores:
            raise ValueError(f"score {name}: {problem}")
        else:
            missing.setdefault(problem, []).append(name)
    of_weights = [score for score in chosen if isinstance(score, WeightScore)]
    on_sequences = [score for score in chosen if not isinstance(score, WeightScore)]
    asked = {score.name for score in chosen}
    if any(score.needs_previous_token for score in of_weights) and PREVIOUS_TOKEN.name not in asked:
        previous_token, problem = _adapted(PREVIOUS_TOKEN, loaded)
        on_sequences += [previous_token] if not problem and not isinstance(previous_token, WeightScore) else []
    if not on_sequences and not scores:
        raise ValueError(
            f"model {loaded.name}: none of the usual scores can be measured with {len(loaded.pool.tokens)} tokens, "
            f"context {loaded.context} and first token {loaded.pool.first}; expected a larger vocabulary or context."
        )
    measured: dict[str, Measured] = {}
    for result in measure(
        loaded.model, loaded.pool, on_sequences, sequences=count, seed=seed, context=loaded.context, progress=progress
    ):
        measured[result.score.name] = result
    if of_weights:
        previous = measured.get(PREVIOUS_TOKEN.name)
        shares = np.zeros((len(loaded.model.heads), max(loaded.model.heads)))
        shares = shares if previous is None else previous.values.mean(axis=0)
        possible = [score for score in of_weights if previous is not None or not score.needs_previous_token]
        try:
            results = measure_weights(loaded.model, loaded.pool, possible, shares, draws=count, seed=seed)
            measured |= {result.score.name: result for result in results}
        except ValueError as problem:
            if scores:
                raise
            missing.setdefault(str(problem), []).extend(score.name for score in of_weights)
    table = head_table([measured[score.name] for score in chosen if score.name in measured], level)
    lacks = "; ".join(f"{', '.join(names)}: {problem.rstrip('.')}" for problem, names in missing.items())
    return table.assign_attrs(model=loaded.name, description=loaded.description, seed=seed, missing=lacks)


def _adapted(score: Score, loaded: LanguageModel) -> tuple[Score, str]:
    """A score on sequences that the model can be shown, and why there are none, or an empty text.

    Without a first token where the model has none; on sequences of its task for a model that was trained on few tokens.
    """
    if isinstance(score, WeightScore):
        return score, ""
    recipe = score.recipe
    if isinstance(recipe, Recipe) and recipe.first and loaded.pool.first is None and score.name in ADAPTED:
        recipe = dataclasses.replace(recipe, first=False)
    problem = recipe.problem(loaded.pool, loaded.context)
    if problem and loaded.task is not None and score in BASIC:
        recipe, problem = TaskSequences(loaded.task), ""
    return dataclasses.replace(score, recipe=recipe), problem

"""Scores of all heads on sequences of their recipes: a forward pass for all scores of a recipe, one for its control.

Patterns are reduced to numbers while the model runs, layer by layer: memory does not grow with the number of sequences.
What heads write is measured in a second pass, once the derivative of the logits by the last stream is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from onset.theory.arrays import Array
from onset.theory.recording import Progress
from onset.validate.inspection.circuits import Circuits, previous_keys
from onset.validate.inspection.inspectable import Inspectable, by_layer, last_stream
from onset.validate.inspection.scores.outputs import OutputScore, Written, logit_gradients
from onset.validate.inspection.scores.patterns import PatternScore, shares_of, uniform_score
from onset.validate.inspection.scores.weights import LEAST_TOKENS, MOST_TOKENS, Weights, WeightScore
from onset.validate.inspection.sequences import Pool

__all__ = ["BATCH_TOKENS", "Measured", "attended", "measure", "measure_weights"]

BATCH_TOKENS = 1024
"""Tokens of a forward pass, unless a single sequence has more."""


@dataclass(frozen=True)
class Measured:
    """A score of every head on each of n sequences, or in each of n draws of tokens.

    Attributes
    ----------
    score : PatternScore, OutputScore or WeightScore
    values, control : array, shape (n, layers, most heads of a layer)
        The score, and that of its control on a sequence of the same length; NaN where a layer has fewer heads.
    chance : float
        Score of uniform attention, or of random outputs; of weights, the mean of the controls.
    """

    score: PatternScore | OutputScore | WeightScore
    values: Array
    control: Array
    chance: float


@torch.no_grad()
def measure(
    model: Inspectable,
    pool: Pool,
    scores: Sequence[PatternScore | OutputScore],
    *,
    sequences: int = 16,
    seed: int = 0,
    context: int | None = None,
    progress: Progress = lambda step, steps: None,
) -> list[Measured]:
    """Scores of patterns and of outputs on sequences of their recipes.

    Parameters
    ----------
    model : Inspectable
    pool : Pool
        Tokens of the sequences.
    scores : sequence of PatternScore or OutputScore
    sequences : int
        Sequences of each recipe, at least 2; each is drawn together with its control.
    seed : int
        The same seed gives the same sequences of a recipe, whatever else is measured.
    context : int, optional
        Longest sequence that the model takes.
    progress : callable
        Called with the sequences done and in total.

    Raises
    ------
    ValueError
        If sequences cannot be drawn, or a pattern holds NaN.
    """
    recipes = list(dict.fromkeys(score.recipe for score in scores))
    by_name: dict[str, Measured] = {}
    writes = any(isinstance(score, OutputScore) for score in scores)
    weights = [model.output_weights(layer) for layer in range(len(model.heads))] if writes else []
    for number, recipe in enumerate(recipes):
        used = [score for score in scores if score.recipe == recipe]
        rows: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in used]
        done = number * sequences
        batches = recipe.batches(pool, sequences, np.random.default_rng(seed), tokens=BATCH_TOKENS, context=context)
        for tokens, control in batches:
            for row, values in zip(rows, _of_batch(model, weights, tokens, control, used), strict=True):
                row.append(values)
            progress(done := done + len(tokens), len(recipes) * sequences)
        for score, row in zip(used, rows, strict=True):
            values, controls, chance = (torch.cat(parts).double().cpu().numpy() for parts in zip(*row, strict=True))
            by_name[score.name] = Measured(score, values, controls, float(chance.mean()))
    return [by_name[score.name] for score in scores]


def measure_weights(
    model: Inspectable,
    pool: Pool,
    scores: Sequence[WeightScore],
    previous_token: Array,
    *,
    draws: int = 16,
    seed: int = 0,
    progress: Progress = lambda step, steps: None,
) -> list[Measured]:
    """Scores of weights in several draws of tokens.

    Parameters
    ----------
    model : Inspectable
    pool : Pool
        Tokens that are drawn.
    scores : sequence of WeightScore
    previous_token : array, shape (layers, most heads of a layer)
        Scores of the heads, by which some of `scores` weigh them.
    draws, seed : int
    progress : callable
        Called with the draws done and in total.

    Raises
    ------
    ValueError
        If queries, keys or values are not linear in the stream.
    """
    generator, circuits = np.random.default_rng(seed), Circuits.of(model)
    keys = previous_keys(circuits, torch.from_numpy(previous_token))
    size = min(MOST_TOKENS, max(LEAST_TOKENS, len(pool.tokens) // 2), len(pool.tokens))
    rows: list[list[tuple[Tensor, Tensor]]] = [[] for _ in scores]
    for draw in range(draws):
        tokens = torch.from_numpy(generator.choice(pool.tokens, size, replace=False))
        weights = Weights(circuits.over(tokens.to(circuits.embedding.device)), keys)
        for row, score in zip(rows, scores, strict=True):
            row.append(score.measure(weights, generator))
        progress(draw + 1, draws)
    measured = []
    for score, row in zip(scores, rows, strict=True):
        values, controls = (torch.stack(parts).double().cpu().numpy() for parts in zip(*row, strict=True))
        measured.append(Measured(score, values, controls, float(np.nanmean(controls))))
    return measured


@torch.no_grad()
def attended(model: Inspectable, tokens: Tensor, shares: Tensor) -> Tensor:
    """Scores (B, layers, most heads) of patterns on tokens (B, T), from weights (B, T, T) of the attention.

    A pass has at most `BATCH_TOKENS` tokens, or one sequence.
    """
    device, size = model.unembedding_matrix.device, max(1, BATCH_TOKENS // tokens.shape[1])
    rows = []
    for part, weights in zip(tokens.split(size), shares.split(size), strict=True):
        ((values,), _) = _attended(model, part.to(device), [weights.to(device)])
        rows.append(values)
    return torch.cat(rows)


def _of_batch(
    model: Inspectable,
    weights: Sequence[Tensor],
    tokens: Tensor,
    control: Tensor,
    scores: Sequence[PatternScore | OutputScore],
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Values and controls (B, layers, heads), and chance levels (B,), of each score."""
    device = model.unembedding_matrix.device
    tokens, control = tokens.to(device), control.to(device)
    patterns = [score for score in scores if isinstance(score, PatternScore)]
    outputs = [score for score in scores if isinstance(score, OutputScore)]
    shares = [shares_of(tokens, score) for score in patterns]
    chances = [uniform_score(share) for share in shares]

    def scored(tokens: Tensor) -> tuple[list[Tensor], int]:
        """Scores (B, layers, most heads), patterns first, and the number of distinct tokens, 0 if not needed."""
        by_pattern, last = _attended(model, tokens, shares)
        by_output, number = _written(model, weights, tokens, last, outputs) if outputs else ([], 0)
        return by_pattern + by_output, number

    values, number = scored(tokens)
    others = scored(control)[0] if any(map(_has_control, scores)) else values
    chances += [torch.full((len(tokens),), score.chance(number), device=device) for score in outputs]
    names = [score.name for score in (*patterns, *outputs)]
    by_name = dict(zip(names, zip(values, others, chances, strict=True), strict=True))
    return [
        (value, other if _has_control(score) else chance[:, None, None] + torch.zeros_like(value), chance)
        for score, (value, other, chance) in ((score, by_name[score.name]) for score in scores)
    ]


def _has_control(score: PatternScore | OutputScore) -> bool:
    """Whether a score is compared with sequences in which nothing repeats."""
    return score.by_content and score.recipe.controlled


def _attended(model: Inspectable, tokens: Tensor, shares: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Scores (B, layers, most heads) of patterns on tokens (B, T), from weights (B, T, T) of the attention, for each;
    and the last stream."""
    if not shares:
        return [], last_stream(model, tokens)
    layers: list[Tensor] = []

    def reduce(pattern: Tensor) -> None:
        layers.append(torch.stack([torch.einsum("bhts,bts->hb", pattern.float(), share) for share in shares], dim=-1))
        if layers[-1].isnan().any():
            raise ValueError(
                f"the patterns of layer {len(layers) - 1} hold NaN: expected numbers; load the model in a wider type."
            )

    with ExitStack() as hooks:
        for layer in range(len(model.heads)):
            hooks.enter_context(model.hooked("patterns", layer, reduce))
        last = last_stream(model, tokens)
    return list(by_layer(layers).permute(3, 2, 0, 1)), last


def _written(
    model: Inspectable, weights: Sequence[Tensor], tokens: Tensor, last: Tensor, scores: Sequence[OutputScore]
) -> tuple[list[Tensor], int]:
    """Scores (B, layers, most heads) of what heads write on tokens (B, T) with a last stream, and the number of
    distinct tokens."""
    distinct, index = zip(*(torch.unique(row, return_inverse=True) for row in tokens), strict=True)
    chosen, index = torch.stack(distinct), torch.stack(index)
    unembedding = model.unembedding_matrix[chosen]
    gradients = logit_gradients(model, last, chosen)
    itself = torch.eye(tokens.shape[1], device=tokens.device)
    patterns: list[Tensor] = []
    layers: list[Tensor] = []

    def keep(pattern: Tensor) -> Tensor:
        """Each position attends to itself, so that head outputs are values."""
        patterns.append(pattern)
        return itself.to(pattern).expand_as(pattern)

    def reduce(value: Tensor) -> Tensor:
        pattern, weight = patterns[-1], weights[len(layers)]
        output = torch.einsum("bhts,bshw->bthw", pattern, value)
        added, own = (torch.einsum("bthw,hwd->bhtd", vectors, weight) for vectors in (output, value))
        written = Written(
            tokens,
            index,
            chosen.shape[1],
            pattern.float(),
            raised=lambda: torch.einsum("bhtd,btnd->bhtn", added, gradients).float(),
            plain=lambda: torch.einsum("bhtd,bnd->bhtn", added, unembedding).float(),
            own=lambda: torch.einsum("bhtd,bnd->bhtn", own, unembedding).float(),
        )
        layers.append(torch.stack([score.measure(written) for score in scores]).permute(2, 0, 1))
        return output

    with ExitStack() as hooks:
        for layer in range(len(model.heads)):
            hooks.enter_context(model.hooked("patterns", layer, keep))
            hooks.enter_context(model.hooked("head_outputs", layer, reduce))
        last_stream(model, tokens)
    return list(by_layer(layers).permute(2, 3, 0, 1)), chosen.shape[1]

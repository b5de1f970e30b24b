"""Everything that is asked of a language model, as plain data for tables, JSON and the page.

Induction heads are those that exceed chance in the first of the scores of prefix matching that is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onset.theory.arrays import Array
from onset.theory.estimates import SEQUENCES
from onset.theory.recording import Progress
from onset.validate.evaluation.examples import EvaluationTask, Performance
from onset.validate.evaluation.importance import HeadImportance, feed_forward_importance, head_importance
from onset.validate.evaluation.pruning import PERCENT, capacity_retained, orders, overlap, prune, prune_both
from onset.validate.heads.scoring import inspect
from onset.validate.heads.text import TextSample, attention, losses_of_text
from onset.validate.inspection.ablation import each_head_ablated, losses_on_repeats
from onset.validate.inspection.circuits import Circuits, k_composition
from onset.validate.inspection.heads import exceeding
from onset.validate.inspection.inspectable import Head
from onset.validate.inspection.losses import token_losses
from onset.validate.inspection.paths import patched_path
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, PREVIOUS_TOKEN, TWICE
from onset.validate.judging.intervals import Interval, mean_interval

if TYPE_CHECKING:
    import xarray

    from onset.validate.models.loading import LanguageModel

__all__ = ["Asked", "induction_heads", "study"]

Stage = Callable[[str], AbstractContextManager[Progress]]
"""Opens a stage of the work by its name, and gives what its progress is reported to."""

FEW = 4
"""Sequences on which every head is ablated alone: each needs half a forward pass."""

SENDERS, RECEIVERS = 3, 8
"""Previous-token heads and induction heads between which paths are measured."""

SHOWN_TOKENS, SHOWN_HEADS = 96, 24
"""Tokens and heads whose attention the page shows."""

GRID = (0, 20, 40, 60), (0, 20, 40)
"""Percent of heads and of feed-forward blocks that are removed together."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a model.

    Attributes
    ----------
    scores : tuple of str
        As in `onset.inspect`.
    sequences, seed : int
    level : float or None
    ablate : bool
        Losses on repeats without the induction heads, without each head, and paths from previous-token heads.
    text : TextSample or None
    positions : (int, int) or None
        Of the in-context-learning score on the text.
    tasks : tuple of EvaluationTask
        Tasks for which importance is measured.
    prune : bool
        Whether heads are pruned for each of the tasks.
    """

    scores: tuple[str, ...] = ()
    sequences: int = 16
    seed: int = 0
    level: float | None = None
    ablate: bool = False
    text: TextSample | None = None
    positions: tuple[int, int] | None = None
    tasks: tuple[EvaluationTask, ...] = ()
    prune: bool = False


def study(model: LanguageModel, asked: Asked, stage: Stage) -> tuple[xarray.Dataset, dict[str, Any]]:
    """Answer what is asked of a model.

    Returns
    -------
    xarray.Dataset, and dict
        The table of `onset.inspect`, and everything as plain data; parts that were not asked for are missing.
    """
    with stage("scoring heads") as progress:
        table = inspect(
            model,
            asked.scores,
            sequences=asked.sequences,
            level=asked.level,
            seed=asked.seed,
            progress=progress,
        )
    data = _scores(table)
    heads = induction_heads(table)
    if asked.ablate:
        data["ablation"] = _ablation(model, table, heads, asked, stage)
    if asked.text is not None:
        with stage("reading the text"):
            data["text"] = {"source": asked.text.source, "shown": asked.text.description}
            data["text"] |= losses_of_text(model.model, asked.text, heads, asked.positions, asked.seed)
    data["attention"] = _attention(model, table, asked)
    if asked.tasks:
        data |= _tasks(model, table, asked, stage)
    return table, data


def induction_heads(table: xarray.Dataset) -> list[Head]:
    """Heads that exceed chance in prefix matching, the strongest first; none if it is not measured."""
    return [Head(*head) for head in exceeding(table, name)] if (name := _measured(table, PREFIX_MATCHING.name)) else []


def _measured(table: xarray.Dataset, name: str) -> str | None:
    """The first measured score of a name, or of one of its variants."""
    return next((score for score in table.score.values.tolist() if score.partition(",")[0] == name), None)


def _scores(table: xarray.Dataset) -> dict[str, Any]:
    """Scores as plain data: a list of heads, those that a layer lacks left out, for each score."""
    scores = []
    for name in table.score.values.tolist():
        row = table.sel(score=name)
        texts = ("definition", "source", "shown", "normalisation", "unit", "level", "chance", "over")
        places = zip(*np.nonzero(~np.isnan(row["mean"].values)), strict=True)
        heads = [
            {"layer": int(layer), "head": int(head)}
            | {key: float(row[key].values[layer, head]) for key in ("mean", "low", "high", "control", "p")}
            | {"exceeds": bool(row["exceeds"].values[layer, head])}
            for layer, head in places
        ]
        scores.append({"name": name} | {key: row[key].item() for key in texts} | {"heads": heads})
    kept = ("model", "description", "sequences", "seed", "missing")
    return {key: table.attrs[key] for key in kept} | {
        "layers": table.sizes["layer"],
        "heads_of_a_layer": table.sizes["head"],
        "scores": scores,
    }


def _ablation(
    model: LanguageModel, table: xarray.Dataset, heads: list[Head], asked: Asked, stage: Stage
) -> dict[str, Any]:
    problem = TWICE.problem(model.pool, model.context)
    if problem:
        return {"problem": problem, "losses": [], "each": [], "paths": []}
    result: dict[str, Any] = {"problem": "", "losses": []}
    generator = np.random.default_rng(asked.seed)
    few = [tokens for tokens, _ in TWICE.batches(model.pool, FEW, generator, tokens=FEW * 2 * TWICE.tokens)]
    if heads:
        with stage("ablating the induction heads") as progress:
            losses = losses_on_repeats(
                model.model, model.pool, heads, sequences=asked.sequences, seed=asked.seed, progress=progress
            )
        result["losses"] = [loss.to_dict() for loss in losses]
    with stage("ablating each head") as progress:
        start = TWICE.tokens
        intact, ablated = each_head_ablated(
            model.model, few, lambda losses: losses[:, start:].mean(dim=1), progress=progress
        )
    result["shown"] = f"{FEW} times {TWICE.description}"
    result["each"] = _by_head(ablated - intact)
    with stage("following paths") as progress:
        result["paths"] = _paths(model, table, heads, few, progress)
    return result


def _paths(
    model: LanguageModel, table: xarray.Dataset, heads: list[Head], batches: Sequence[torch.Tensor], progress: Progress
) -> list[dict[str, Any]]:
    """From the strongest previous-token heads of earlier layers to induction heads: K-composition, and the rise of the
    loss of the second copy if that path alone is cut."""
    name = _measured(table, PREVIOUS_TOKEN.name)
    senders = [Head(*head) for head in exceeding(table, name)] if name else []
    pairs = [
        (sender, receiver)
        for receiver in heads[:RECEIVERS]
        for sender in [head for head in senders if head.layer < receiver.layer][:SENDERS]
    ]
    if not pairs:
        return []
    try:
        circuits = Circuits.of(model.model, torch.from_numpy(model.pool.tokens[:1]))
    except ValueError:
        circuits = None
    composition = {
        sender: k_composition(circuits, sender) for sender in {sender for sender, _ in pairs} if circuits is not None
    }
    (tokens,) = batches
    start, rows = TWICE.tokens, []
    device = model.model.unembedding_matrix.device
    tokens = tokens.to(device)
    with torch.no_grad():
        intact = token_losses(model.model(tokens), tokens)[:, start:].mean(dim=1)
        for number, (sender, receiver) in enumerate(pairs):
            try:
                logits = patched_path(model.model, tokens, sender, receiver)
            except ValueError as problem:
                return [{"problem": str(problem)}]
            rise = (token_losses(logits, tokens)[:, start:].mean(dim=1) - intact).double().cpu().numpy()
            row = {"from": str(sender), "to": str(receiver), "rise": _numbers(mean_interval(rise, SEQUENCES))}
            if sender in composition:
                row["composition"] = float(composition[sender][receiver])
                row["chance"] = float(circuits.embedding.shape[1] ** -0.5)  # type: ignore[union-attr]
            rows.append(row)
            progress(number + 1, len(pairs))
    return rows


def _attention(model: LanguageModel, table: xarray.Dataset, asked: Asked) -> dict[str, Any]:
    """Patterns of the heads that exceed chance in some score, on the start of the text, or on repeated tokens."""
    if asked.text is not None:
        tokens, shown = asked.text.tokens[0, :SHOWN_TOKENS], list(asked.text.shown[:SHOWN_TOKENS])
        what = f"the first {len(shown)} tokens of {asked.text.source}"
    elif not TWICE.problem(model.pool, model.context):
        generator = np.random.default_rng(asked.seed)
        ((drawn, _), *_) = TWICE.batches(model.pool, 2, generator, tokens=1)
        tokens = drawn[0, :SHOWN_TOKENS]
        decode = (lambda token: model.tokenizer.decode([token])) if model.tokenizer is not None else str
        shown, what = [decode(token) for token in tokens.tolist()], TWICE.description
    else:
        return {}
    ranked: dict[Head, float] = {}
    for name in table.score.values.tolist():
        if table.unit.sel(score=name).item() != "share":
            continue
        for place in exceeding(table, name):
            value = float(table["mean"].sel(score=name).values[place])
            ranked[Head(*place)] = max(ranked.get(Head(*place), 0.0), value)
    heads = sorted(ranked, key=lambda head: -ranked[head])[:SHOWN_HEADS]
    patterns = attention(model.model, tokens, sorted(heads)) if heads else {}
    rounded = {head: [[round(v, 3) for v in row] for row in pattern.tolist()] for head, pattern in patterns.items()}
    strongest = next((head for head in induction_heads(table) if head in heads), heads[0] if heads else None)
    return {"shown": what, "tokens": shown, "patterns": rounded, "first": strongest and str(strongest)}


def _tasks(model: LanguageModel, table: xarray.Dataset, asked: Asked, stage: Stage) -> dict[str, Any]:
    importances: dict[str, HeadImportance] = {}
    rows, curves = [], []
    for task in asked.tasks:
        with stage(f"importance for {task.name}") as progress:
            importances[task.name] = head_importance(model.model, task, progress=progress)
        with stage(f"feed-forward blocks for {task.name}") as progress:
            blocks = feed_forward_importance(model.model, task, progress=progress)
        rows.append(_importance(model, task, importances[task.name], blocks))
        if asked.prune:
            curves.append(_pruning(model, table, task, importances[task.name], blocks, asked.seed, stage))
    overlaps = [
        {"tasks": [a, b]} | vars(overlap(importances[a].mean, importances[b].mean))
        for a, b in combinations(importances, 2)
    ]
    return {"importance": rows, "overlap": overlaps} | ({"pruning": curves} if asked.prune else {})


def _importance(
    model: LanguageModel, task: EvaluationTask, importance: HeadImportance, blocks: Array
) -> dict[str, Any]:
    heads = _by_head(np.moveaxis(importance.values, 0, -1))
    for head in heads:
        place = head["layer"], head["head"]
        head |= {
            "released": float(importance.released[place]),
            "magnitude": float(importance.magnitudes[place]),
        }
    return {
        "task": task.name,
        "description": task.description,
        "unit": "nats per token of the answer",
        "heads": heads,
        "feed_forward": [
            {"layer": layer} | _numbers(mean_interval(values, SEQUENCES))
            for layer, values in zip(model.model.feed_forward_layers, blocks, strict=True)
        ],
    }


def _pruning(
    model: LanguageModel,
    table: xarray.Dataset,
    task: EvaluationTask,
    importance: HeadImportance,
    blocks: Array,
    seed: int,
    stage: Stage,
) -> dict[str, Any]:
    ordered = orders(importance.mean, importance.magnitudes, seed)
    with stage(f"pruning heads for {task.name}") as progress:
        rows = [
            {"order": result.order, "percent": percent} | _performance(result.performance)
            for percent, result in zip(
                PERCENT * len(ordered), prune(model.model, task, ordered, progress=progress), strict=True
            )
        ]
    capacity = {}
    for name in (PREFIX_MATCHING.name, "copying"):
        if (measured := _measured(table, name)) is not None:
            row = table.sel(score=measured)
            scores = (row["mean"] - row["control"]).values
            if np.nanmax(scores) > 0:
                capacity[measured] = capacity_retained(scores, ordered["importance"]).tolist()
    grid: list[dict[str, Any]] = []
    if len(blocks):
        least = [model.model.feed_forward_layers[n] for n in np.argsort(blocks.mean(axis=1), kind="stable")]
        with stage(f"pruning heads and feed-forward blocks for {task.name}") as progress:
            results = prune_both(model.model, task, ordered["importance"], least, *GRID, progress=progress)
            shares = [(a, b) for a in GRID[0] for b in GRID[1]]
            grid = [
                {"heads": a, "feed_forward": b} | _performance(result.performance)
                for (a, b), result in zip(shares, results, strict=True)
            ]
    return {
        "task": task.name,
        "guessing": task.guessing,
        "percent": list(PERCENT),
        "rows": rows,
        "capacity": capacity,
        "grid": grid,
    }


def _performance(performance: Performance) -> dict[str, Any]:
    return {"accuracy": _numbers(performance.accuracy), "loss": _numbers(performance.loss)}


def _by_head(values: Array) -> list[dict[str, Any]]:
    """Means with intervals of values (layers, most heads of a layer, n), those that a layer lacks left out."""
    return [
        {"layer": layer, "head": head} | _numbers(mean_interval(values[layer, head], SEQUENCES))
        for layer in range(values.shape[0])
        for head in range(values.shape[1])
        if not np.isnan(values[layer, head]).any()
    ]


def _numbers(interval: Interval) -> dict[str, float | None]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}

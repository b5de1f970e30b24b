"""Importance of a model's heads for two synthetic tasks, and how well it does without the least important ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onset.theory.arrays import Array
from onset.theory.recording import Progress
from onset.validate.evaluation.importance import head_importance
from onset.validate.evaluation.pruning import capacity_retained, orders, overlap, prune
from onset.validate.evaluation.synthetic import synthetic
from onset.validate.measures.public.ablation import literal_scores

if TYPE_CHECKING:
    from onset.validate.evaluation.examples import EvaluationTask
    from onset.validate.inspection.inspectable import Inspectable
    from onset.validate.models.loading import LanguageModel

__all__ = ["ORDERS", "PERCENT", "TASKS", "measure", "pruned"]

TASKS = ("repeats", "completion")

EXAMPLES = 16

PERCENT = (0, 10, 20, 30, 40, 60)

ORDERS = ("importance", "random 1")


def measure(model: LanguageModel, seed: int, progress: Progress) -> dict[str, Any]:
    """As `pruned` gives it for `TASKS`."""
    literal = literal_scores(model, seed)
    tasks = {name: synthetic(name, model.pool, EXAMPLES, seed) for name in TASKS}
    return pruned(model.model, tasks, (literal.values - literal.control).mean(axis=0), seed, progress)


def pruned(
    model: Inspectable,
    tasks: Mapping[str, EvaluationTask],
    scores: Array,
    seed: int,
    progress: Progress = lambda step, steps: None,
) -> dict[str, Any]:
    """How a model does without its least important heads, for two tasks.

    Returns
    -------
    dict
        `percent`; by task the `accuracy` for each percent by each of `ORDERS`, and the `capacity` of `scores` (layers,
        most heads of a layer) that is left by importance; the `overlap` of the importances.
    """
    importances, results = {}, {}
    for number, (name, task) in enumerate(tasks.items()):
        importance = head_importance(model, task)
        importances[name] = importance.mean
        ordered = orders(importance.mean, importance.magnitudes, seed)

        def advance(done: int, total: int, number: int = number) -> None:
            progress(number * total + done, len(tasks) * total)

        accuracy: dict[str, list[float]] = {order: [] for order in ORDERS}
        chosen = {order: ordered[order] for order in ORDERS}
        for result in prune(model, task, chosen, PERCENT, progress=advance):
            accuracy[result.order].append(float(result.performance.correct.mean()))
        capacity = capacity_retained(scores, ordered["importance"], PERCENT)
        results[name] = {"accuracy": accuracy, "capacity": capacity.tolist()}
    return {"percent": list(PERCENT), "tasks": results, "overlap": vars(overlap(*importances.values()))}

r"""Pruning of heads and feed-forward blocks in a fixed order, overlap of importance between tasks, induction capacity.

After Bansal et al. (arXiv 2212.09095): the first percent · heads/100 heads, rounded down, of an ascending order of
importance have their output zero, and the model is evaluated again; nothing is scored anew. Beside that order stand
three controls: random orders, the reverse one, and that of the size of what heads write. Heads of equal importance
stand in their own order.

    overlap     share of the heads with the largest importance that two tasks have in common; two random sets of a share
                s of n heads have s ± (1 - s)/√n in common, one standard deviation
    Spearman    correlation of ranks; the released code correlates the indices that sort the two instead, which is kept
                under `released` to compare with published numbers
    capacity    Σ of a score above its control over the heads that are left/Σ over all; pruned at random it is 1 less
                the share pruned
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.recording import Progress
from onset.validate.evaluation.examples import EvaluationTask, Performance, evaluate
from onset.validate.inspection.inspectable import Head, Inspectable
from onset.validate.inspection.interventions import Zero, ZeroFeedForward, intervene

__all__ = [
    "PERCENT",
    "Overlap",
    "Pruned",
    "capacity_retained",
    "orders",
    "overlap",
    "prune",
    "prune_both",
    "rank_correlation",
]

PERCENT = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90)
"""Percent of the heads that are removed, as published, and none."""

RANDOM_ORDERS = 3
"""Random orders beside one of importance."""


@dataclass(frozen=True)
class Pruned:
    """How well a model does with some parts removed.

    Attributes
    ----------
    order : str
        Name of the order in which heads are removed.
    heads, feed_forwards : tuple
        Heads, and layers whose feed-forward blocks are removed.
    performance : Performance
    """

    order: str
    heads: tuple[Head, ...]
    feed_forwards: tuple[int, ...]
    performance: Performance


def orders(importance: Array, magnitudes: Array, seed: int = 0) -> dict[str, list[Head]]:
    """Orders in which heads are removed, the first one first.

    Parameters
    ----------
    importance, magnitudes : array, shape (layers, most heads of a layer)
        NaN where a layer has fewer heads.
    seed : int
        Of the random orders.

    Returns
    -------
    dict of str to list of Head
        "importance", "reverse", "magnitude", and "random 1" and so on.
    """
    by_importance = ascending(importance)
    generator = np.random.default_rng(arguments.seed("seed", seed))
    drawn = {
        f"random {n + 1}": [by_importance[place] for place in generator.permutation(len(by_importance))]
        for n in range(RANDOM_ORDERS)
    }
    return {
        "importance": by_importance,
        "reverse": by_importance[::-1],
        "magnitude": ascending(magnitudes),
    } | drawn


def ascending(values: Array) -> list[Head]:
    """Heads in ascending order of their values (layers, most heads of a layer), NaN left out."""
    layers, heads = np.nonzero(~np.isnan(values))
    order = np.argsort(values[layers, heads], kind="stable")
    return [Head(int(layers[n]), int(heads[n])) for n in order]


def prune(
    model: Inspectable,
    task: EvaluationTask,
    ordered: dict[str, list[Head]],
    percent: Sequence[int] = PERCENT,
    *,
    progress: Progress = lambda step, steps: None,
) -> Iterator[Pruned]:
    """The model with the first heads of each order removed; a set of heads that two orders share is evaluated once."""
    known: dict[frozenset[Head], Performance] = {}
    total, done = len(ordered) * len(percent), 0
    for name, heads in ordered.items():
        for share in percent:
            removed = heads[: arguments.integer("percent", share, least=0, most=100) * len(heads) // 100]
            if (key := frozenset(removed)) not in known:
                known[key] = _without(model, task, removed, ())
            yield Pruned(name, tuple(removed), (), known[key])
            progress(done := done + 1, total)


def prune_both(
    model: Inspectable,
    task: EvaluationTask,
    heads: Sequence[Head],
    feed_forwards: Sequence[int],
    percent_heads: Iterable[int],
    percent_feed_forwards: Iterable[int],
    *,
    progress: Progress = lambda step, steps: None,
) -> Iterator[Pruned]:
    """The model with the first heads and the first feed-forward blocks of their orders removed, over a grid."""
    grid = [(a, b) for a in percent_heads for b in percent_feed_forwards]
    for done, (a, b) in enumerate(grid):
        removed = heads[: a * len(heads) // 100], feed_forwards[: b * len(feed_forwards) // 100]
        yield Pruned("importance", tuple(removed[0]), tuple(removed[1]), _without(model, task, *removed))
        progress(done + 1, len(grid))


def _without(
    model: Inspectable, task: EvaluationTask, heads: Sequence[Head], feed_forwards: Sequence[int]
) -> Performance:
    with intervene(model, *map(Zero, heads), *map(ZeroFeedForward, feed_forwards)):
        return evaluate(model, task)


@dataclass(frozen=True)
class Overlap:
    """How alike two importances of the same n heads are.

    Attributes
    ----------
    share : float
        s: of the heads, those with the largest importance.
    common : float
        Of these, the share that the two have in common.
    chance : (float, float)
        Mean and standard deviation of that share for random sets.
    spearman : float
        Correlation of ranks.
    released : float
        Correlation of the indices that sort the two, as the released code has it.
    """

    share: float
    common: float
    chance: tuple[float, float]
    spearman: float
    released: float


def overlap(first: Array, second: Array, share: float = 0.3) -> Overlap:
    """How alike two importances (layers, most heads of a layer) are.

    Raises
    ------
    ValueError
        If they are of different heads, or the share leaves none.
    """
    if first.shape != second.shape or not np.array_equal(np.isnan(first), np.isnan(second)):
        raise ValueError(
            f"importances of shapes {first.shape} and {second.shape}: expected values for the same heads; take both "
            "from one model."
        )
    values = [importance[~np.isnan(importance)] for importance in (first, second)]
    number = len(values[0])
    size = round(arguments.real("share", share) * number)
    if not 0 < size < number:
        raise ValueError(f"share = {share}: expected one that keeps from 1 to {number - 1} of {number} heads.")
    order: list[NDArray[np.intp]] = [np.argsort(value, kind="stable") for value in values]
    common = len(np.intersect1d(order[0][-size:], order[1][-size:])) / size
    exact = size / number
    # Hypergeometric: the variance of the number in common is n s² (1 - s)² n/(n - 1).
    deviation = (1 - exact) / np.sqrt(number - 1)
    return Overlap(
        exact,
        common,
        (exact, float(deviation)),
        rank_correlation(*values),
        float(np.corrcoef(order[0], order[1])[0, 1]),
    )


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's correlation of two arrays (n,)."""
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def capacity_retained(scores: Array, ordered: Sequence[Head], percent: Sequence[int] = PERCENT) -> Array:
    """Share of a score that the heads which are left hold, for each percent removed.

    Parameters
    ----------
    scores : array, shape (layers, most heads of a layer)
        Above their controls; negative ones count as zero, and NaN are no heads.
    ordered : sequence of Head
        The first to be removed first.
    percent : sequence of int

    Raises
    ------
    ValueError
        If no score is positive.
    """
    positive = np.clip(scores, 0, None)
    total = float(np.nansum(positive))
    if total == 0:
        raise ValueError("scores: no head has a positive one; expected one of which a share can be left.")
    removed = [ordered[: share * len(ordered) // 100] for share in percent]
    return np.array([1 - sum(positive[head] for head in heads) / total for heads in removed])

r"""Scores of heads with intervals over sequences, and which heads exceed chance after control of the family-wise error.

For a head with scores x_i on n sequences, or in n draws of tokens, and c_i of their controls, the mean of x has a 95%
interval by Student's law. The head exceeds chance if the mean of x - c is above a level, by default that of formation,
so that a head whose score differs from chance by a hair does not count: p is that of Student's one-sided test, and
Holm's procedure over all heads of the model keeps the probability of any false one below 5%.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtr

from onset.theory.estimates import student
from onset.validate.inspection.measuring import Measured
from onset.validate.inspection.scores.weights import WeightScore
from onset.validate.judging.verdicts import FAMILY, holm_adjusted

if TYPE_CHECKING:
    import xarray

__all__ = ["exceeding", "head_table"]


def head_table(measured: Sequence[Measured], level: float | None = None) -> xarray.Dataset:
    """Scores of all heads.

    Parameters
    ----------
    measured : sequence of Measured
    level : float, optional
        By how much a score that is a share has to exceed its control, instead of its own level.

    Returns
    -------
    xarray.Dataset
        By score, layer and head, both counted from 0: `mean` with its 95% interval `low` to `high`, `control`, the
        adjusted `p` of an excess of at most the level, and `exceeds`; by score `chance`, `unit`, `level`, what the
        interval is `over`, and what defines it. NaN where a layer has fewer heads, or a score is not defined.
    """
    import xarray

    levels = [result.score.level if level is None or result.score.unit != "share" else level for result in measured]
    statistics = [_statistics(result, least) for result, least in zip(measured, levels, strict=True)]
    by_head = ("score", "layer", "head")
    variables: dict[str, Any] = {
        name: (by_head, np.stack([entry[name] for entry in statistics])) for name in statistics[0]
    }
    texts = {
        "chance": [result.chance for result in measured],
        "definition": [result.score.definition for result in measured],
        "source": [result.score.source for result in measured],
        "shown": [result.score.shown for result in measured],
        "unit": [result.score.unit for result in measured],
        "level": levels,
        "over": ["draws of tokens" if isinstance(result.score, WeightScore) else "sequences" for result in measured],
        "normalisation": [result.score.normalisation for result in measured],
    }
    table = xarray.Dataset(
        variables | {name: ("score", values) for name, values in texts.items()},
        coords={"score": [result.score.name for result in measured]},
    )
    return table.assign_attrs(sequences=len(measured[0].values))


def exceeding(table: xarray.Dataset, score: str) -> list[tuple[int, int]]:
    """Layer and head of the heads that exceed chance in a score, the largest first."""
    chosen = table.sel(score=score)
    layers, heads = np.nonzero(chosen.exceeds.values)
    order = np.argsort(-chosen["mean"].values[layers, heads], kind="stable")
    return [(int(layers[n]), int(heads[n])) for n in order]


def _statistics(measured: Measured, level: float) -> dict[str, Any]:
    values, excess = measured.values, measured.values - measured.control
    count = len(values)
    mean, half = values.mean(axis=0), student(count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count)
    error = excess.std(axis=0, ddof=1) / np.sqrt(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (excess.mean(axis=0) - level) / error
    p = np.where(error > 0, stdtr(count - 1, -t), np.where(excess.mean(axis=0) > level, 0.0, 1.0))
    p = holm_adjusted(np.where(np.isnan(mean), np.nan, p))
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "control": measured.control.mean(axis=0),
        "p": p,
        "exceeds": p <= FAMILY,
    }

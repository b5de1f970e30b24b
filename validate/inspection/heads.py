r"""Scores of heads with intervals over sequences, and which heads exceed chance after control of the family-wise error.

For a head with scores x_i on n sequences and c_i of their controls, the mean of x has a 95% interval by Student's law.
The head exceeds chance if the mean of x - c is above a level, by default that of formation, so that a head whose score
differs from chance by a hair does not count: p is that of Student's one-sided test, and Holm's procedure over all heads
of the model keeps the probability of any false one below 5%.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtr

from onset.theory.arrays import Array
from onset.theory.estimates import student
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.inspection.measuring import Measured
from onset.validate.judging.verdicts import FAMILY

if TYPE_CHECKING:
    import xarray

__all__ = ["exceeding", "head_table", "holm_p"]


def head_table(measured: Sequence[Measured], level: float = FORMATION_LEVEL) -> xarray.Dataset:
    """Scores of all heads.

    Parameters
    ----------
    measured : sequence of Measured
    level : float
        By how much a score has to exceed its control.

    Returns
    -------
    xarray.Dataset
        By score, layer and head, both counted from 0: `mean` with its 95% interval `low` to `high`, `control`, the
        adjusted `p` of an excess of at most `level`, and `exceeds`; by score `chance` and what defines it. NaN where a
        layer has fewer heads.
    """
    import xarray

    statistics = [_statistics(one, level) for one in measured]
    by_head = ("score", "layer", "head")
    variables: dict[str, Any] = {
        name: (by_head, np.stack([entry[name] for entry in statistics])) for name in statistics[0]
    }
    variables["exceeds"] = (by_head, variables["p"][1] <= FAMILY)
    texts = {
        "chance": [one.chance for one in measured],
        "definition": [one.score.definition for one in measured],
        "source": [one.score.source for one in measured],
        "sequences": [one.score.recipe.description for one in measured],
        "normalisation": [one.score.normalisation for one in measured],
    }
    table = xarray.Dataset(
        variables | {name: ("score", values) for name, values in texts.items()},
        coords={"score": [one.score.name for one in measured]},
    )
    return table.assign_attrs(level=level, sequences=len(measured[0].values))


def exceeding(table: xarray.Dataset, score: str) -> list[tuple[int, int]]:
    """Layer and head of the heads that exceed chance in a score, the largest first."""
    chosen = table.sel(score=score)
    layers, heads = np.nonzero(chosen.exceeds.values)
    order = np.argsort(-chosen["mean"].values[layers, heads], kind="stable")
    return [(int(layers[n]), int(heads[n])) for n in order]


def _statistics(measured: Measured, level: float) -> dict[str, Array]:
    values, excess = measured.values, measured.values - measured.control
    count = len(values)
    mean, half = values.mean(axis=0), student(count - 1) * values.std(axis=0, ddof=1) / np.sqrt(count)
    error = excess.std(axis=0, ddof=1) / np.sqrt(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (excess.mean(axis=0) - level) / error
    p = np.where(error > 0, stdtr(count - 1, -t), np.where(excess.mean(axis=0) > level, 0.0, 1.0))
    p = np.where(np.isnan(mean), np.nan, p)
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "control": measured.control.mean(axis=0),
        "p": holm_p(p),
    }


def holm_p(p: Array) -> Array:
    """Adjusted p of a family, of any shape, by Holm's procedure; NaN are left out.

    Those of at most 5% are refuted (Scandinavian Journal of Statistics 6 (1979), 65-70).
    """
    flat = p.ravel()
    known = np.flatnonzero(~np.isnan(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    adjusted = np.full_like(flat, np.nan)
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * flat[order]))
    return adjusted.reshape(p.shape)

"""What the mean fields of the toy families share: coordinates, and weighted matrices that stand for the prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.markov.chains import entropy, stationary
from onset.theory.markov.task import MarkovChains
from onset.theory.models import FAMILIES
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["LAGS", "PopulationLoss", "query_powers", "signals", "softmax"]

LAGS = 6
"""Number R of tracked lags, in all theories: twice as many move no transition by 1%, half as many do."""


class PopulationLoss(ABC):
    """Population loss of a toy family on Markov chains in the coordinates of `onset.theory.dynamics.layout.Layout`.

    A subclass is a `onset.theory.dynamics.layout.Dynamics`.

    Parameters
    ----------
    task : MarkovChains
    initialization : mapping of group to value, or None
        Start of the path; by default the family's.
    lags : int
        Number R of tracked lags of each head.
    least_lags : int
        Smallest R of the subclass.
    """

    family: ClassVar[str]

    def __init__(
        self, task: MarkovChains, initialization: Mapping[str, float] | None, lags: int, least_lags: int = 2
    ) -> None:
        lags = arguments.integer("lags", lags, least=least_lags)
        self.task, self.lags = task, lags
        self.layout = Layout.of(task, initialization or FAMILIES[self.family].initialization, lags)

    @classmethod
    def of(cls, setting: Setting, **options: Any) -> Self:
        """The loss of a setting of this family; options as in the constructor."""
        return cls(setting.task, setting.model.initialization, **options)  # type: ignore[call-arg]

    @abstractmethod
    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by transition matrices (n, k^{order-1}, k) with weights (n,) that sum to one."""

    @abstractmethod
    def gradient(self, point: Array, step: int = 0) -> Gradient:
        """Loss and gradient at a point; the same at every step."""

    @abstractmethod
    def measure(self, point: Array) -> Measurement:
        """Loss, distances to the ideal strategies and attention at a point."""


def query_powers(transition: Array, lags: int) -> Array:
    """(P^r)_0j for r = 0 … lags - 1, shape (lags, ..., k), of matrices (..., k, k)."""
    rows = np.empty((lags, *transition.shape[:-2], 1, transition.shape[-1]))
    rows[0] = np.eye(transition.shape[-1])[0]
    for r in range(1, lags):
        np.matmul(rows[r - 1], transition, out=rows[r])
    return rows[..., 0, :]


def signals(transition: Array, lags: int) -> Array:
    """Functions of the chains that a small rule must integrate as a large one does, shape (n, m).

    The query state 0 stands for all: the prior's mass, entropies of π and of the row, moments of π, and the signal of
    each lag, Σ_j π_0² P_0j ((P^r)_0j - π_j).
    """
    law, row = stationary(transition), transition[:, 0, :]
    query = law[:, 0]
    squares, overlap = (law**2).sum(axis=1), (row * law).sum(axis=1)
    plain = [query, query**2, *(query**p * moment for p in (1, 2) for moment in (squares, overlap))]
    entropies = [query * entropy(row), query * entropy(law)]
    tracked = [query**2 * (row * (power - law)).sum(axis=1) for power in query_powers(transition, lags)]
    return np.stack([np.ones_like(query), *plain, *entropies, *tracked], axis=1)


def softmax(logits: Array, axis: int) -> tuple[Array, Array]:
    """Softmax along `axis`, and the logarithm of its normaliser without that axis."""
    highest = logits.max(axis=axis, keepdims=True)
    model = np.exp(logits - highest)
    total = model.sum(axis=axis, keepdims=True)
    model /= total
    return model, np.squeeze(highest + np.log(total), axis=axis)

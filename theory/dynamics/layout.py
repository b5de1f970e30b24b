r"""The few coordinates that training moves in a toy model, and population losses as functions of them.

If prior and initialisation are exchangeable under relabelling of the tokens, population gradient descent keeps every k
× k matrix in span{I, 11ᵀ}. The coordinates here are the values of its two orbits of entries, diagonal and off-diagonal;
a lag logit is an orbit by itself. All entries of an orbit share one gradient, the derivative of the loss with respect
to the shared value divided by the number of entries, so an optimiser that acts entry by entry acts on orbits unchanged.
(This is the projection G = a·11ᵀ + b·I written in the orbits' basis: a is the off-diagonal entry, a + b the diagonal
one.)

Losses are in nats per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Measurement
from onset.theory.tasks import Task
from onset.theory.training import Training

__all__ = ["Dynamics", "Gradient", "Layout", "last_attention"]


@dataclass(frozen=True)
class Layout:
    """The reduced coordinates of a toy model on a task: their names, parameter groups, tied entries and start.

    The order is match (diagonal, off-diagonal), then for the softmax family readout (likewise), then the lag logits
    v_0, v_1, …. Tasks that need several heads have match_1, match_2, …, and all lag logits of one head after the other.
    """

    task: Task
    names: tuple[str, ...]
    groups: tuple[str, ...]
    entries: Array
    start: Array

    @classmethod
    def of(cls, task: Task, initialization: Mapping[str, float], lags: int) -> Layout:
        """Coordinates of the parameter groups in `initialization`, with the first `lags` lag logits of each head."""
        heads = [f"_{h}" for h in range(1, len(task.lags) + 1)] if len(task.lags) > 1 else [""]
        orbits = [
            (group, head, part)
            for group in ("match", "readout", "lag_logits")
            if group in initialization
            for head in ([""] if group == "readout" else heads)
            for part in (map(str, range(lags)) if group == "lag_logits" else ("diagonal", "off_diagonal"))
        ]
        k = task.vocabulary
        tied = {"diagonal": k, "off_diagonal": k * (k - 1)}
        return cls(
            task,
            tuple(f"{group}{head}.{part}" for group, head, part in orbits),
            tuple(group for group, _, _ in orbits),
            np.array([tied.get(part, 1) for _, _, part in orbits], dtype=float),
            np.array([initialization[group] for group, _, _ in orbits], dtype=float),
        )

    @property
    def lags(self) -> slice:
        """Where the lag logits are."""
        return slice(self.groups.index("lag_logits"), None)

    @property
    def scale(self) -> Array:
        """Typical size of each coordinate, shape (n,).

        Entries of W are of order ten over the context in the linear family, as on its plateau, all else of order one.
        """
        matrices = 1.0 if "readout" in self.groups else 10 / self.task.context
        return np.where(np.array(self.groups) == "lag_logits", 1.0, matrices)

    def rates(self, training: Training) -> Array:
        """Learning rate of each coordinate, per step; zero where it is frozen."""
        rate = training.optimizer.learning_rate
        return np.array([0.0 if group in training.frozen else rate[group] for group in self.groups])


@dataclass(frozen=True)
class Gradient:
    """Gradient of the loss at one point.

    Attributes
    ----------
    loss : float
        Nats per token.
    derivative : array, shape (n,)
        By each coordinate.
    variance : array, shape (n,)
        Over training sequences, of the gradient of one *entry* of each orbit; zero where the theory neglects it.
    """

    loss: float
    derivative: Array
    variance: Array | float = 0.0


def last_attention(lag_logits: Array, context: int) -> Array:
    """One head's attention of the last position on each tracked lag, shape (..., R); the other lags keep v = 0."""
    weight = np.exp(lag_logits)
    return weight / (context + (weight - 1).sum(axis=-1, keepdims=True))


class Dynamics(Protocol):
    """A population loss in reduced coordinates: a mean field (`onset.theory.mean_fields`) or a finite context
    (`onset.simulate.finite_context.dynamics`)."""

    layout: Layout

    def gradient(self, point: Array, step: int) -> Gradient: ...
    def measure(self, point: Array) -> Measurement: ...

r"""The few coordinates that training moves in a toy model, and population losses as functions of them.

If prior and initialisation are exchangeable under relabelling of the states, population gradient descent keeps every k × k matrix
in span{I, 11ᵀ}. The coordinates here are the values of its two orbits of entries, diagonal and off-diagonal; a lag logit is an
orbit by itself. All entries of an orbit share one gradient, the derivative of the loss with respect to the shared value divided by the
number of entries, so an optimiser that acts entry by entry acts on orbits unchanged. (This is the projection G = a·11ᵀ + b·I
written in the orbits' basis: a is the off-diagonal entry, a + b the diagonal one.)

Losses are in nats per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["Dynamics", "Gradient", "Layout", "last_attention"]


@dataclass(frozen=True)
class Layout:
    """The reduced coordinates of a toy family: name, optimiser group, number of tied entries and start of each.

    The order is match (diagonal, off-diagonal), then for the softmax family readout (likewise), then the lag logits v_0, v_1, …. For chains
    of order n > 2 there are n - 1 heads: match_1, match_2, …, and all lag logits of one head after the other.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    entries: Array
    start: Array

    @classmethod
    def of(cls, setting: Setting, lags: int) -> Layout:
        """Coordinates of `setting`'s family with the first `lags` lag logits of each head."""
        heads = [""] if setting.task.order == 2 else [f"_{h}" for h in range(1, setting.task.order)]
        names: list[str] = []
        groups: list[str] = []
        for group in ("match", "readout", "lag_logits"):
            if group not in setting.model.initialization:
                continue
            parts = [str(r) for r in range(lags)] if group == "lag_logits" else ["diagonal", "off_diagonal"]
            for head in [""] if group == "readout" else heads:
                names += [f"{group}{head}.{part}" for part in parts]
                groups += [group] * len(parts)
        k = setting.task.states
        tied = {"diagonal": k, "off_diagonal": k * (k - 1)}
        return cls(
            tuple(names),
            tuple(groups),
            np.array([tied.get(name.partition(".")[2], 1) for name in names], dtype=float),
            np.array([setting.model.initialization[group] for group in groups], dtype=float),
        )

    @property
    def lags(self) -> slice:
        """Where the lag logits are."""
        return slice(self.groups.index("lag_logits"), None)

    def rates(self, setting: Setting) -> Array:
        """Learning rate of each coordinate, per step; zero where it is frozen."""
        rate = setting.training.optimizer.learning_rate
        return np.array([0.0 if group in setting.training.frozen else rate[group] for group in self.groups])


@dataclass(frozen=True)
class Gradient:
    """Loss (nats per token), its derivative by each coordinate, shape (n,), and `variance`, shape (n,): the variance over
    training sequences of the gradient of one *entry* of each orbit (zero where the theory neglects it)."""

    loss: float
    derivative: Array
    variance: Array | float = 0.0


def last_attention(lag_logits: Array, context: int) -> Array:
    """One head's attention of the last position on each tracked lag, shape (..., R); the other lags of `context` keep v = 0."""
    weight = np.exp(lag_logits)
    return weight / (context + (weight - 1).sum(axis=-1, keepdims=True))


class Dynamics(Protocol):
    """A population loss in reduced coordinates: mean field (`onset.theory.mean_fields.linear`, `onset.theory.mean_fields.softmax`) or finite context (`onset.simulate.finite_context.dynamics`)."""

    layout: Layout

    def gradient(self, point: Array, step: int) -> Gradient: ...
    def measure(self, point: Array) -> Measurement: ...

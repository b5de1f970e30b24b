"""Model families and optimisers: their names, parameter groups, and what a setting takes when it says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["FAMILIES", "OPTIMIZERS", "Defaults", "Family"]


@dataclass(frozen=True)
class Defaults:
    """Learning rate per group; the longest run, in steps (runs stop earlier, a quarter past their last transition); and the
    steps between two records, a few percent of the plateau."""

    learning_rate: Mapping[str, float]
    steps: int
    record_every: int


@dataclass(frozen=True)
class Family:
    """A model family.

    `initialization` holds the value of every entry of a group; for the transformer, the standard deviation of its weights.
    `optimizers` are those it trains with, the first by default; `defaults` takes one of them, the context and the order of the chains.
    """

    name: str
    initialization: Mapping[str, float]
    optimizers: tuple[str, ...]
    defaults: Callable[[str, int, int], Defaults]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the parameter groups."""
        return tuple(self.initialization)


def _linear(optimizer: str, context: int, order: int) -> Defaults:
    if optimizer == "sgd":
        # The plateau grows with T, and every head waits on one of its own.
        steps = (2 * order - 3) * (10 * context + 500)
        return Defaults({"lag_logits": 1.0, "match": 100 / context**2}, steps, max(1, context // 20))
    return Defaults({"lag_logits": 0.01, "match": 0.01}, 1000, 5)


def _softmax(optimizer: str, context: int, order: int) -> Defaults:
    sgd = optimizer == "sgd"
    rate = 1.0 if sgd else 0.01
    steps = 4000 * (2 * order - 3) if sgd else 1000
    return Defaults({"lag_logits": rate, "match": rate, "readout": rate}, steps, 10 if sgd else 5)


def _transformer(optimizer: str, context: int, order: int) -> Defaults:
    return Defaults({"weights": 5e-4}, 2500, 20)  # the published rate, arXiv 2402.11004


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("linear", {"lag_logits": 0.0, "match": 0.01}, ("sgd", "adam"), _linear),
        Family("softmax", {"lag_logits": 0.0, "match": 0.0, "readout": 0.0}, ("sgd", "adam"), _softmax),
        Family("transformer", {"weights": 0.02}, ("adamw", "adam", "sgd"), _transformer),
    )
}
"""The one place where a family is registered by name."""

OPTIMIZERS = {
    "sgd": {"betas": (0.0, 0.0), "weight_decay": 0.0},
    "adam": {"betas": (0.9, 0.999), "weight_decay": 0.0},
    "adamw": {"betas": (0.9, 0.95), "weight_decay": 0.1},
}
"""Moments' decay rates and weight decay of each optimiser when a setting says nothing."""

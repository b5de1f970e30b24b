"""Settings of the scaling claim: transformers that differ from the published one in one number, each with its toy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onset.theory.markov.priors import Dirichlet
from onset.theory.setting import Setting
from onset.validate.claims.claim import Need
from onset.validate.claims.markov.published import SEEDS, published

__all__ = ["ADAMW", "BASE", "SGD", "SGD_BASE", "VARIATIONS", "Variation", "line", "needs", "toy"]

STATES = 3

ADAMW, SGD = "AdamW", "SGD"

BASE = "base"
"""Name of the published configuration with three states."""

AT_BASE = {"T": 100.0, "k": STATES, "rate": 5e-4, "concentration": 1.0, "batch": 64.0}
"""Values of the base."""

SGD_RATE, SGD_BASE = 1.0, "SGD, rate = 1"
"""At a rate of 3 the weights become NaN; at 1 the first run left the plateau near step 2,100."""


@dataclass(frozen=True)
class Variation:
    """A setting that differs from the base of its optimiser in one number, `value` of `axis`."""

    optimizer: str
    axis: str
    value: float
    setting: Setting

    @property
    def name(self) -> str:
        return f"{self.optimizer}, {self.axis} = {self.value:g}"


def _vary(optimizer: str, axis: str, value: float, steps: int, record_every: int = 20, **changes: Any) -> Variation:
    options: dict[str, Any] = {"prior": Dirichlet(STATES), "whole": False, "steps": steps, "record_every": record_every}
    if optimizer == SGD:
        options |= {"optimizer": "sgd", "learning_rate": SGD_RATE}
    options |= changes
    return Variation(optimizer, axis, value, published(options["prior"].states, **options))


VARIATIONS = (
    *(_vary(ADAMW, "T", T, 6000, context=T) for T in (50, 200)),
    *(_vary(ADAMW, "k", k, 8000, prior=Dirichlet(k)) for k in (2, 4)),
    _vary(ADAMW, "rate", 2.5e-4, 10000, learning_rate=2.5e-4),
    *(_vary(ADAMW, "rate", rate, 4000, 10, learning_rate=rate) for rate in (1e-3, 2e-3)),
    *(_vary(ADAMW, "concentration", alpha, 8000, prior=Dirichlet(STATES, alpha)) for alpha in (0.3, 3.0)),
    *(_vary(ADAMW, "batch", batch, 6000, batch=batch) for batch in (16, 256)),
    _vary(SGD, "rate", SGD_RATE, 8000),
    _vary(SGD, "rate", SGD_RATE / 2, 16000, 40, learning_rate=SGD_RATE / 2),
    *(_vary(SGD, "T", T, 12000, context=T) for T in (50, 200)),
)
"""One number changed at a time, with room for late seeds: runs stop a quarter past their last transition."""


def line(optimizer: str, axis: str) -> dict[str, float]:
    """Settings along an axis, the base first, with their values on it."""
    values = {v.name: v.value for v in VARIATIONS if (v.optimizer, v.axis) == (optimizer, axis)}
    base = BASE if optimizer == ADAMW else SGD_BASE
    return values if base in values else {base: AT_BASE[axis]} | values


def toy(setting: Setting) -> Setting:
    """The softmax toy with the transformer's prior, context, optimiser, rate and batch, from zero weights.

    It runs long enough to make its transition, with a record every hundredth of that.
    """
    adam = setting.training.optimizer.name != "sgd"
    rate = setting.training.optimizer.learning_rate["weights"]
    return Setting.of(
        "softmax",
        prior=setting.task.prior,
        context=setting.task.context,
        optimizer="adam" if adam else "sgd",
        learning_rate=rate,
        betas=setting.training.optimizer.betas,
        batch=setting.training.batch,
        steps=round((5 if adam else 4000) / rate),
        record_every=max(1, round((0.02 if adam else 5) / rate)),
    )


def needs(size: str) -> Mapping[str, Need]:
    # Runs under SGD are long: the standard suite trains two seeds of each.
    trained = {BASE: Need(published(STATES), SEEDS[size])} | {
        v.name: Need(v.setting, 2 if v.optimizer == SGD and size == "standard" else 5) for v in VARIATIONS
    }
    return trained | {f"{name}, toy": Need(toy(need.setting), kind="mean-field") for name, need in trained.items()}

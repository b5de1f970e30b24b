"""What a prediction is: steps with intervals, the curves they were read from, and what was assumed.

Each rung of the ladder predicts where it stands; `onset.simulate.predict` holds the list of methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from onset.theory.expectation import Expectation
from onset.theory.markov import ideal
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import strategies
from onset.theory.recording import Trajectory, combined
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, ReadOff, Transition

__all__ = ["EXCHANGEABLE_FLOW", "Prediction", "finite_plateaus", "limit_plateaus", "plateaus"]

EXCHANGEABLE_FLOW = "prior and initialisation exchangeable; SGD as gradient flow"
"""What every law under SGD assumes."""

TOLERANCE = 2e-3
"""Largest error of a plateau's loss, nats per token."""


@dataclass(frozen=True)
class Prediction(ReadOff):
    """When a setting should pass from one strategy to the next.

    Attributes
    ----------
    setting : Setting
    method : str
    trajectories : tuple of Trajectory
        Independent numerical replicates, whose spread is the interval; or, with `bounds`, the prediction, the earliest and the latest.
    plateaus : dict of strategy to Expectation
        Ideal loss of each strategy, nats per token, with the error of its evaluation.
    assumptions, validity : tuple of str
        What is neglected, and what is known of the consequences for this setting.
    """

    setting: Setting
    method: str
    trajectories: tuple[Trajectory, ...]
    plateaus: dict[str, Expectation]
    assumptions: tuple[str, ...]
    validity: tuple[str, ...]
    bounds: bool = False

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        if not self.bounds:
            return combined(self.trajectories, level)
        kinds = zip(*(one.read(level) for one in self.trajectories), strict=True)
        passages, formations = ([_bounded(each) for each in zip(*kind, strict=True)] for kind in kinds)
        return passages, formations

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        passages, formations = self.read(level)
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "method": self.method,
            "plateaus": {name: {"loss": e.value, "error": e.error} for name, e in self.plateaus.items()},
            "transitions": [t.to_dict() for t in passages],
            "formations": [t.to_dict() | {"level": level} for t in formations],
            "assumptions": list(self.assumptions),
            "validity": list(self.validity),
        }


def _bounded(found: Sequence[Transition]) -> Transition:
    """The first transition, with the interval that the steps of all span."""
    first = found[0]
    steps = [t.step for t in found if t.step is not None]
    return first if first.step is None else replace(first, low=min(steps), high=max(steps))


@lru_cache(maxsize=256)
def limit_plateaus(prior: Prior) -> dict[str, Expectation]:
    """Ideal losses as T → ∞, nats per token, by strategy."""
    return plateaus(prior, lambda strategy: ideal.limit_loss(prior, strategy, tolerance=TOLERANCE))


def finite_plateaus(setting: Setting, seed: int = 0) -> dict[str, Expectation]:
    """Ideal losses at the setting's context, nats per token, by strategy."""
    return plateaus(
        setting.task.prior,
        lambda strategy: ideal.finite_loss(
            setting.task.prior, strategy, setting.task.context, tolerance=TOLERANCE, seed=seed
        ),
    )


def plateaus(prior: Prior, loss: Callable[[str], Expectation]) -> dict[str, Expectation]:
    """`loss` of every ideal strategy for the chains of `prior`, by name."""
    return {name: loss(name) for name in strategies(prior.order)}

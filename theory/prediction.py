"""What a prediction is: steps with intervals, the curves they were read from, and what was assumed.

Each rung of the ladder makes its predictions itself; `onset.simulate.predict` holds the list of methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from onset.theory.expectation import Expectation
from onset.theory.recording import Trajectory, combined
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource

__all__ = ["EXCHANGEABLE_FLOW", "Prediction"]

EXCHANGEABLE_FLOW = "prior and initialisation exchangeable; SGD as gradient flow"
"""What every law under SGD assumes."""


@dataclass(frozen=True)
class Prediction(TransitionSource):
    """When the model of a setting should go from one strategy to the next.

    Attributes
    ----------
    setting : Setting
    method : str
    trajectories : tuple of Trajectory
        Independent numerical replicates, whose spread is the interval; with `bounds`, the prediction, the earliest and
        the latest.
    plateaus : dict of strategy to Expectation
        Ideal loss of each strategy, nats per token, with the error of its evaluation.
    assumptions, validity : tuple of str
        What is neglected, and what is known of the consequences for this setting.
    bounds : bool
        Whether the trajectories bound the prediction.
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
        transitions, formations = zip(*(trajectory.read(level) for trajectory in self.trajectories), strict=True)
        return list(map(_bounded, *transitions)), list(map(_bounded, *formations))

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        transitions, formations = self.read(level)
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "method": self.method,
            "plateaus": {name: {"loss": e.value, "error": e.error} for name, e in self.plateaus.items()},
            "transitions": [t.to_dict() for t in transitions],
            "formations": [t.to_dict() | {"level": level} for t in formations],
            "assumptions": list(self.assumptions),
            "validity": list(self.validity),
        }


def _bounded(predicted: Transition, *bounds: Transition) -> Transition:
    """The predicted transition, with the interval that the steps of all span."""
    steps = [t.step for t in (predicted, *bounds) if t.step is not None]
    return predicted if predicted.step is None else replace(predicted, low=min(steps), high=max(steps))

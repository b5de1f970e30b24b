"""What a prediction is: steps with intervals, the curves they were read from, and what was assumed.

Each rung of the ladder makes its predictions itself; `onset.simulate.predict` holds the list of methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onset.theory.estimates import NUMERICAL, THEORETICAL, RelativeError, StandardError, ends
from onset.theory.expectation import Expectation
from onset.theory.recording import Trajectory, combined
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource

__all__ = ["EXCHANGEABLE_FLOW", "Prediction", "change", "require_smaller"]

EXCHANGEABLE_FLOW = "prior and initialisation exchangeable; SGD as gradient flow"
"""What every law under SGD assumes."""


def change(before: float | None, after: float | None) -> float:
    """By how much a time changes, relative to the smaller one; infinite if there is none, zero if both vanish."""
    if before is None or after is None:
        return math.inf
    if before == after:
        return 0.0
    return abs(after - before) / min(before, after) if min(before, after) > 0 else math.inf


def require_smaller(setting: Setting, what: str, share: float, instead: str) -> None:
    """Raise ``ValueError`` unless a neglected term, a `share` of the answer, leaves something of it.

    Below that a theory answers, with an interval as wide as what it neglects.
    """
    if not abs(share) < 1:
        raise ValueError(
            f"setting {setting.label}: {what} is {share:.2g} of the answer, so that nothing is left of it; expected "
            f"less than all; {instead}."
        )


@dataclass(frozen=True)
class Prediction(TransitionSource):
    """When the model of a setting should go from one strategy to the next.

    Attributes
    ----------
    setting : Setting
    method : str
    trajectories : tuple of Trajectory
        Independent numerical replicates, one or more, whose mean is the prediction.
    plateaus : dict of strategy to Expectation
        Ideal loss of each strategy, nats per token, with the error of its evaluation.
    assumptions, validity : tuple of str
        What is neglected, and what is known of the consequences for this setting.
    neglected : mapping of str to (Trajectory, Trajectory) or None
        For each neglected term whose size is known, the earliest and the latest that it may make the first trajectory;
        None of a term that leaves nothing of it. Without any, the interval is numerical.
    error : RelativeError or None
        Numerical error of the steps that the replicates do not show.
    """

    setting: Setting
    method: str
    trajectories: tuple[Trajectory, ...]
    plateaus: dict[str, Expectation]
    assumptions: tuple[str, ...]
    validity: tuple[str, ...]
    neglected: Mapping[str, tuple[Trajectory, Trajectory] | None] = field(default_factory=dict)
    error: RelativeError | None = None

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        transitions, formations = combined(self.trajectories, level, NUMERICAL)
        first = self.trajectories[0].read(level)
        bounds = {name: [curve.read(level) for curve in curves or ()] for name, curves in self.neglected.items()}
        between, formed = (
            [
                self._widened(
                    transition,
                    first[kind][n],
                    {name: [end[kind][n] for end in pair] for name, pair in bounds.items()},
                )
                for n, transition in enumerate(group)
            ]
            for kind, group in enumerate((transitions, formations))
        )
        return between, formed

    def _widened(
        self, transition: Transition, first: Transition, bounds: Mapping[str, Sequence[Transition]]
    ) -> Transition:
        """A transition with the whole error of its computation, and with what is neglected."""
        if transition.step is None or first.step is None:
            return transition
        error = transition.error or StandardError(0.0)
        if self.error is not None:
            error = error.beside(self.error.times(transition.step))
        neglected = {}
        for name, pair in bounds.items():
            steps = [math.inf if end.step is None else end.step for end in pair] or [0.0, math.inf]
            neglected[name] = (max(0.0, first.step - min(steps)), max(0.0, max(steps) - first.step))
        low, high = ends(transition.step, error, neglected)
        kind = THEORETICAL if neglected else NUMERICAL
        return replace(transition, low=low, high=high, kind=kind, error=error, neglected=neglected)

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

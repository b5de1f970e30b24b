"""The explanation of a setting: regime, numbers, sentences, and the stages of its predicted trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from onset.theory.arrays import Array
from onset.theory.markov.task import STRATEGIES
from onset.theory.prediction import Prediction
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting

__all__ = ["Explanation", "Stage"]

SETTLED = 0.9
"""Share of the way to the unigram plateau at which the start is over."""


@dataclass(frozen=True)
class Stage:
    """A part of the trajectory: steps from `start` to `end`, and what happens in it."""

    name: str
    start: float
    end: float
    description: str


@dataclass(frozen=True)
class Explanation:
    """What sets the time of a setting.

    Attributes
    ----------
    setting : Setting
    regime : str
        ``lag-limited``, ``mixed``, ``match-limited`` (match and lag 1 followed together) or ``outside`` (of the law);
        in the softmax family ``pushed`` or ``amplified``.
    numbers : dict
        Plain data: terms, plateau, exponents.
    sentences : tuple of str
    stages : tuple of Stage
    trajectory : Trajectory
        Of the mean field; in the softmax family under SGD of the law.
    manifold : array, shape (n, 2), or None
        v_1 and Ω* of the slow manifold.
    """

    setting: Setting
    regime: str
    numbers: dict[str, Any]
    sentences: tuple[str, ...]
    stages: tuple[Stage, ...]
    trajectory: Trajectory
    manifold: Array | None

    @classmethod
    def of(
        cls,
        regime: str,
        numbers: dict[str, Any],
        sentences: tuple[str, ...],
        prediction: Prediction,
        method: str,
        manifold: Array | None = None,
    ) -> Self:
        """The explanation with the stages of `prediction`, made by `method`, and a sentence on the longest of them."""
        stages = _stages(prediction.trajectories[0])
        # All but the last, which ends with the run.
        slowest = max(stages[:-1] or stages, key=lambda stage: stage.end - stage.start)
        sentence = (
            f"The {method}'s slowest stage is {slowest.name}, steps {slowest.start:.0f} to {slowest.end:.0f}: "
            f"{slowest.description}."
        )
        return cls(
            prediction.setting,
            regime,
            numbers | {"slowest_stage": slowest.name},
            (*sentences, sentence),
            stages,
            prediction.trajectories[0],
            manifold,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "regime": self.regime,
            **self.numbers,
            "sentences": list(self.sentences),
            "stages": [
                {"name": stage.name, "start": stage.start, "end": stage.end, "tells": stage.description}
                for stage in self.stages
            ],
        }


def _stages(trajectory: Trajectory) -> tuple[Stage, ...]:
    """Stages of a trajectory, which its own transitions end; a stage that never ends lasts to the last step."""
    transitions, formation = trajectory.transitions()
    to_unigram = transitions[0].step
    ends = {
        "start": _settling_step(trajectory) if to_unigram is None else to_unigram,
        "plateau": formation.step,
        "escape": transitions[-1].step,
        "end": float(trajectory.steps[-1]),
    }
    stages, start = [], 0.0
    for name, step in ends.items():
        end = ends["end"] if step is None else float(step)
        if end > start:
            stages.append(Stage(name, start, end, _description(trajectory, name, start, end)))
            start = end
    return tuple(stages)


def _description(trajectory: Trajectory, name: str, start: float, end: float) -> str:
    """What the curves do between two steps."""

    def change(curve: Array) -> tuple[float, float]:
        before, after = np.interp([start, end], trajectory.steps, curve)
        return float(before), float(after)

    def from_to(curve: Array) -> str:
        return "from {:.2g} to {:.2g}".format(*change(curve))

    nearest = min(STRATEGIES, key=lambda strategy: trajectory.distances[strategy][-1])
    what = {
        "start": f"the distance to unigram goes {from_to(trajectory.distances['unigram'])} nats",
        "plateau": f"lag 1's share of attention goes {from_to(trajectory.attention[:, 0, 1])}",
        "escape": f"the distance to bigram goes {from_to(trajectory.distances['bigram'])} nats",
        "end": f"nearest to {nearest} at last",
    }[name]
    fall = trajectory.loss[0] - trajectory.loss[-1]
    before, after = change(trajectory.loss)
    share = f"{100 * (before - after) / fall:.0f}% of its whole fall" if fall > 0 else f"{before - after:.2g} nats"
    return f"{what}, and the loss falls by {share}"


def _settling_step(trajectory: Trajectory) -> float:
    """First step at which the distance to unigram has covered `SETTLED` of its way down to its least value."""
    distance = trajectory.distances["unigram"]
    low = distance.min()
    return float(trajectory.steps[int(np.argmax(distance <= low + (1 - SETTLED) * (distance[0] - low)))])

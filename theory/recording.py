"""Records along training, predicted or observed: what is measured, the curve it makes, and when a run has ended.

Losses are in nats per token, time in optimiser steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from onset.theory.arrays import Array
from onset.theory.estimates import SEEDS
from onset.theory.tasks import Task
from onset.theory.training import Training
from onset.theory.transitions import (
    FORMATION_LEVEL,
    Transition,
    TransitionSource,
    combine,
    passed_transitions,
    read_transitions,
)

__all__ = ["DIVERGENCE", "MARGIN", "Measurement", "Progress", "Recorder", "Trajectory", "combined", "no_progress"]

MARGIN = 1.25
"""A run ends when it is this many times past its last transition."""

PATIENCE = 1.5
"""A transition's pace is taken from the records since the last step divided by this."""

PACE_RECORDS = 8
"""Fewest records that a pace is taken from."""

DIVERGENCE = 10.0
"""A loss this many times above both its start and the logarithm of the vocabulary counts as diverged."""

Progress = Callable[[int, int], None]
"""Called with the step reached and the longest run's last step."""


def no_progress(step: int, steps: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Measurement:
    """A record of a model at one step.

    Attributes
    ----------
    loss : float
        Averaged over the scored positions.
    distances : dict of strategy to float
        KL(strategy ‖ model), averaged likewise, in the expected order of the strategies.
    attention : array, shape (heads, lags)
        Layer-1 attention of the last position on each lag.
    excess : dict of strategy to (float, float)
        For trained models: loss minus the strategy's loss on the same sequences, and its standard error.
    probes : dict of name to array
        For trained models: further quantities (`onset.validate.store.probes`).
    """

    loss: float
    distances: dict[str, float]
    attention: Array
    excess: dict[str, tuple[float, float]] = field(default_factory=dict)
    probes: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Trajectory(TransitionSource):
    """A model along training, predicted or observed.

    Attributes
    ----------
    steps : array, shape (n,)
        Recorded optimiser steps.
    loss : array, shape (n,)
        Nats per token.
    distances : dict of strategy to array, shape (n,)
        KL(strategy ‖ model), nats per token, averaged over positions.
    attention : array, shape (n, heads, lags)
        Layer-1 attention of the last position on each lag.
    parameters : dict of name to array, shape (n,)
        Order parameters: the reduced coordinates of a toy model.
    excess : dict of strategy to array, shape (n, 2)
        For trained models: loss minus the strategy's loss on the same held-out sequences, and its standard error.
    probes : dict of name to array, shape (n, ...)
        For trained models: further quantities (`onset.validate.store.probes`).
    diverged : int or None
        Step at which the run diverged; earlier records are kept.
    lags : tuple of int
        Lags that need a head.
    weights : dict of name to array
        For trained transformers that did not diverge: parameters at the last record, in single precision.
    """

    steps: Array
    loss: Array
    distances: dict[str, Array]
    attention: Array
    parameters: dict[str, Array] = field(default_factory=dict)
    excess: dict[str, Array] = field(default_factory=dict)
    probes: dict[str, Array] = field(default_factory=dict)
    diverged: int | None = None
    lags: tuple[int, ...] = (1,)
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        transitions, formations = read_transitions(self.steps, self.distances, self.attention, level, lags=self.lags)
        return [self._explained(t) for t in transitions], [self._explained(t) for t in formations]

    def _explained(self, transition: Transition) -> Transition:
        if self.diverged is None or transition.step is not None:
            return transition
        return replace(transition, reason=f"diverged at step {self.diverged}; lower the learning rate")


def combined(
    trajectories: Sequence[Trajectory], level: float, kind: str = SEEDS
) -> tuple[list[Transition], list[Transition]]:
    """Transitions and formations, combined over independent trajectories: seeds, or replicates of a prediction."""
    transitions, formations = zip(*(trajectory.read(level) for trajectory in trajectories), strict=True)
    between, formed = (
        [combine(curves, kind) for curves in zip(*group, strict=True)] for group in (transitions, formations)
    )
    return between, formed


class Recorder:
    """Collects measurements, and says when a run is well past its last transition or has diverged."""

    def __init__(self, task: Task, training: Training) -> None:
        self._task, self._training = task, training
        self._highest = np.log(task.vocabulary)
        self._steps: list[float] = []
        self._measurements: list[Measurement] = []
        self._points: list[Array] = []
        self.names: tuple[str, ...] = ()
        """Names of the order parameters."""

    def add(
        self, step: float, measurement: Measurement, names: tuple[str, ...] = (), point: Array | None = None
    ) -> None:
        """Record a measurement at `step`, with the values `point` of the order parameters `names`."""
        if not self._steps:
            self._highest = DIVERGENCE * max(self._highest, measurement.loss)
        self._steps.append(step)
        self._measurements.append(measurement)
        self.names = names
        self._points.append(np.array([]) if point is None else np.array(point))

    def diverges(self, loss: float) -> bool:
        """Whether `loss` is not finite, or `DIVERGENCE` times above both its start and the loss of guessing."""
        return not loss <= self._highest

    @property
    def settled(self) -> bool:
        """Whether the last record is `MARGIN` times past the transition to the last strategy and all formations.

        A transition to the last of more than three strategies that would come too late is not awaited; with ``whole``
        in the training nothing ends a run early.
        """
        if self._training.whole:
            return False
        latest = self._measurements[-1]
        passed = passed_transitions(np.array(list(latest.distances.values())), latest.attention, self._task.lags)
        last = len(latest.distances) - 2  # index of the transition to the last strategy
        if not passed[1:last].all() or not passed[last + 1 :].all():
            return False
        if not passed[last] and not self._too_slow:
            return False
        transitions, formations = self.trajectory().read(FORMATION_LEVEL)
        awaited = [*formations, transitions[last if passed[last] else last - 1]]
        return all(t.step is not None and self._steps[-1] >= MARGIN * t.step for t in awaited)

    @property
    def _too_slow(self) -> bool:
        """Whether, at its recent pace, the model is not nearest to the last of its strategies by the longest run's end.

        A model that adds up what its heads read never becomes the n-gram strategy, n > 2, and would run to the end in
        vain.
        """
        if len(self._measurements[-1].distances) <= 3:  # the transition to the last of three is always awaited
            return False
        last_two = np.array([list(m.distances.values())[-2:] for m in self._measurements])
        lead = last_two[:, 0] - last_two[:, 1]
        steps = np.array(self._steps)
        recent = steps[-1] - steps <= steps[-1] * (1 - 1 / PATIENCE)
        if recent.sum() < PACE_RECORDS or recent.all():
            return False
        pace = np.polyfit(steps[recent], lead[recent], 1)[0]
        return bool(lead[-1] + pace * (self._training.steps - steps[-1]) < 0)

    def trajectory(self, diverged: int | None = None) -> Trajectory:
        """The curve recorded so far."""
        measurements, points = self._measurements, np.array(self._points)

        def curves(kind: str) -> dict[str, Array]:
            names = getattr(measurements[0], kind)
            return {name: np.array([getattr(m, kind)[name] for m in measurements]) for name in names}

        return Trajectory(
            steps=np.array(self._steps, dtype=float),
            loss=np.array([m.loss for m in measurements]),
            distances=curves("distances"),
            attention=np.array([m.attention for m in measurements]),
            parameters={name: points[:, i] for i, name in enumerate(self.names)},
            excess=curves("excess"),
            probes=curves("probes"),
            diverged=diverged,
            lags=self._task.lags,
        )

    def arrays(self) -> dict[str, Array]:
        """All records as arrays by name, as `restore` takes them."""
        curve = self.trajectory()
        arrays = {name: getattr(curve, name) for name in ("steps", "loss", "attention")}
        arrays["points"] = np.array(self._points)
        for kind in ("distances", "excess", "probes"):
            arrays |= {f"{kind}.{name}": values for name, values in getattr(curve, kind).items()}
        return arrays

    def restore(self, arrays: Mapping[str, Array], names: tuple[str, ...]) -> None:
        """Record again what `arrays` returned."""
        named: dict[str, dict[str, Array]] = {"distances": {}, "excess": {}, "probes": {}}
        for key, values in arrays.items():
            kind, _, name = key.partition(".")
            if name:
                named[kind][name] = values
        for n, step in enumerate(arrays["steps"]):
            measurement = Measurement(
                float(arrays["loss"][n]),
                {name: float(named["distances"][name][n]) for name in self._task.strategies},
                arrays["attention"][n],
                {name: (float(values[n][0]), float(values[n][1])) for name, values in named["excess"].items()},
                {name: values[n] for name, values in named["probes"].items()},
            )
            self.add(float(step), measurement, names, arrays["points"][n])

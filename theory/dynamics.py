r"""Gradient descent, Adam and gradient flow on the few coordinates that training moves.

If prior and initialisation are exchangeable under relabelling of the states, population gradient descent keeps every
k × k matrix in span{I, 11ᵀ}. Its coordinates here are the values of its two orbits of entries, diagonal and off the
diagonal; a lag logit is an orbit of one. All entries of an orbit share one gradient, the derivative of the loss with
respect to the shared value divided by the number of entries, so an optimiser that acts entry by entry acts on orbits
unchanged. (This is the projection G = a·11ᵀ + b·I written in the orbits' basis: a is the off-diagonal entry, a + b the diagonal one.)

Time is in optimiser *steps*; `flow` integrates dθ/dstep = -η ∂L/∂θ with each group's own rate η, so its time is in steps too.
Losses are in nats per token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.integrate import solve_ivp

from theory.chains import Array
from theory.setting import Optimizer, Setting
from theory.transitions import FORMATION_LEVEL, Transition, read_off

__all__ = ["Dynamics", "Gradient", "Layout", "Measurement", "Trajectory", "descend", "flow"]

MARGIN = 1.25
"""A run ends when it is this many times past its last transition."""


@dataclass(frozen=True)
class Layout:
    """The reduced coordinates of a toy family: name, optimiser group, number of tied entries and start of each.

    The order is match (diagonal, off-diagonal), then for the softmax family readout (likewise), then the lag logits v_0, v_1, ….
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    entries: Array
    start: Array

    @classmethod
    def of(cls, setting: Setting, lags: int) -> Layout:
        """Coordinates of `setting`'s family with the first `lags` lag logits."""
        matrices = [group for group in ("match", "readout") if group in setting.initialization]
        names = [f"{group}.{orbit}" for group in matrices for orbit in ("diagonal", "off_diagonal")]
        groups = [group for group in matrices for _ in range(2)] + ["lag_logits"] * lags
        k = setting.states
        entries = [k, k * (k - 1)] * len(matrices) + [1] * lags
        start = [setting.initialization[group] for group in groups]
        return cls((*names, *(f"lag_logits.{r}" for r in range(lags))), tuple(groups), np.array(entries, dtype=float), np.array(start, dtype=float))

    @property
    def lags(self) -> slice:
        """Where the lag logits are."""
        return slice(self.groups.index("lag_logits"), None)

    def rates(self, optimizer: Optimizer) -> Array:
        return np.array([optimizer.learning_rate[group] for group in self.groups])


@dataclass(frozen=True)
class Gradient:
    """Loss (nats per token), its derivative by each coordinate, shape (n,), and `variance`, shape (n,): the variance over
    training sequences of the gradient of one *entry* of each orbit (zero where the theory neglects it)."""

    loss: float
    derivative: Array
    variance: Array | float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What is recorded of a model: loss, KL(strategy ‖ model) per strategy (both nats per token, averaged over
    positions), and layer-1 attention of the last position on each lag, shape (lags,)."""

    loss: float
    distances: dict[str, float]
    attention: Array


class Dynamics(Protocol):
    """A population loss in reduced coordinates: mean field (`theory.linear`, `theory.softmax`) or finite context (`simulate.reduced`)."""

    layout: Layout

    def gradient(self, point: Array, step: int) -> Gradient: ...
    def measure(self, point: Array) -> Measurement: ...


@dataclass(frozen=True)
class Trajectory:
    """A model along training, predicted or observed.

    Attributes
    ----------
    steps : array, shape (n,)
        Recorded optimiser steps.
    loss : array, shape (n,)
        Nats per token.
    distances : dict of strategy to array, shape (n,)
        KL(strategy ‖ model), nats per token, averaged over positions.
    attention : array, shape (n, lags)
        Layer-1 attention of the last position on each lag.
    parameters : dict of name to array, shape (n,)
        Order parameters: the reduced coordinates, or what a trained model reports in their place.
    diverged : int or None
        The step at which a value stopped being finite; what came before it is kept.
    """

    steps: Array
    loss: Array
    distances: dict[str, Array]
    attention: Array
    parameters: dict[str, Array] = field(default_factory=dict)
    diverged: int | None = None

    def transitions(self, level: float = FORMATION_LEVEL) -> tuple[list[Transition], Transition]:
        """Transitions between successive strategies, and formation of the previous-token head."""
        return read_off(self.steps, self.distances, self.attention[:, 1], level)


class Recorder:
    """Collects measurements, and says when the last transition is far enough behind."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._steps: list[float] = []
        self._seen: list[Measurement] = []
        self._points: list[Array] = []
        self._names: tuple[str, ...] = ()

    def due(self, step: int) -> bool:
        return step % self._setting.record_every == 0 or step == self._setting.steps

    def add(self, step: float, measurement: Measurement, names: tuple[str, ...] = (), point: Array | None = None) -> None:
        self._steps.append(step)
        self._seen.append(measurement)
        self._names = names
        self._points.append(np.array([]) if point is None else np.array(point))

    @property
    def settled(self) -> bool:
        """Whether the last recorded step is `MARGIN` times past both formation and the passage to bigram."""
        if len(self._steps) < 3:
            return False
        passages, formation = self.trajectory().transitions()
        last = [passages[-1].step, formation.step]
        return all(step is not None and self._steps[-1] >= MARGIN * step for step in last)

    def trajectory(self, diverged: int | None = None) -> Trajectory:
        points = np.array(self._points)
        return Trajectory(
            steps=np.array(self._steps, dtype=float),
            loss=np.array([m.loss for m in self._seen]),
            distances={name: np.array([m.distances[name] for m in self._seen]) for name in self._seen[0].distances},
            attention=np.array([m.attention for m in self._seen]),
            parameters={name: points[:, i] for i, name in enumerate(self._names)},
            diverged=diverged,
        )


Progress = Callable[[int, int], None]
"""Called with the step reached and the longest run's last step."""


def _silent(step: int, steps: int) -> None:
    pass


def descend(dynamics: Dynamics, setting: Setting, *, progress: Progress = _silent) -> Trajectory:
    r"""Follow `setting`'s optimiser, one gradient a step, until the last transition is well past or `setting.steps` is reached.

    SGD: θ ← θ - η g with g the gradient of one entry. Adam (Kingma, Ba, arXiv 1412.6980) with the *expected* second moment
    of a mini-batch gradient, E ĝ² = g² + Var/B: the mean of ĝ alone would overstate how fast noisy coordinates move.
    Range of validity: fluctuations of the parameters themselves, of relative order 1/B, are neglected.
    """
    layout, optimizer = dynamics.layout, setting.optimizer
    rates = layout.rates(optimizer)
    adam = optimizer.name != "sgd"
    point, first, second = layout.start.copy(), np.zeros(len(rates)), np.zeros(len(rates))
    recorder = Recorder(setting)
    recorder.add(0, dynamics.measure(point), layout.names, point)
    for step in range(1, setting.steps + 1):
        found = dynamics.gradient(point, step)
        entry = found.derivative / layout.entries
        if adam:
            beta1, beta2 = optimizer.betas
            first = beta1 * first + (1 - beta1) * entry
            second = beta2 * second + (1 - beta2) * (entry**2 + found.variance / setting.batch)
            unbiased = np.sqrt(second / (1 - beta2**step)) + optimizer.epsilon
            point = point - rates * (first / (1 - beta1**step)) / unbiased
        else:
            point = point - rates * entry
        if not (np.isfinite(found.loss) and np.all(np.isfinite(point))):
            return recorder.trajectory(diverged=step)
        if recorder.due(step):
            recorder.add(step, dynamics.measure(point), layout.names, point)
            progress(step, setting.steps)
            if recorder.settled:
                break
    return recorder.trajectory()


def flow(dynamics: Dynamics, setting: Setting, *, records: int = 200, rtol: float = 1e-6) -> Trajectory:
    r"""Gradient flow dθ/dstep = -η ∂L/∂θ with the rates of `setting`, by an implicit solver (cost independent of the plateau's length).

    The limit of gradient descent when η times the largest curvature is small; `theory.predict` says when it is not.
    """
    layout = dynamics.layout
    speed = -layout.rates(setting.optimizer) / layout.entries

    def velocity(_: float, point: Array) -> Array:
        return speed * dynamics.gradient(point, 0).derivative

    recorder = Recorder(setting)
    recorder.add(0, dynamics.measure(layout.start), layout.names, layout.start)
    solution = solve_ivp(velocity, (0, setting.steps), layout.start, method="LSODA", rtol=rtol, atol=1e-9, dense_output=True)
    if not solution.success:
        return recorder.trajectory(diverged=int(solution.t[-1]))
    grid = np.unique(np.concatenate([solution.t, np.linspace(0, setting.steps, records)]))[1:]
    for step in grid:
        point = solution.sol(step)
        recorder.add(step, dynamics.measure(point), layout.names, point)
        if recorder.settled:
            break
    return recorder.trajectory()

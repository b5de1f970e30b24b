r"""Gradient flow dθ/dstep = -η ∂L/∂θ of several replicates of a mean field at once, with few gradients.

All replicates are one system of equations for LSODA (Petzold, SIAM J. Sci. Stat. Comput. 4 (1983), 136-148; `scipy.integrate`), which
takes Adams' method or, where the match relaxes faster than lag logits grow, backward differences. The independent variable is a clock
of each replicate that goes with the weight of its lags: replicates that leave the plateau at different steps leave it together, and
the cost does not depend on the length of the plateau, only on the number ln T of e-folds of lag 1. Between the solver's
steps its interpolant is looked at only where a transition falls, and the run ends when all transitions are a quarter past by the clock, whose
pace grows with the lags: a quarter of the steps is never sooner.

Flow is the limit of gradient descent when η times the largest curvature is small, see `sharpness`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import LSODA
from scipy.optimize import brentq

from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Dynamics, Layout
from onset.theory.recording import DIVERGENCE, MARGIN, Measurement, Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import made

__all__ = [
    "BRIEFLY",
    "CLOSELY",
    "Alone",
    "Curves",
    "Ensemble",
    "Measured",
    "Watch",
    "flow",
    "flows",
    "scale",
    "sharpness",
]

RTOL = 3e-4
"""The solver's relative error per step; transitions are then right to one part in a thousand."""

CHUNK = 8
"""Solver's steps that are recorded together, and looked at whether they are enough."""

RECORDS = 3
"""Records per solver's step where a transition falls into one, which place it to 2e-4; otherwise its end is recorded."""

CHANGE = 1e-4
"""Of a coordinate, beside its scale, in differences of gradients."""

FAST = 2
"""Lags from 0 on whose growth may outrun the clock."""

IDLE = 10.0
"""Units of the clock that `setting.training.steps` steps take at least."""

LONGEST = 1e9
"""No clock runs as long."""


@dataclass(frozen=True)
class Measured:
    """`onset.theory.recording.Measurement` of points of several replicates: loss and distances (replicates, points), attention (…, heads, lags)."""

    loss: Array
    distances: dict[str, Array]
    attention: Array

    def at(self, replicate: int, point: int) -> Measurement:
        here = replicate, point
        distances = {name: float(distance[here]) for name, distance in self.distances.items()}
        return Measurement(float(self.loss[here]), distances, self.attention[here])

    def take(self, chosen: slice | NDArray[np.intp]) -> Measured:
        """Of some points."""
        distances = {name: distance[:, chosen] for name, distance in self.distances.items()}
        return Measured(self.loss[:, chosen], distances, self.attention[:, chosen])

    def join(self, other: Measured) -> Measured:
        """With another's points behind."""
        distances = {name: np.concatenate([d, other.distances[name]], axis=1) for name, d in self.distances.items()}
        loss, attention = ([getattr(each, name) for each in (self, other)] for name in ("loss", "attention"))
        return Measured(np.concatenate(loss, axis=1), distances, np.concatenate(attention, axis=1))

    def made(self, lags: Sequence[int]) -> NDArray[np.bool_]:
        """Transitions behind each record, shape (replicates, points, transitions), as `onset.theory.transitions.made`."""
        return made(np.stack(list(self.distances.values()), axis=-1), self.attention, lags)


class Ensemble(Protocol):
    """Replicates of one population loss, evaluated together at points (replicates, points, coordinates)."""

    layout: Layout

    @property
    def replicates(self) -> int: ...
    def derivatives(self, points: Array) -> Array: ...
    def measures(self, points: Array) -> Measured: ...


class Alone:
    """One `Dynamics` as an ensemble."""

    replicates = 1

    def __init__(self, dynamics: Dynamics) -> None:
        self.layout, self._dynamics = dynamics.layout, dynamics

    def derivatives(self, points: Array) -> Array:
        return np.array([[self._dynamics.gradient(point, 0).derivative for point in points[0]]])

    def measures(self, points: Array) -> Measured:
        seen = [self._dynamics.measure(point) for point in points[0]]
        distances = {name: np.array([[m.distances[name] for m in seen]]) for name in seen[0].distances}
        return Measured(np.array([[m.loss for m in seen]]), distances, np.array([[m.attention for m in seen]]))


class Watch(NamedTuple):
    """How closely a run is looked at, a record costing as much as a gradient.

    Attributes
    ----------
    sparse : int
        Of so many points one is recorded where no transition falls; there, all are.
    past : float
        Times the clock of the last transition at which the run is done.
    """

    sparse: int
    past: float


BRIEFLY, CLOSELY = Watch(sparse=2, past=MARGIN), Watch(sparse=1, past=1.5)


class Curves:
    """Records of an ensemble along training, and whether they say that it is done.

    All replicates are recorded at the same values of a clock, increasing, and each at a step of its own, up to `setting.training.steps`.
    """

    def __init__(self, ensemble: Ensemble, setting: Setting, watch: Watch = BRIEFLY) -> None:
        self._ensemble, self._layout, self._last = ensemble, ensemble.layout, setting.training.steps
        self._watch = watch
        start = np.tile(self._layout.start, (ensemble.replicates, 1, 1))
        self.clock, self.steps, self.points = np.zeros(1), np.zeros((len(start), 1)), start
        self.seen = ensemble.measures(start)
        self._lags = setting.task.lags
        self.passed = self.seen.made(self._lags)
        self._highest = DIVERGENCE * np.maximum(np.log(setting.task.states), self.seen.loss)
        self.diverged: list[int | None] = [None] * len(start)

    def add(self, clock: Array, steps: Array, points: Array) -> None:
        """Of points (replicates, n, coordinates) at steps (replicates, n) and clock (n,), all behind what was recorded, record the last, others one in
        `sparse`, and all around a transition."""
        chosen = np.arange(1 - len(clock), 1) % self._watch.sparse == 0
        seen = self._ensemble.measures(points[:, chosen])
        passed = np.concatenate([self.passed[:, -1:], seen.made(self._lags)], axis=1)
        eventful = np.diff(passed, axis=1).any(axis=(0, 2)) | ~(seen.loss <= self._highest).all(axis=0)
        others = ~chosen & np.asarray(eventful)[np.cumsum(chosen) - chosen]
        if others.any():
            seen = seen.join(self._ensemble.measures(points[:, others]))
            seen = seen.take(np.argsort(np.concatenate([np.flatnonzero(chosen), np.flatnonzero(others)])))
            chosen |= others
        self._keep(clock[chosen], steps[:, chosen], points[:, chosen], seen)

    def insert(self, clock: Array, steps: Array, points: Array) -> None:
        """Record all of some points between those recorded."""
        self._keep(clock, steps, points, self._ensemble.measures(points))

    def _keep(self, clock: Array, steps: Array, points: Array, seen: Measured) -> None:
        """What diverged is not kept."""
        lost = ~(seen.loss <= self._highest)
        if lost.any():
            first = np.where(lost.any(axis=1), np.argmax(lost, axis=1), lost.shape[1])
            self.diverged = [
                None if n == lost.shape[1] else int(np.ceil(own[n])) for n, own in zip(first, steps, strict=True)
            ]
            kept = slice(int(first.min()))
            clock, steps, points, seen = clock[kept], steps[:, kept], points[:, kept], seen.take(kept)
        joined = np.concatenate([self.clock, clock])
        order = np.argsort(joined, kind="stable")
        self.clock = joined[order]
        self.steps = np.concatenate([self.steps, steps], axis=1)[:, order]
        self.points = np.concatenate([self.points, points], axis=1)[:, order]
        self.passed = np.concatenate([self.passed, seen.made(self._lags)], axis=1)[:, order]
        self.seen = self.seen.join(seen).take(order)

    @property
    def enough(self) -> float:
        """The clock at which formation of all heads and the passage to the last strategy are well past in all replicates; infinite while one is not."""
        passed = np.asarray(self.passed[..., 1:].all(axis=(0, 2)))
        return self._watch.past * float(self.clock[~passed].max(initial=0.0)) if passed[-1] else np.inf

    @property
    def done(self) -> bool:
        """Diverged, or past what is `enough`."""
        return any(step is not None for step in self.diverged) or self.clock[-1] > self.enough

    def trajectories(self) -> list[Trajectory]:
        """One for each replicate."""
        at_last = np.isclose(self.steps, self._last, rtol=np.sqrt(np.finfo(float).eps))
        self.steps = np.where(at_last, self._last, self.steps)
        return [self._trajectory(r) for r in range(len(self.steps))]

    def _trajectory(self, r: int) -> Trajectory:
        kept = (self.steps[r] <= self._last) & (np.diff(self.steps[r], prepend=-1.0) > 0)
        return Trajectory(
            steps=self.steps[r, kept],
            loss=self.seen.loss[r, kept],
            distances={name: distance[r, kept] for name, distance in self.seen.distances.items()},
            attention=self.seen.attention[r, kept],
            parameters=dict(zip(self._layout.names, self.points[r, kept].T, strict=True)),
            diverged=self.diverged[r],
            lags=self._lags,
        )


def flow(dynamics: Dynamics, setting: Setting, *, rtol: float = RTOL, watch: Watch = BRIEFLY) -> Trajectory:
    """Gradient flow of one `Dynamics`, see `flows`."""
    return flows(Alone(dynamics), setting, rtol=rtol, watch=watch)[0]


def flows(ensemble: Ensemble, setting: Setting, *, rtol: float = RTOL, watch: Watch = BRIEFLY) -> list[Trajectory]:
    """Gradient flow of all replicates with the rates of `setting`, one trajectory each.

    Parameters
    ----------
    ensemble : Ensemble
    setting : Setting
        Whose optimiser's rates are taken; whatever else it does is left out.
    rtol : float
        The solver's relative error per step.
    watch : Watch
    """
    count, size = ensemble.replicates, len(ensemble.layout.start) + 1
    system = _System(ensemble, setting)
    curves = Curves(ensemble, setting, watch)
    start, atol = system.start.ravel(), np.tile(rtol * np.append(system.scale, 1 / system.idle), count)
    solver = LSODA(
        system.velocity,
        0.0,
        start,
        LONGEST,
        rtol=rtol,
        atol=atol,  # pyright: ignore[reportArgumentType]
        jac=system.jacobian,
    )

    def parts(states: Array) -> tuple[Array, Array]:
        """Steps and points of the solver's states (:, n)."""
        states = states.reshape(count, size, -1).swapaxes(1, 2)
        return states[..., -1], states[..., :-1]

    while not curves.done and curves.steps[:, -1].min() < setting.training.steps:
        known, ends, states = len(curves.clock), [float(solver.t)], [solver.y]
        paths: list[Callable[[Array], Array]] = []
        while len(ends) <= CHUNK and solver.status == "running":
            solver.step()
            ends.append(float(solver.t))
            states.append(solver.y)
            paths.append(solver.dense_output())
        if solver.status == "failed":
            curves.diverged = [int(steps[-1]) for steps in curves.steps]
            break
        reached, points = parts(np.stack(states, axis=-1))
        curves.add(np.array(ends[1:]), reached[:, 1:], points[:, 1:])
        at, passed = curves.clock[known - 1 :], curves.passed[:, known - 1 :]
        inside = [
            np.linspace(at[n], at[n + 1], RECORDS + 1)[1:-1]
            for n in np.flatnonzero(np.diff(passed, axis=1).any(axis=(0, 2)))
        ]
        for r in np.flatnonzero((reached[:, 0] < setting.training.steps) & (reached[:, -1] > setting.training.steps)):
            # The last record is at the last step.
            n = int(np.argmax(reached[r] > setting.training.steps)) - 1
            late = partial(
                lambda at, path, r: path(at)[(r + 1) * size - 1] - setting.training.steps, path=paths[n], r=r
            )
            inside.append(np.array([brentq(late, ends[n], ends[n + 1])]))
        if inside and curves.diverged.count(None) == count:
            between = [paths[int(np.searchsorted(ends, each[0])) - 1](each) for each in inside]
            curves.insert(np.concatenate(inside), *parts(np.concatenate(between, axis=-1)))
    return curves.trajectories()


class _System:
    """The equations of an ensemble, each replicate with its step as a further unknown, against its own clock.

    The clock's pace per step is that at which lag logits grow on a plateau, η_v Σ_r e^{v_r}/T while lags share little of the attention,
    and at least `idle`.
    """

    def __init__(self, ensemble: Ensemble, setting: Setting) -> None:
        layout = ensemble.layout
        self._ensemble, self._speed, self.scale = ensemble, _speed(layout, setting), scale(layout, setting)
        self.idle, self._lags, self._context = IDLE / setting.training.steps, layout.lags, setting.task.context
        self._rate = setting.training.optimizer.learning_rate["lag_logits"]
        self.start = np.tile(np.append(layout.start, 0.0), (ensemble.replicates, 1))

    def _rates(self, points: Array) -> Array:
        grown = np.exp(points[..., self._lags]).sum(axis=-1)
        rates = np.empty((*points.shape[:-1], points.shape[-1] + 1))
        rates[..., -1] = 1 / (self.idle + self._rate * grown / (self._context + grown))
        np.multiply(self._speed * rates[..., -1:], self._ensemble.derivatives(points), out=rates[..., :-1])
        return rates

    def velocity(self, _: float, flat: Array) -> Array:
        return self._rates(flat.reshape(self.start.shape)[:, None, :-1]).ravel()

    def jacobian(self, _: float, flat: Array) -> Array:
        """That of what may be fast, matrices and the first `FAST` lags: other lags move no faster than the clock, and LSODA's iteration finds them as they are."""
        points = flat.reshape(self.start.shape)[:, None, :-1]
        count, size = self.start.shape
        moved = min(self._lags.start + FAST, size - 1)
        changes = CHANGE * self.scale[:moved]
        rates = self._rates(
            points + np.concatenate([np.zeros((1, size - 1)), np.eye(moved, size - 1) * changes[:, None]])
        )
        out = np.zeros((count, size, count, size))
        for r in range(count):
            out[r, :, r, :moved] = ((rates[r, 1:] - rates[r, 0]) / changes[:, None]).T
        return out.reshape(len(flat), len(flat))


def sharpness(ensemble: Ensemble, setting: Setting, points: Array) -> Array:
    """Largest eigenvalue of η × Hessian at points (replicates, n, coordinates), of the same leading shape; gradient descent is stable below 2.

    Of use where gradients are deterministic.
    """
    layout = ensemble.layout
    root = np.sqrt(-_speed(layout, setting))
    hessians = root[:, None] * _hessians(ensemble, points, scale(layout, setting)) * root
    return np.asarray(np.linalg.eigvalsh((hessians + hessians.swapaxes(-1, -2)) / 2)[..., -1], dtype=np.float64)


def _speed(layout: Layout, setting: Setting) -> Array:
    return -layout.rates(setting) / layout.entries


def scale(layout: Layout, setting: Setting) -> Array:
    """Entries of W are of order ten over the number of tokens seen in the linear family, as on its plateau, all else of order one."""
    matrices = 10 / setting.task.context if setting.model.family == "linear" else 1.0
    return np.where(np.array(layout.groups) == "lag_logits", 1.0, matrices)


def _hessians(ensemble: Ensemble, points: Array, scale: Array) -> Array:
    """∂²L at points (replicates, n, p), shape (replicates, n, p, p), by differences."""
    replicates, count, size = points.shape
    shifts = np.concatenate([np.zeros((1, size)), CHANGE * np.diag(scale)])
    moved = ensemble.derivatives((points[:, :, None] + shifts).reshape(replicates, -1, size))
    moved = moved.reshape(replicates, count, size + 1, size)
    return ((moved[:, :, 1:] - moved[:, :, :1]) / (CHANGE * scale[:, None])).swapaxes(-1, -2)

r"""Gradient flow dθ/dstep = -η ∂L/∂θ of several replicates of a mean field at once, with few gradients.

All replicates are one system of equations for LSODA (Petzold, SIAM J. Sci. Stat. Comput. 4 (1983), 136-148;
`scipy.integrate`), which takes Adams' method or, where the match relaxes faster than lag logits grow, backward
differences. The independent variable is a clock of each replicate that goes with the weight of its lags: replicates
that leave the plateau at different steps leave it together, and the cost does not depend on the length of the plateau,
only on the number ln T of e-folds of lag 1. The solver's interpolant is only evaluated around transitions, and the run
ends when all transitions are a quarter past by the clock. Its pace grows with the lags, so a quarter of the steps is
never sooner.

Flow is the limit of gradient descent when η times the largest curvature is small, see
`onset.theory.mean_fields.stability`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import LSODA
from scipy.optimize import brentq

from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Dynamics, Layout
from onset.theory.floating import diverging
from onset.theory.recording import DIVERGENCE, MARGIN, Progress, Trajectory, no_progress
from onset.theory.training import Training
from onset.theory.transitions import passed_transitions

__all__ = [
    "DENSE",
    "SPARSE",
    "Curves",
    "Ensemble",
    "Measured",
    "Sampling",
    "SingleReplicate",
    "curvatures",
    "flow",
    "flows",
    "sharpness",
]

RTOL = 3e-4
"""The solver's relative error per step; transitions are then right to one part in a thousand."""

SOLVER_STEPS = 8
"""Solver steps between two checks whether the run is over."""

INSERTED = 3
"""Records per solver step that contains a transition, which place it to 2e-4."""

DIFFERENCE = 1e-4
"""Step of differences of gradients, in units of a coordinate's scale."""

FAST_LAGS = 2
"""Lags, from 0 on, that may grow faster than the clock."""

LEAST_CLOCK = 10.0
"""Units of the clock that a run of the longest length takes at least."""

CLOCK_END = 1e9
"""Upper bound of the clock for the solver."""


class Measured(NamedTuple):
    """Measurements of several replicates at several points each.

    Attributes
    ----------
    loss : array, shape (replicates, points)
    distances : array, shape (replicates, points, strategies)
    attention : array, shape (replicates, points, heads, lags)
    """

    loss: Array
    distances: Array
    attention: Array


class Ensemble(Protocol):
    """Replicates of one population loss, evaluated together at points (replicates, points, coordinates)."""

    layout: Layout

    @property
    def replicates(self) -> int: ...
    def derivatives(self, points: Array) -> Array: ...
    def measures(self, points: Array) -> Measured: ...


class SingleReplicate:
    """One `Dynamics` as an ensemble."""

    replicates = 1

    def __init__(self, dynamics: Dynamics) -> None:
        self.layout, self._dynamics = dynamics.layout, dynamics

    def derivatives(self, points: Array) -> Array:
        return np.array([[self._dynamics.gradient(point, 0).derivative for point in points[0]]])

    def measures(self, points: Array) -> Measured:
        measurements = [self._dynamics.measure(point) for point in points[0]]
        return Measured(
            np.array([[m.loss for m in measurements]]),
            np.array([[list(m.distances.values()) for m in measurements]]),
            np.array([[m.attention for m in measurements]]),
        )


class Sampling(NamedTuple):
    """How densely a run is recorded; a record costs as much as a gradient.

    Attributes
    ----------
    every : int
        One in this many points is recorded away from transitions; all are recorded around them.
    margin : float
        The run is over when the clock is this many times past the last transition.
    """

    every: int
    margin: float


SPARSE, DENSE = Sampling(every=2, margin=MARGIN), Sampling(every=1, margin=1.5)


class Records(NamedTuple):
    """Records of all replicates; axis 1 of each array runs over the records.

    Attributes
    ----------
    clock : array, shape (1, n)
        Shared by the replicates, increasing.
    steps : array, shape (replicates, n)
    points : array, shape (replicates, n, coordinates)
    loss, distances, attention : array
        As in `Measured`.
    passed : bool array, shape (replicates, n, transitions)
        As `onset.theory.transitions.passed_transitions` returns it.
    """

    clock: Array
    steps: Array
    points: Array
    loss: Array
    distances: Array
    attention: Array
    passed: NDArray[np.bool_]

    def take(self, chosen: slice | NDArray[np.intp]) -> Records:
        """Some of the records."""
        return Records._make(part[:, chosen] for part in self)

    def join(self, other: Records) -> Records:
        """These records and those of `other`, in the order of the clock."""
        joined = Records._make(np.concatenate(parts, axis=1) for parts in zip(self, other, strict=True))
        return joined.take(np.argsort(joined.clock[0], kind="stable"))


class Curves:
    """Records of an ensemble along training, and whether the run is over.

    All replicates are recorded at the same values of a clock, increasing, and each at its own steps.
    """

    def __init__(self, ensemble: Ensemble, training: Training, sampling: Sampling = SPARSE) -> None:
        self._ensemble, self._layout, self._last, self._sampling = ensemble, ensemble.layout, training.steps, sampling
        start = np.tile(self._layout.start, (ensemble.replicates, 1, 1))
        self.records = self._record(np.zeros(1), np.zeros((len(start), 1)), start)
        self._highest = DIVERGENCE * np.maximum(np.log(self._layout.task.vocabulary), self.records.loss)
        self.diverged: list[int | None] = [None] * len(start)

    def _record(self, clock: Array, steps: Array, points: Array) -> Records:
        loss, distances, attention = self._ensemble.measures(points)
        passed = passed_transitions(distances, attention, self._layout.task.lags)
        return Records(clock[None], steps, points, loss, distances, attention, passed)

    def add(self, clock: Array, steps: Array, points: Array) -> None:
        """Record later points: the last, others one in `Sampling.every`, and all around a transition.

        Parameters
        ----------
        clock : array, shape (n,)
        steps : array, shape (replicates, n)
        points : array, shape (replicates, n, coordinates)
        """
        due = np.arange(1 - len(clock), 1) % self._sampling.every == 0
        records = self._record(clock[due], steps[:, due], points[:, due])
        passed = np.concatenate([self.records.passed[:, -1:], records.passed], axis=1)
        eventful = np.diff(passed, axis=1).any(axis=(0, 2)) | ~(records.loss <= self._highest).all(axis=0)
        others = ~due & np.asarray(eventful)[np.cumsum(due) - due]
        if others.any():
            records = records.join(self._record(clock[others], steps[:, others], points[:, others]))
        self._keep(records)

    def insert(self, clock: Array, steps: Array, points: Array) -> None:
        """Record all of some points between earlier ones."""
        self._keep(self._record(clock, steps, points))

    def _keep(self, records: Records) -> None:
        """Add `records` up to where a replicate diverges."""
        lost = ~(records.loss <= self._highest)
        if lost.any():
            first = np.where(lost.any(axis=1), lost.argmax(axis=1), lost.shape[1])
            self.diverged = [
                None if n == lost.shape[1] else int(np.ceil(steps[n]))
                for n, steps in zip(first, records.steps, strict=True)
            ]
            records = records.take(slice(int(first.min())))
        self.records = self.records.join(records)

    @property
    def done(self) -> bool:
        """Whether a replicate diverged, or all are well past all formations and the transition to the last strategy."""
        clock, passed = self.records.clock[0], np.asarray(self.records.passed[..., 1:].all(axis=(0, 2)))
        over = bool(passed[-1]) and clock[-1] > self._sampling.margin * float(clock[~passed].max(initial=0.0))
        return over or any(step is not None for step in self.diverged)

    def trajectories(self) -> list[Trajectory]:
        """One for each replicate."""
        at_last = np.isclose(self.records.steps, self._last, rtol=np.sqrt(np.finfo(float).eps))
        all_steps = np.where(at_last, self._last, self.records.steps)
        return [self._trajectory(r, steps) for r, steps in enumerate(all_steps)]

    def _trajectory(self, r: int, steps: Array) -> Trajectory:
        kept = (steps <= self._last) & (np.diff(steps, prepend=-1.0) > 0)
        task, records = self._layout.task, self.records
        return Trajectory(
            steps=steps[kept],
            loss=records.loss[r, kept],
            distances=dict(zip(task.strategies, records.distances[r, kept].T, strict=True)),
            attention=records.attention[r, kept],
            parameters=dict(zip(self._layout.names, records.points[r, kept].T, strict=True)),
            diverged=self.diverged[r],
            lags=task.lags,
        )


def flow(
    dynamics: Dynamics,
    training: Training,
    *,
    rtol: float = RTOL,
    sampling: Sampling = SPARSE,
    progress: Progress = no_progress,
) -> Trajectory:
    """Gradient flow of one `Dynamics`, see `flows`."""
    return flows(SingleReplicate(dynamics), training, rtol=rtol, sampling=sampling, progress=progress)[0]


@diverging()
def flows(
    ensemble: Ensemble,
    training: Training,
    *,
    rtol: float = RTOL,
    sampling: Sampling = SPARSE,
    progress: Progress = no_progress,
) -> list[Trajectory]:
    """Gradient flow of all replicates, one trajectory each.

    Parameters
    ----------
    ensemble : Ensemble
    training : Training
        Gives the learning rates, what is frozen, and the longest run; the optimiser is taken as SGD.
    rtol : float
        The solver's relative error per step.
    sampling : Sampling
    progress : callable
        Called at every step of the solver.
    """
    system, curves = _ClockedFlow(ensemble, training), Curves(ensemble, training, sampling)
    count, size = system.start.shape
    solver = LSODA(
        system.velocity,
        0.0,
        system.start.ravel(),
        CLOCK_END,
        rtol=rtol,
        atol=np.tile(rtol * np.append(ensemble.layout.scale, 1 / system.idle), count),  # pyright: ignore[reportArgumentType]
        jac=system.jacobian,
    )

    def steps_and_points(states: Array) -> tuple[Array, Array]:
        """Steps and points from the solver's states (:, n)."""
        states = states.reshape(count, size, -1).swapaxes(1, 2)
        return states[..., -1], states[..., :-1]

    while not curves.done and curves.records.steps[:, -1].min() < training.steps:
        earlier, ends, states = len(curves.records.clock[0]), [float(solver.t)], [solver.y]
        paths: list[Callable[[Array], Array]] = []
        while len(ends) <= SOLVER_STEPS and solver.status == "running":
            solver.step()
            ends.append(float(solver.t))
            states.append(solver.y)
            paths.append(solver.dense_output())
            reached = int(solver.y.reshape(count, size)[:, -1].min())
            progress(min(reached, training.steps), training.steps)
        if solver.status == "failed":
            curves.diverged = [int(steps[-1]) for steps in curves.records.steps]
            break
        steps, points = steps_and_points(np.stack(states, axis=-1))
        curves.add(np.array(ends[1:]), steps[:, 1:], points[:, 1:])
        clock, passed = curves.records.clock[0, earlier - 1 :], curves.records.passed[:, earlier - 1 :]
        inserted = [
            np.linspace(clock[n], clock[n + 1], INSERTED + 1)[1:-1]
            for n in np.flatnonzero(np.diff(passed, axis=1).any(axis=(0, 2)))
        ]
        for r in np.flatnonzero((steps[:, 0] < training.steps) & (steps[:, -1] > training.steps)):
            # The last record is at the last step.
            n = int(np.argmax(steps[r] > training.steps)) - 1

            def beyond_last(
                clock: Array, path: Callable[[Array], Array] = paths[n], at: int = (r + 1) * size - 1
            ) -> Any:
                return path(clock)[at] - training.steps

            inserted.append(np.array([brentq(beyond_last, ends[n], ends[n + 1])]))
        if inserted and curves.diverged.count(None) == count:
            between = [paths[int(np.searchsorted(ends, clock[0])) - 1](clock) for clock in inserted]
            curves.insert(np.concatenate(inserted), *steps_and_points(np.concatenate(between, axis=-1)))
    return curves.trajectories()


class _ClockedFlow:
    """The equations of an ensemble against the clock, with the step of each replicate as a further unknown.

    The clock's pace per step is that at which lag logits grow on a plateau, η_v Σ_r e^{v_r}/T while lags share little
    of the attention, and at least `idle`.
    """

    def __init__(self, ensemble: Ensemble, training: Training) -> None:
        layout = ensemble.layout
        self._ensemble, self._lags, self._context = ensemble, layout.lags, layout.task.context
        self._speed, self._scale = -layout.rates(training) / layout.entries, layout.scale
        self.idle, self._rate = LEAST_CLOCK / training.steps, training.optimizer.learning_rate["lag_logits"]
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
        """Columns of what may be fast, matrices and the first `FAST_LAGS` lags.

        Other lags move no faster than the clock, and LSODA's iteration converges without their columns.
        """
        points = flat.reshape(self.start.shape)[:, None, :-1]
        count, size = self.start.shape
        moved = min(self._lags.start + FAST_LAGS, size - 1)
        changes = DIFFERENCE * self._scale[:moved]
        shifts = np.concatenate([np.zeros((1, size - 1)), np.eye(moved, size - 1) * changes[:, None]])
        rates = self._rates(points + shifts)
        out = np.zeros((count, size, count, size))
        for r in range(count):
            out[r, :, r, :moved] = ((rates[r, 1:] - rates[r, 0]) / changes[:, None]).T
        return out.reshape(len(flat), len(flat))


def curvatures(ensemble: Ensemble, points: Array) -> Array:
    """Second derivatives of the loss at points (replicates, n, coordinates), shape (replicates, n, p, p).

    By differences, so gradients have to be deterministic.
    """
    size, changes = points.shape[-1], DIFFERENCE * ensemble.layout.scale
    shifts = np.concatenate([np.zeros((1, size)), np.diag(changes)])
    gradients = ensemble.derivatives((points[:, :, None] + shifts).reshape(len(points), -1, size))
    gradients = gradients.reshape(*points.shape[:2], size + 1, size)
    hessians = (gradients[:, :, 1:] - gradients[:, :, :1]) / changes[:, None]
    return (hessians + hessians.swapaxes(-1, -2)) / 2


def sharpness(hessians: Array, layout: Layout, training: Training) -> Array:
    """Largest eigenvalue of η × Hessian for Hessians (..., p, p); gradient descent is stable below 2."""
    root = np.sqrt(layout.rates(training) / layout.entries)
    return np.asarray(np.linalg.eigvalsh(root[:, None] * hessians * root)[..., -1], dtype=np.float64)

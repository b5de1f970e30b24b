r"""Gradient descent and Adam on the few coordinates that training moves; gradient flow is in `onset.theory.flow`.

If prior and initialisation are exchangeable under relabelling of the states, population gradient descent keeps every
k × k matrix in span{I, 11ᵀ}. Its coordinates here are the values of its two orbits of entries, diagonal and off the
diagonal; a lag logit is an orbit of one. All entries of an orbit share one gradient, the derivative of the loss with
respect to the shared value divided by the number of entries, so an optimiser that acts entry by entry acts on orbits
unchanged. (This is the projection G = a·11ᵀ + b·I written in the orbits' basis: a is the off-diagonal entry, a + b the diagonal one.)

Time is in optimiser *steps*.
Losses are in nats per token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from onset.theory.chains import Array
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, ReadOff, Transition, combine, read_off

__all__ = [
    "Dynamics",
    "Gradient",
    "Layout",
    "Measurement",
    "Progress",
    "Recorder",
    "Trajectory",
    "combined",
    "descend",
    "last_attention",
]

MARGIN = 1.25
"""A run ends when it is this many times past its last transition."""


PATIENCE = 1.5
"""A passage is given up if, at its mean pace since the last step over this, it would not be made by the longest run's end."""

FEWEST = 8
"""Records that a pace is taken from."""

DIVERGENCE = 10.0
"""A loss this many times above both its start and that of guessing counts as diverged."""


@dataclass(frozen=True)
class Layout:
    """The reduced coordinates of a toy family: name, optimiser group, number of tied entries and start of each.

    The order is match (diagonal, off-diagonal), then for the softmax family readout (likewise), then the lag logits v_0, v_1, …. For chains
    of order n > 2 there are n - 1 heads: match_1, match_2, …, and all lag logits of one head after the other.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    entries: Array
    start: Array

    @classmethod
    def of(cls, setting: Setting, lags: int) -> Layout:
        """Coordinates of `setting`'s family with the first `lags` lag logits of each head."""
        heads = [""] if setting.order == 2 else [f"_{h}" for h in range(1, setting.order)]
        names: list[str] = []
        groups: list[str] = []
        for group in ("match", "readout", "lag_logits"):
            if group not in setting.initialization:
                continue
            parts = [str(r) for r in range(lags)] if group == "lag_logits" else ["diagonal", "off_diagonal"]
            for head in [""] if group == "readout" else heads:
                names += [f"{group}{head}.{part}" for part in parts]
                groups += [group] * len(parts)
        k = setting.states
        tied = {"diagonal": k, "off_diagonal": k * (k - 1)}
        return cls(
            tuple(names),
            tuple(groups),
            np.array([tied.get(name.partition(".")[2], 1) for name in names], dtype=float),
            np.array([setting.initialization[group] for group in groups], dtype=float),
        )

    @property
    def lags(self) -> slice:
        """Where the lag logits are."""
        return slice(self.groups.index("lag_logits"), None)

    def rates(self, setting: Setting) -> Array:
        """Learning rate of each coordinate, per step; zero where it is frozen."""
        rate = setting.optimizer.learning_rate
        return np.array([0.0 if group in setting.frozen else rate[group] for group in self.groups])


@dataclass(frozen=True)
class Gradient:
    """Loss (nats per token), its derivative by each coordinate, shape (n,), and `variance`, shape (n,): the variance over
    training sequences of the gradient of one *entry* of each orbit (zero where the theory neglects it)."""

    loss: float
    derivative: Array
    variance: Array | float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What is recorded of a model: loss, KL(strategy ‖ model) per strategy in the order in which they are expected (both nats
    per token, averaged over positions), layer-1 attention of the last position on each lag, shape (heads, lags), and, for trained
    models, the loss above each strategy's on the same sequences with its standard error and whatever else is looked at, by name."""

    loss: float
    distances: dict[str, float]
    attention: Array
    excess: dict[str, tuple[float, float]] = field(default_factory=dict)
    probes: dict[str, Array] = field(default_factory=dict)


def last_attention(lag_logits: Array, context: int) -> Array:
    """One head's attention of the last position on each tracked lag, shape (..., R); the other lags of `context` keep v = 0."""
    weight = np.exp(lag_logits)
    return weight / (context + (weight - 1).sum(axis=-1, keepdims=True))


class Dynamics(Protocol):
    """A population loss in reduced coordinates: mean field (`onset.theory.mean_fields.linear`, `onset.theory.mean_fields.softmax`) or finite context (`onset.simulate.reduced`)."""

    layout: Layout

    def gradient(self, point: Array, step: int) -> Gradient: ...
    def measure(self, point: Array) -> Measurement: ...


@dataclass(frozen=True)
class Trajectory(ReadOff):
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
        Order parameters: the reduced coordinates, or what a trained model reports in their place.
    excess : dict of strategy to array, shape (n, 2)
        Of trained models: loss minus the strategy's loss on the same held-out sequences, and its standard error.
    probes : dict of name to array, shape (n, ...)
        Of trained models: what else was looked at (`onset.validate.held_out.PROBES`).
    diverged : int or None
        The step at which the run diverged; what came before it is kept.
    """

    steps: Array
    loss: Array
    distances: dict[str, Array]
    attention: Array
    parameters: dict[str, Array] = field(default_factory=dict)
    excess: dict[str, Array] = field(default_factory=dict)
    probes: dict[str, Array] = field(default_factory=dict)
    diverged: int | None = None

    @classmethod
    def of(
        cls,
        steps: Sequence[float] | Array,
        seen: Sequence[Measurement],
        points: Array,
        names: Sequence[str],
        *,
        diverged: int | None = None,
    ) -> Trajectory:
        """From measurements at `steps` and points (n, p) of the parameters `names`."""
        first = seen[0]
        return cls(
            steps=np.array(steps, dtype=float),
            loss=np.array([m.loss for m in seen]),
            distances={name: np.array([m.distances[name] for m in seen]) for name in first.distances},
            attention=np.array([m.attention for m in seen]),
            parameters={name: points[:, i] for i, name in enumerate(names)},
            excess={name: np.array([m.excess[name] for m in seen]) for name in first.excess},
            probes={name: np.array([m.probes[name] for m in seen]) for name in first.probes},
            diverged=diverged,
        )

    def well_past(self, transitions: Iterable[Transition]) -> bool:
        """Whether the last record is `MARGIN` times past all of them."""
        return all(one.step is not None and self.steps[-1] >= MARGIN * one.step for one in transitions)

    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        passages, formations = read_off(self.steps, self.distances, self.attention, level)
        return [self._explained(t) for t in passages], [self._explained(t) for t in formations]

    def _explained(self, transition: Transition) -> Transition:
        if self.diverged is None or transition.step is not None:
            return transition
        return replace(transition, reason=f"diverged at step {self.diverged}; lower the learning rate")


def combined(trajectories: Sequence[Trajectory], level: float) -> tuple[list[Transition], list[Transition]]:
    """Passages and formations, combined over independent trajectories: seeds, or replicates of a prediction."""
    kinds = zip(*(one.read(level) for one in trajectories), strict=True)
    passages, formations = ([combine(each) for each in zip(*kind, strict=True)] for kind in kinds)
    return passages, formations


def _passed(measurement: Measurement) -> tuple[bool, ...]:
    """Which transitions a measurement is past: those between successive strategies, and formations."""
    near = list(measurement.distances.values())
    most = measurement.attention.max(axis=0)[1 : max(2, len(near) - 1)]
    return (*(b < a for a, b in pairwise(near)), *(most > FORMATION_LEVEL).tolist())


class Recorder:
    """Collects measurements, and says when the last transition is far enough behind or the run has diverged."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._highest = np.log(setting.states)
        self._steps: list[float] = []
        self._seen: list[Measurement] = []
        self._points: list[Array] = []
        self._names: tuple[str, ...] = ()

    def add(
        self, step: float, measurement: Measurement, names: tuple[str, ...] = (), point: Array | None = None
    ) -> None:
        if not self._steps:
            self._highest = DIVERGENCE * max(self._highest, measurement.loss)
        self._steps.append(step)
        self._seen.append(measurement)
        self._names = names
        self._points.append(np.array([]) if point is None else np.array(point))

    def diverges(self, loss: float) -> bool:
        """Whether `loss` is not finite or `DIVERGENCE` times above both its start and guessing."""
        return not loss <= self._highest

    @property
    def settled(self) -> bool:
        """Whether the last recorded step is `MARGIN` times past formation of all heads and the passage to the last strategy, or that is hopeless;
        never if the setting asks for the whole run."""
        if self._setting.whole:
            return False
        passed = _passed(self._seen[-1])
        strategies = len(self._seen[-1].distances)
        if not all(passed[1 : strategies - 2]) or not all(passed[strategies - 1 :]):
            return False
        if not passed[strategies - 2] and not self._hopeless:
            return False
        whole = self.trajectory()
        passages, formations = whole.read(FORMATION_LEVEL)
        return whole.well_past([*formations, passages[-1 if passed[strategies - 2] else -2]])

    @property
    def _hopeless(self) -> bool:
        """Whether, for chains of order n > 2, the passage to the last strategy would not be made by the longest run's end at its pace of late: a
        model that adds up what its heads say never becomes the n-gram strategy, and would run to the end for nothing."""
        if self._setting.order == 2:
            return False
        near = np.array([list(m.distances.values())[-2:] for m in self._seen])
        lead = near[:, 0] - near[:, 1]
        steps = np.array(self._steps)
        since = steps[-1] - steps
        late = since <= steps[-1] * (1 - 1 / PATIENCE)
        if late.sum() < FEWEST or late.all():
            return False
        pace = np.polyfit(steps[late], lead[late], 1)[0]
        return bool(lead[-1] + pace * (self._setting.steps - steps[-1]) < 0)

    def trajectory(self, diverged: int | None = None) -> Trajectory:
        return Trajectory.of(self._steps, self._seen, np.array(self._points), self._names, diverged=diverged)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return self._names

    def arrays(self) -> dict[str, Array]:
        """All that was recorded, as arrays by name: what `restore` takes."""
        whole = self.trajectory()
        found = {
            "steps": whole.steps,
            "loss": whole.loss,
            "attention": whole.attention,
            "points": np.array(self._points),
        }
        for kind, named in (("distances", whole.distances), ("excess", whole.excess), ("probes", whole.probes)):
            found |= {f"{kind}.{name}": values for name, values in named.items()}
        return found

    def restore(self, arrays: Mapping[str, Array], names: tuple[str, ...]) -> None:
        """Record anew what `arrays` held."""
        named: dict[str, dict[str, Array]] = {"distances": {}, "excess": {}, "probes": {}}
        for whole, values in arrays.items():
            kind, _, name = whole.partition(".")
            if name:
                named[kind][name] = values
        for n, step in enumerate(arrays["steps"]):
            measurement = Measurement(
                float(arrays["loss"][n]),
                {name: float(named["distances"][name][n]) for name in self._setting.strategies},
                arrays["attention"][n],
                {name: (float(values[n][0]), float(values[n][1])) for name, values in named["excess"].items()},
                {name: values[n] for name, values in named["probes"].items()},
            )
            self.add(float(step), measurement, names, arrays["points"][n])


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
    rates = layout.rates(setting)
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
        if recorder.diverges(found.loss) or not np.all(np.isfinite(point)):
            return recorder.trajectory(diverged=step)
        if setting.records(step):
            recorder.add(step, dynamics.measure(point), layout.names, point)
            progress(step, setting.steps)
            if recorder.settled:
                break
    return recorder.trajectory()

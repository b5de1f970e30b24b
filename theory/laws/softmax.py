r"""The plateau law of the softmax family under SGD: how many steps it waits before its head forms, and why shorter contexts wait longer.

From all-zero weights the read-out μ rises to its plateau. There neither the match ω nor the lag logits need the other to leave zero:

    dμ/dstep = (η_U/(k-1)) (-∂L₀/∂μ + ω ∂G/∂μ),    dω/dstep = (η_W/(k-1)) (G - ω K),    dv_r/dstep = η_v ω (∂G/∂v_r - ½ ω ∂K/∂v_r),

with G and K of `onset.theory.laws.expansion`, sampled at the actual context. What starts it is G at v = 0, the push g, and the kick that ω gets while μ
rises; what amplifies it is D = ∂G/∂v_1. In the frozen form of `onset.theory.derivations.softmax_law` the wait is J(g/D)/(D √(2ab)): proportional to
1/D, and to ln(D/g) where the push is small. Both g and D are of order ln²T/T at long contexts, but counts that fluctuate
together take from g, not from D: as T shrinks g changes sign, and the wait diverges before the model is trapped.

Beyond the formation of the head ω is no longer small: the rest is the mean field's (`onset.theory.mean_fields.softmax`), started where the expansion ends.

Range of validity: SGD from weights common to all entries, which is as good as zero; exchangeable prior whose plateau is not trapped; ω so small up to
formation that K changes the wait by at most `LARGEST`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations.softmax_law import wait
from onset.theory.dynamics.flow import flow
from onset.theory.dynamics.layout import last_attention
from onset.theory.laws.expansion import LAGS, Expansion, drive, expansion
from onset.theory.markov.ideal import limit_losses
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.prediction import EXCHANGEABLE_FLOW, Prediction
from onset.theory.recording import Progress, Recorder, Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["ASSUMPTIONS", "Escape", "by_escape", "escape", "exponents", "softmax_law", "trajectories_of"]

Field = SoftmaxMeanField | SoftmaxCorrected

LARGEST = 0.3
"""Largest relative change of the wait by K for which the law answers; the interval is half of it."""

SHORTEST = 16
"""Context below which a head counts as formed, or nearly so, before it has grown."""

PATIENCE = 100
"""Waits are followed up to so many times 1/(D √(ab)), the time in which small ω and v grow e-fold; a push smaller than e^-100 D would take longer."""

DOWN = -1.0
"""v_1 or ω at which the model counts as trapped: further down than any kick on the way to the plateau."""

RTOL = 1e-6
CHANGE = 1e-3
"""Relative change of a rate in central differences."""

POINTS = 120
NODES = 128

ASSUMPTIONS = (
    "loss to second order in the match, its coefficients sampled at the actual context; six lags tracked",
    "from the head's formation on the mean field, which neglects how counts fluctuate",
    EXCHANGEABLE_FLOW,
)


@dataclass(frozen=True)
class Escape:
    """How a setting leaves its plateau.

    Attributes
    ----------
    steps : float
        Until the head forms; optimiser steps.
    error : float
        Its standard error from the samples behind the coefficients, by the jackknife.
    second : float
        What K adds to the wait, steps.
    readout, match : float
        μ and ω at formation.
    push, drives : float, array of shape (R,)
        g = G and D_r = ∂G/∂v_r at v = 0 on the plateau, nats per token.
    settle : float
        Time in which μ settles, 1/((η_U/(k-1)) ∂²L₀/∂μ²), steps.
    kick : float
        What ω gains while μ rises, beyond what the push gives it in as many steps.
    frozen : float or None
        The wait by the closed form, without K and the start's steps; None where the push is downwards and only the kick leads out.
    path : array, shape (n, 3 + R)
        Steps, μ, ω and the lag logits up to formation.
    """

    steps: float
    error: float
    second: float
    readout: float
    match: float
    push: float
    drives: Array
    settle: float
    kick: float
    frozen: float | None
    path: Array

    @property
    def doubts(self) -> str:
        """What the interval of the wait consists of, in words."""
        return f"second order in the match {self.second / self.steps:.2g} of the wait, of which the interval is half; standard error {self.error:.2g} steps"


def escape(setting: Setting, *, seed: int = 0) -> Escape:
    """The wait of `setting` until its head forms.

    Raises
    ------
    ValueError
        Outside the range of validity, with the reason: trapped, not decided by the samples, match too fast, context too short.
    """
    arguments.one_of("family of the softmax plateau law", setting.model.family, ("softmax",))
    arguments.one_of("optimizer of the softmax plateau law", setting.training.optimizer.name, ("sgd",))
    setting.task.require_first_order("the plateau law")
    if setting.task.context < SHORTEST:
        raise ValueError(
            f"context = {setting.task.context}: expected at least {SHORTEST} for the softmax plateau law; use the finite context."
        )
    whole, *others = expansion(setting.task.prior, setting.task.context, seed)
    rates = _rates(setting)
    path = follow(whole, setting.task.context, rates)
    left = [follow(one, setting.task.context, rates) for one in others]
    table, _, _, _ = whole.at(whole.readout)
    push, drives = drive(table, np.zeros(LAGS))
    pushes = np.array([drive(one.at(one.readout)[0], np.zeros(LAGS))[0] for one in others])
    deviation = float(np.sqrt((len(pushes) - 1) * pushes.var()))
    if path is None:
        told = f"the match's push on the plateau is {push:.2g} ± {deviation:.1g} nats per token"
        raise ValueError(
            f"setting {setting.label}: trapped on the plateau, where lag 1 loses its attention ({told}); expected a push upwards. `onset.theory.laws.basins.escapes` says where it goes; take a longer context."
        )
    if any(one is None for one in left):
        raise ValueError(
            f"setting {setting.label}: whether the plateau is left is not decided by the samples (push {push:.2g} ± {deviation:.1g} nats per token); expected a clear sign; use the finite context."
        )
    steps = float(path[-1, 0])
    spread = np.array([float(one[-1, 0]) for one in left if one is not None])
    without = follow(whole, setting.task.context, rates, bent=False)
    second = np.inf if without is None else steps - float(without[-1, 0])
    if not abs(second) <= LARGEST * steps:
        raise ValueError(
            f"setting {setting.label}: the match grows too far before the lags for the plateau law, its second order being {second / steps:.2g} of the wait: expected at most {LARGEST:g}; use the finite context, or a lower rate of the match."
        )
    settle, kick = _rise(whole, rates)
    frozen = None
    if push > 0:
        reached = float(path[-1, 4])
        frozen = float(wait(rates[1], rates[2], float(drives[1]), push / float(drives[1]), kick, reached))
    error = float(np.sqrt((len(spread) - 1) * spread.var()))
    readout, match = float(path[-1, 1]), float(path[-1, 2])
    return Escape(steps, error, second, readout, match, push, drives, settle, kick, frozen, path)


def softmax_law(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Predict from the plateau law of the softmax family.

    The interval of the wait is half of what its second order adds and two standard errors; that of the rest of the way twice the order ln²T/T of
    what the mean field neglects there.

    Parameters
    ----------
    setting : Setting
        Of the softmax family under SGD.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    found = escape(setting, seed=seed)
    progress(1, 2)
    predicted = by_escape(setting, found, seed=seed)
    progress(2, 2)
    return predicted


def by_escape(setting: Setting, found: Escape, *, seed: int = 0) -> Prediction:
    """The same, from what `escape` found."""
    field = SoftmaxMeanField.of(setting, lags=LAGS, count=NODES, generator=np.random.default_rng(seed))
    neglected = 2 * np.log(setting.task.context) ** 2 / setting.task.context
    trajectories = trajectories_of(setting, found, field, neglected)
    return Prediction(
        setting,
        "law",
        trajectories,
        limit_losses(setting.task.prior),
        ASSUMPTIONS,
        (
            found.doubts,
            f"beyond formation the mean field neglects terms of relative order ln²T/T = {neglected / 2:.2g}",
        ),
        bounds=True,
    )


def exponents(setting: Setting, *, seed: int = 0) -> dict[str, float]:
    """d ln t/d ln x of the frozen closed form, by the name of a scan's axis: its rates, at which the kick moves too; they sum to -1.

    Raises
    ------
    ValueError
        As `escape`, or where the closed form has no answer.
    """
    found, rates = escape(setting, seed=seed), _rates(setting)
    if found.frozen is None:
        raise ValueError(
            f"setting {setting.label}: expected a push upwards for the closed form, but it is {found.push:.2g}; take a longer context."
        )
    gain, to = float(found.drives[1]), float(found.path[-1, 4])

    def logarithm(factors: Array) -> float:
        moved = rates * factors
        kick = found.kick * factors[1] / factors[0]
        return float(np.log(wait(moved[1], moved[2], gain, found.push / gain, kick, to)))

    names = ("learning-rate.readout", "learning-rate.match", "learning-rate.lag_logits")
    up, down = (1 + sign * CHANGE * np.eye(3) for sign in (1, -1))
    slopes = [
        (logarithm(u) - logarithm(d)) / np.log((1 + CHANGE) / (1 - CHANGE)) for u, d in zip(up, down, strict=True)
    ]
    return dict(zip(names, slopes, strict=True)) | {"learning-rate": sum(slopes), "batch": 0.0}


def trajectories_of(
    setting: Setting, found: Escape, field: Field, neglected: float, *, points: int = POINTS
) -> tuple[Trajectory, Trajectory, Trajectory]:
    """The wait and the rest by `field`, started where the head has formed; the earliest and the latest, the rest uncertain by a share `neglected`.

    `points` of the wait are measured.
    """
    waited = _measured(found.path, setting, field, points)
    field.layout = replace(field.layout, start=_point(found.path[-1, 1:], setting.task.states))
    rest = flow(field, setting.training)
    doubt = abs(found.second) / 2 + 2 * found.error
    ends = [
        _joined(
            replace(waited, steps=waited.steps * (1 + sign * doubt / found.steps)),
            replace(rest, steps=rest.steps * (1 + sign * neglected)),
            found.steps + sign * doubt,
        )
        for sign in (-1, 1)
    ]
    return _joined(waited, rest, found.steps), ends[0], ends[1]


def _rates(setting: Setting) -> Array:
    """Speeds of μ, ω and the lag logits per unit of slope: the orbits of a k × k matrix share k - 1 of it."""
    rate, k = setting.training.optimizer.learning_rate, setting.task.states
    return np.array([rate["readout"] / (k - 1), rate["match"] / (k - 1), rate["lag_logits"]])


def _velocity(found: Expansion, rates: Array, *, bent: bool = True) -> Callable[[Any, Array], Array]:
    """d(μ, ω, v)/dstep; without K unless `bent`."""
    slope = found.curvature.deriv()

    def velocity(_: Any, state: Array) -> Array:
        readout, match, lag_logits = float(state[0]), float(state[1]), state[2:]
        table, by_readout, rise, level = found.at(readout)
        push, along = drive(table, lag_logits)
        change, _ = drive(by_readout, lag_logits)
        pulls, bend = np.asarray(match * along), 0.0
        if bent:
            at = float(np.clip(lag_logits[1], 0.0, found.farthest))
            bend = level * float(found.curvature(at))
            pulls[1] -= match**2 / 2 * level * float(slope(at))
        return np.concatenate(
            [[rates[0] * (match * change - rise), rates[1] * (push - match * bend)], rates[2] * pulls]
        )

    return velocity


def follow(found: Expansion, context: int, rates: Array, *, bent: bool = True) -> Array | None:
    """Steps, μ, ω, v from zero to formation, shape (n, 3 + R), or None if ω or lag 1 goes down."""

    def formed(_: float, state: Array) -> float:
        return float(last_attention(state[2:], context)[1]) - FORMATION_LEVEL

    def falls(_: float, state: Array) -> float:
        return min(state[1], state[3]) - DOWN

    formed.terminal = falls.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    _, gain = drive(found.at(found.readout)[0], np.zeros(LAGS))
    longest = PATIENCE / (gain[1] * np.sqrt(rates[1] * rates[2]))
    velocity, start = _velocity(found, rates, bent=bent), np.zeros(2 + LAGS)
    way = solve_ivp(velocity, (0, longest), start, method="LSODA", rtol=RTOL, atol=RTOL**1.5, events=[formed, falls])
    return np.column_stack([way.t, way.y.T]) if len(way.t_events[0]) else None


def _rise(found: Expansion, rates: Array) -> tuple[float, float]:
    """Steps in which μ settles, and the kick to ω: ∫ (g(μ) - g(μ*)) (η_W/(k-1)) dstep."""
    h = 1e-4 * found.readout
    settle = 2 * h / (rates[0] * (found.at(found.readout + h)[2] - found.at(found.readout - h)[2]))
    last, _ = drive(found.at(found.readout)[0], np.zeros(LAGS))

    def velocity(_: Any, state: Array) -> Array:
        table, _, rise, _ = found.at(float(state[0]))
        return np.array([-rates[0] * rise, rates[1] * (drive(table, np.zeros(LAGS))[0] - last)])

    way = solve_ivp(velocity, (0, 30 * settle), np.zeros(2), method="LSODA", rtol=RTOL, atol=RTOL**1.5)
    return settle, float(way.y[1, -1])


def _point(state: Array, states: int) -> Array:
    """The reduced coordinates: all matrices sum to zero in every row, as they do from zero."""
    readout, match = state[0], state[1]
    shares = np.array([1 - 1 / states, -1 / states])
    return np.concatenate([match * shares, readout * shares, state[2:]])


def _measured(path: Array, setting: Setting, field: Field, points: int) -> Trajectory:
    """The wait as a trajectory."""
    chosen = path[np.unique(np.linspace(0, len(path) - 1, points).astype(int))]
    recorder = Recorder(setting.task, setting.training)
    for step, *state in chosen:
        point = _point(np.array(state), setting.task.states)
        recorder.add(step, field.measure(point), field.layout.names, point)
    return recorder.trajectory()


def _joined(waited: Trajectory, rest: Trajectory, start: float) -> Trajectory:
    """One after the other; what both hold of the step between them, once."""

    def both(first: dict[str, Array], then: dict[str, Array]) -> dict[str, Array]:
        return {name: np.concatenate([first[name], then[name][1:]]) for name in first}

    return Trajectory(
        steps=np.concatenate([waited.steps, start + rest.steps[1:]]),
        loss=np.concatenate([waited.loss, rest.loss[1:]]),
        distances=both(waited.distances, rest.distances),
        attention=np.concatenate([waited.attention, rest.attention[1:]]),
        parameters=both(waited.parameters, rest.parameters),
    )

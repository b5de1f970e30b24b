r"""The plateau law of the softmax family under SGD: the steps until its head forms, more at shorter contexts.

From all-zero weights the read-out μ rises to its plateau. There neither the match ω nor the lag logits need the other
to leave zero:

    dμ/dstep = (η_U/(k-1)) (-∂L₀/∂μ + ω ∂G/∂μ),    dω/dstep = (η_W/(k-1)) (G - ω K),
    dv_r/dstep = η_v ω (∂G/∂v_r - ½ ω ∂K/∂v_r),

with G and K of `onset.theory.laws.expansion`, sampled at the actual context. The growth starts from G at v = 0, the
push g, and from the kick that ω gets while μ rises; D = ∂G/∂v_1 amplifies it. In the frozen form of
`onset.theory.derivations.softmax_law` the wait is J(g/D)/(D √(2ab)): proportional to 1/D, and to ln(D/g) where the push
is small. Both g and D are of order ln²T/T at long contexts, but counts that fluctuate together reduce g, not D: as T
shrinks g changes sign, and the wait diverges before the model is trapped.

Beyond the formation of the head ω is no longer small: the rest is the mean field's
(`onset.theory.mean_fields.softmax`), started where the expansion ends.

Range of validity: SGD from weights common to all entries, which is equivalent to zero; exchangeable prior whose plateau
is not trapped; ω so small up to formation that K changes the wait by less than all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from onset.theory import arguments, randomness
from onset.theory.arrays import Array
from onset.theory.derivations.softmax_law import wait
from onset.theory.dynamics.flow import flow
from onset.theory.dynamics.layout import last_attention
from onset.theory.estimates import RelativeError
from onset.theory.laws.expansion import GROUPS, LAGS, Expansion, drive, expansion
from onset.theory.laws.law import Law
from onset.theory.markov.ideal import limit_losses
from onset.theory.markov.task import require_first_order
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.prediction import EXCHANGEABLE_FLOW, Prediction, change, require_smaller
from onset.theory.recording import Progress, Recorder, Trajectory, no_progress
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["ASSUMPTIONS", "LAW", "Escape", "escape", "exponents", "predict", "predict_from_escape", "trajectories"]

LONGEST_WAIT = 100
"""Longest wait in units of 1/(D √(ab)), in which small ω and v grow e-fold; a push below e^-100 D takes longer."""

TRAPPED_BELOW = -1.0
"""v_1 or ω at which the model counts as trapped: lower than any kick on the way to the plateau."""

RTOL = 1e-6
"""Relative tolerance of the ODE; its absolute tolerance is the power 3/2, of match and lags times g/D where g < D."""

DIFFERENCE = 1e-3
"""Relative change of a rate in central differences."""

CURVE_POINTS = 120
"""Points of the predicted curves during the wait."""

PRIOR_NODES = 128
"""Matrices that stand for the prior after formation."""

ASSUMPTIONS = (
    "loss to second order in the match, its coefficients sampled at the actual context; six lags tracked",
    "from the head's formation on the mean field, which neglects how counts fluctuate",
    EXCHANGEABLE_FLOW,
)


@dataclass(frozen=True)
class Escape:
    """The way of a setting from its start to the formation of its head.

    Attributes
    ----------
    steps : float
        Until the head forms; optimiser steps.
    error : float
        Its standard error from the samples behind the coefficients, by the jackknife.
    second : float
        Change of the wait by K, steps.
    readout, match : float
        μ and ω at formation.
    push, drives : float, array of shape (R,)
        g = G and D_r = ∂G/∂v_r at v = 0 on the plateau, nats per token.
    settle : float
        Time in which μ settles, 1/((η_U/(k-1)) ∂²L₀/∂μ²), steps.
    kick : float
        Gain of ω while μ rises, beyond that from the push in as many steps.
    frozen : float or None
        The wait by the closed form, without K and the start's steps; None where the push is downwards and only the kick
        makes the head form.
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
    def uncertainty(self) -> str:
        """Parts of the interval of the wait, as a sentence."""
        return (
            f"second order in the match {self.second / self.steps:.2g} of the wait, the size of what is neglected; "
            f"standard error {self.error:.2g} steps"
        )

    @property
    def relative_error(self) -> RelativeError:
        """Of the wait, by the jackknife over groups of samples."""
        return RelativeError(self.error / self.steps, GROUPS - 1)


def predict(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the plateau law of the softmax family.

    Neglected are the third order in the match, of which the second is the size, and after formation twice the order
    ln²T/T of the terms that the mean field neglects there.

    Parameters
    ----------
    setting : Setting
        Of the softmax family under SGD.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    wait_until_formed = escape(setting, seed=seed)
    progress(1, 2)
    prediction = predict_from_escape(setting, wait_until_formed, seed=seed)
    progress(2, 2)
    return prediction


LAW = Law(
    predict,
    ASSUMPTIONS,
    f"a context above {1 / FORMATION_LEVEL:g}, so that heads are not formed at the start; an exchangeable prior whose "
    "plateau is not trapped; a match so small up to formation that its second order changes the wait by less than all",
)


def predict_from_escape(setting: Setting, escaped: Escape, *, seed: int = 0) -> Prediction:
    """The prediction whose wait `escape` computed."""
    task = setting.task
    field = SoftmaxMeanField.of(setting, lags=LAGS, count=PRIOR_NODES, generator=randomness.generator(seed))
    neglected = 2 * np.log(task.context) ** 2 / task.context
    validity = (
        escaped.uncertainty,
        f"beyond formation the mean field neglects terms of relative order ln²T/T = {neglected / 2:.2g}",
    )
    predicted, bounds = trajectories(setting, escaped, field, neglected)
    losses = limit_losses(task.prior)
    return Prediction(setting, "law", (predicted,), losses, ASSUMPTIONS, validity, bounds, escaped.relative_error)


def escape(setting: Setting, *, seed: int = 0) -> Escape:
    """The wait of `setting` until its head forms.

    Raises
    ------
    ValueError
        Outside the range of validity, with the reason: trapped, not decided by the samples, match too fast, context too
        short.
    """
    arguments.one_of("family of the softmax plateau law", setting.model.family, ("softmax",))
    arguments.one_of("optimizer of the softmax plateau law", setting.training.optimizer.name, ("sgd",))
    require_first_order(setting.task, "the plateau law")
    setting.training.require_all_trained("the plateau law")
    context, rates = setting.task.context, _rates(setting)
    if context * FORMATION_LEVEL <= 1:
        raise ValueError(
            f"context = {context}: expected more than {1 / FORMATION_LEVEL:g} for the softmax plateau law, as a head "
            "counts as formed at the start; use the finite context."
        )
    full, *partial = expansion(setting.task.prior, context, seed)
    path = follow(full, context, rates)
    push, drives = full.plateau_drive
    push_error = _jackknife_error([part.plateau_drive[0] for part in partial])
    if path is None:
        raise ValueError(
            f"setting {setting.label}: trapped on the plateau, where lag 1 loses its attention (the match's push on "
            f"the plateau is {push:.2g} ± {push_error:.1g} nats per token); expected a push upwards. "
            "`onset.theory.laws.basins.escapes` says where it goes; take a longer context."
        )
    waits = [float(run[-1, 0]) for part in partial if (run := follow(part, context, rates)) is not None]
    if len(waits) < len(partial):
        raise ValueError(
            f"setting {setting.label}: whether the plateau is left is not decided by the samples (push {push:.2g} ± "
            f"{push_error:.1g} nats per token); expected a clear sign; use the finite context."
        )
    steps = float(path[-1, 0])
    without = follow(full, context, rates, second_order=False)
    first_order = None if without is None else float(without[-1, 0])
    too_fast = "the match grows too far before the lags for the plateau law: what its second order changes"
    require_smaller(
        setting, too_fast, change(first_order, steps), "use the finite context, or a lower rate of the match"
    )
    second = steps - (first_order or steps)
    settle, kick = _rise(full, rates)
    frozen = None
    if push > 0:
        frozen = float(wait(rates[1], rates[2], float(drives[1]), push / float(drives[1]), kick, float(path[-1, 4])))
    readout, match = float(path[-1, 1]), float(path[-1, 2])
    return Escape(steps, _jackknife_error(waits), second, readout, match, push, drives, settle, kick, frozen, path)


def exponents(setting: Setting, *, seed: int = 0) -> dict[str, float]:
    """d ln t/d ln x of the frozen closed form for every learning rate x, by the name of a scan's axis; they sum to -1.

    The kick changes with the rates too.

    Raises
    ------
    ValueError
        As `escape`, or where the closed form has no answer.
    """
    escaped, rates = escape(setting, seed=seed), _rates(setting)
    if escaped.frozen is None:
        raise ValueError(
            f"setting {setting.label}: expected a push upwards for the closed form, but it is {escaped.push:.2g}; take "
            "a longer context."
        )
    gain, end = float(escaped.drives[1]), float(escaped.path[-1, 4])

    def log_wait(factors: Array) -> float:
        _, match, lag_logits = rates * factors
        kick = escaped.kick * factors[1] / factors[0]
        return float(np.log(wait(match, lag_logits, gain, escaped.push / gain, kick, end)))

    result = {}
    for unit, group in zip(np.eye(3), ("readout", "match", "lag_logits"), strict=True):
        change = log_wait(1 + DIFFERENCE * unit) - log_wait(1 - DIFFERENCE * unit)
        result[f"learning-rate.{group}"] = change / np.log((1 + DIFFERENCE) / (1 - DIFFERENCE))
    return result | {"learning-rate": sum(result.values()), "batch": 0.0}


def trajectories(
    setting: Setting,
    escaped: Escape,
    field: SoftmaxMeanField | SoftmaxCorrected,
    neglected: float,
    *,
    points: int = CURVE_POINTS,
) -> tuple[Trajectory, dict[str, tuple[Trajectory, Trajectory]]]:
    """The wait, then `field` from the formed head on; and by neglected term the earliest and the latest trajectory.

    Parameters
    ----------
    setting : Setting
    escaped : Escape
    field : SoftmaxMeanField or SoftmaxCorrected
    neglected : float
        Relative uncertainty of the steps after formation.
    points : int
        Measured points of the wait.
    """
    chosen = escaped.path[np.unique(np.linspace(0, len(escaped.path) - 1, points).astype(int))]
    recorder = Recorder(setting.task, setting.training)
    for row in chosen:
        point = _coordinates(row[1:], setting.task.states)
        recorder.add(row[0], field.measure(point), field.layout.names, point)
    waiting = recorder.trajectory()
    field.layout = replace(field.layout, start=_coordinates(escaped.path[-1, 1:], setting.task.states))
    rest = flow(field, setting.training)

    def joined(wait: float, after: float) -> Trajectory:
        """The trajectory with the wait and the rest longer by these shares."""
        longer = replace(waiting, steps=waiting.steps * (1 + wait))
        return _joined(longer, replace(rest, steps=rest.steps * (1 + after)), escaped.steps * (1 + wait))

    third = abs(escaped.second) / escaped.steps
    return joined(0, 0), {
        "third order in the match": (joined(-third, 0), joined(third, 0)),
        "counts after formation": (joined(0, -min(neglected, 1.0)), joined(0, neglected)),
    }


def follow(coefficients: Expansion, context: int, rates: Array, *, second_order: bool = True) -> Array | None:
    """Steps, μ, ω, v from zero to formation, shape (n, 3 + R), or None if ω or lag 1 falls.

    Parameters
    ----------
    coefficients : Expansion
    context : int
    rates : array, shape (3,)
        Speeds of μ, ω and the lag logits per unit of slope.
    second_order : bool
        Whether the loss has its second order K in the match.
    """

    def formed(_: float, state: Array) -> float:
        return float(last_attention(state[2:], context)[1]) - FORMATION_LEVEL

    def falls(_: float, state: Array) -> float:
        return min(state[1], state[3]) - TRAPPED_BELOW

    formed.terminal = falls.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    push, drives = coefficients.plateau_drive
    longest = LONGEST_WAIT / (drives[1] * np.sqrt(rates[1] * rates[2]))
    velocity = _velocity(coefficients, rates, second_order=second_order)
    # What a small push begins with decides how long it takes.
    least = RTOL**1.5 * np.append(1.0, np.full(1 + LAGS, min(1.0, abs(push / drives[1]))))
    run = solve_ivp(
        velocity, (0, longest), np.zeros(2 + LAGS), method="LSODA", rtol=RTOL, atol=least, events=[formed, falls]
    )
    return np.column_stack([run.t, run.y.T]) if len(run.t_events[0]) else None


def _velocity(coefficients: Expansion, rates: Array, *, second_order: bool) -> Callable[[Any, Array], Array]:
    """d(μ, ω, v)/dstep."""
    curvature_slope = coefficients.curvature.deriv()

    def velocity(_: Any, state: Array) -> Array:
        readout, match, lag_logits = float(state[0]), float(state[1]), state[2:]
        table, by_readout, rise, level = coefficients.at(readout)
        push, along = drive(table, lag_logits)
        change, _ = drive(by_readout, lag_logits)
        pulls, bend = np.asarray(match * along), 0.0
        if second_order:
            at = float(np.clip(lag_logits[1], 0.0, coefficients.farthest))
            bend = level * float(coefficients.curvature(at))
            pulls[1] -= match**2 / 2 * level * float(curvature_slope(at))
        return np.concatenate(
            [[rates[0] * (match * change - rise), rates[1] * (push - match * bend)], rates[2] * pulls]
        )

    return velocity


def _rise(coefficients: Expansion, rates: Array) -> tuple[float, float]:
    """Steps in which μ settles, and the kick to ω: ∫ (g(μ) - g(μ*)) (η_W/(k-1)) dstep."""
    h = 1e-4 * coefficients.readout
    above, below = (coefficients.at(coefficients.readout + sign * h)[2] for sign in (1, -1))
    settle = 2 * h / (rates[0] * (above - below))
    final_push, _ = coefficients.plateau_drive

    def velocity(_: Any, state: Array) -> Array:
        table, _, rise, _ = coefficients.at(float(state[0]))
        return np.array([-rates[0] * rise, rates[1] * (drive(table, np.zeros(LAGS))[0] - final_push)])

    run = solve_ivp(velocity, (0, 30 * settle), np.zeros(2), method="LSODA", rtol=RTOL, atol=RTOL**1.5)
    return settle, float(run.y[1, -1])


def _rates(setting: Setting) -> Array:
    """Speeds of μ, ω and the lag logits per unit of slope: the orbits of a k × k matrix share k - 1 of it."""
    rate, k = setting.training.optimizer.learning_rate, setting.task.states
    return np.array([rate["readout"] / (k - 1), rate["match"] / (k - 1), rate["lag_logits"]])


def _jackknife_error(values: list[float]) -> float:
    """Standard error from the values without each of n groups."""
    return float(np.sqrt((len(values) - 1) * np.var(values)))


def _coordinates(state: Array, states: int) -> Array:
    """Reduced coordinates at (μ, ω, v): all matrices sum to zero in every row, as they do from zero."""
    readout, match = state[0], state[1]
    shares = np.array([1 - 1 / states, -1 / states])
    return np.concatenate([match * shares, readout * shares, state[2:]])


def _joined(waiting: Trajectory, rest: Trajectory, start: float) -> Trajectory:
    """One trajectory after the other; their common point once."""

    def both(first: Any, then: Any) -> Any:
        if isinstance(first, dict):
            return {name: both(first[name], then[name]) for name in first}
        return np.concatenate([first, then[1:]])

    names = ("loss", "distances", "attention", "parameters")
    curves = {name: both(getattr(waiting, name), getattr(rest, name)) for name in names}
    return Trajectory(steps=np.concatenate([waiting.steps, start + rest.steps[1:]]), **curves)

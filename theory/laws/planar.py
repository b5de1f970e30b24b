r"""The plateau law where the match moves as slowly as lag 1 grows: the match (C, Ω) and lag 1 followed together.

Around the slow manifold of `onset.theory.laws.slow_manifold` the loss is, up to third order in δ = θ - θ*(E), ½ δᵀ H δ
+ ⅙ B[δ, δ, δ], and lag 1 is driven by Ω times a function that is nearly linear in θ, since nothing drives it while
Ω = 0:

    dθ/dstep = -M (H δ + ½ B[δ, δ]),    dv_1/dstep = η_v (E/T) Ω (s* + ∇s · δ),    s = h/Ω.

All coefficients are tabulated functions of E = e^{v_1}, so that a setting costs one ODE of three variables, some 20 ms,
whatever its rates. Where the match is fast, this is the plateau law of `onset.theory.laws.linear` with its start
integrated; where it is slow, lag 1 waits for Ω. B is taken at E = 1, where the start is far from the plateau. The
size of what is neglected is the change by B, plus the tables' error. Derived here, "plateau-law" (step "planar").

Range of validity: mean field, SGD, exchangeable prior with a unique plateau; B changes the time to formation by
less than all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline, PchipInterpolator

from onset.theory.arrays import Array
from onset.theory.derivations.plateau_law import planar_drive
from onset.theory.dynamics.layout import Layout, last_attention
from onset.theory.laws.slow_manifold import SlowManifold
from onset.theory.prediction import change, require_smaller
from onset.theory.recording import Measurement, Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import find_formation

__all__ = ["MATCH_AND_LAG", "follow", "formation", "planar_law"]

RTOL = 1e-6
"""Relative tolerance of the ODE."""

LONGEST_RUN = 10
"""Longest run, in units of the slowest relaxation of the match plus T/(η_v h), the time of lag 1's first growth."""

FARTHEST_MATCH = 3.0
"""Largest θ, in units of start plus plateau; the loss to third order has no minimum far out and may drive θ beyond."""

MATCH_AND_LAG = "match and lag 1 followed together, the loss to third order around the plateau"
"""Statement of the assumption."""

CURVE_POINTS = 64
"""Points of the predicted curves."""

INTERPOLATION_ERROR = np.log(2) ** 4 / 24
"""Relative error of a cubic in ln T over octaves, as in the tables of the manifold."""


def follow(manifold: SlowManifold, setting: Setting, mobility: Array, *, cubic: bool = True) -> Array:
    """Steps, C, Ω and v_1 from the start to the last point of the manifold, shape (n, 4).

    Ends earlier where nothing moves, or where the cubic loss lets θ escape.

    Parameters
    ----------
    manifold : SlowManifold
    setting : Setting
        Gives rates and start.
    mobility : array, shape (2, 2)
        M of `onset.theory.laws.linear.mobility`.
    cubic : bool
        Whether the loss has its third order.
    """
    context, rate = manifold.context, setting.training.optimizer.learning_rate["lag_logits"]
    table = CubicSpline(manifold.log_e, manifold.columns[:, :9])
    third = manifold.third if cubic else np.zeros_like(manifold.third)
    per_force = rate / context
    highest, drive = float(manifold.log_e[-1]), planar_drive

    def velocity(_: Any, state: Array) -> Array:
        values = table(min(max(float(state[2]), 0.0), highest))
        off = state[:2] - values[1:3]
        slope = values[5:9].reshape(2, 2) @ off + third @ off @ off / 2
        return np.append(-mobility @ slope, per_force * np.exp(state[2]) * drive(*values[:5], *state[:2]))

    def at_end(_: Any, state: Array) -> float:
        return float(state[2]) - highest

    start = np.array([context * setting.model.initialization["match"], 0.0, 0.0])
    farthest = FARTHEST_MATCH * (np.abs(start).max() + np.abs(manifold.target).max())

    def escapes(_: Any, state: Array) -> float:
        return float(np.abs(state[:2]).max()) - farthest

    at_end.terminal = escapes.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    slowest = 1 / np.linalg.eigvals(mobility @ manifold.hessian[0]).real.min()
    longest = LONGEST_RUN * (slowest + context / (manifold.force[0] * rate))
    run = solve_ivp(velocity, (0, longest), start, method="LSODA", rtol=RTOL, atol=RTOL, events=[at_end, escapes])
    return np.column_stack([run.t, run.y.T])


def formation(run: Array, manifold: SlowManifold) -> float | None:
    """Step at which the head forms on a run of `follow`."""
    attention = last_attention(manifold.lag_logits_at(run[:, 3]), manifold.context)[:, 1]
    return find_formation(run[:, 0], attention).step


def planar_law(
    setting: Setting,
    manifold: SlowManifold,
    mobility: Array,
    measure: Callable[[Array], Measurement],
    *,
    points: int = CURVE_POINTS,
) -> tuple[Trajectory, tuple[Trajectory, Trajectory], float]:
    """The predicted trajectory, the earliest and the latest, and the share of the third order in the time to formation.

    Parameters
    ----------
    setting, manifold, mobility
        As of `follow`.
    measure : callable
        Measures a point in reduced coordinates with the manifold's lags.
    points : int
        Number of measured points from start to end; between them the curves are interpolated.

    Raises
    ------
    ValueError
        If the third order is too large.
    """
    run, quadratic = follow(manifold, setting, mobility), follow(manifold, setting, mobility, cubic=False)
    formed, without = formation(run, manifold), formation(quadratic, manifold)
    if formed is None and without is None:
        raise ValueError(
            f"setting {setting.label}: expected lag 1 to be driven until its head forms, but it only reaches "
            f"v_1 = {run[-1, 3]:.2g} in {run[-1, 0]:.0f} steps; use the mean field."
        )
    # At ten equal lags each has a tenth of the attention: the head has formed at the start, at any order.
    too_far = "the start is too far from the plateau for the plateau law: what the loss's third order changes"
    require_smaller(setting, too_far, change(without, formed), "use the mean field, or another start of the match")
    share = 1 - without / formed if formed and without else 0.0
    # Evenly in v_1, which hardly moves at first, and in the solver's own steps.
    progress = np.arange(len(run)) / (len(run) - 1) + run[:, 3] / run[-1, 3]
    at = np.linspace(0, progress[-1], CURVE_POINTS)
    steps, scale, match, v_1 = (np.interp(at, progress, column) for column in run.T)
    lag_logits = manifold.lag_logits_at(v_1)
    scale, match = scale / manifold.context, match / manifold.context
    coordinates = np.column_stack([scale + match, scale, lag_logits])
    measured = np.unique(np.linspace(0, CURVE_POINTS - 1, points).astype(int))
    measurements = [measure(point) for point in coordinates[measured]]

    def curve(values: list[float]) -> Array:
        return PchipInterpolator(at[measured], values)(at)

    predicted = Trajectory(
        steps=steps,
        loss=curve([m.loss for m in measurements]),
        distances={name: curve([m.distances[name] for m in measurements]) for name in measurements[0].distances},
        attention=last_attention(lag_logits, manifold.context)[:, None],
        parameters=dict(
            zip(
                Layout.of(setting.task, setting.model.initialization, lag_logits.shape[1]).names,
                coordinates.T,
                strict=True,
            )
        ),
    )
    doubt = abs(share) + INTERPOLATION_ERROR
    earliest, latest = (replace(predicted, steps=steps * max(0.0, 1 + sign * doubt)) for sign in (-1, 1))
    return predicted, (earliest, latest), float(share)

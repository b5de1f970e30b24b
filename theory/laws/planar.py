r"""The plateau law where the match moves as slowly as lag 1 grows: the plane of the match (C, Ω) beside the slow manifold.

Around the slow manifold of `onset.theory.laws.escape` the loss is, up to third order in δ = θ - θ*(E), ½ δᵀ H δ + ⅙ B[δ, δ, δ], and lag 1 is driven by Ω times
something that is nearly linear in θ, since nothing drives it while Ω = 0:

    dθ/dstep = -M (H δ + ½ B[δ, δ]),    dv_1/dstep = η_v (E/T) Ω (s* + ∇s · δ),    s = h/Ω.

All coefficients are tabulated functions of E = e^{v_1}, so that a setting costs one ODE of three variables, some 20 ms, whatever its rates. Where the match is fast, this
is the plateau law of `onset.theory.laws.plateau_law` with its start integrated; where it is slow, lag 1 waits for Ω. B is taken at E = 1, where the start is
far from the plateau. The interval is half of what B changes, and the tables' error. Derived here, "plateau-law" (step "planar").

Range of validity: mean field, SGD, exchangeable prior with a unique plateau, `LARGEST` bounds what B changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline, PchipInterpolator

from onset.theory.arrays import Array
from onset.theory.derivations.plateau_law import planar_drive
from onset.theory.dynamics.layout import Layout, last_attention
from onset.theory.recording import Measurement, Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import find_formation

__all__ = ["LARGEST", "TOGETHER", "Plane", "follow", "formation", "planar_law"]

LARGEST = 0.4
"""Largest relative change of the time to formation by the third order for which the law answers."""

RTOL = 1e-6
PATIENCE = 10
"""A way is followed up to so many times the slowest relaxation of the match and T/(η_v h), the time of lag 1's first growth."""

FAR = 3.0
"""Times start and plateau: where θ never comes unless the loss's third order, which has no minimum far out, is asked too far."""

TOGETHER = "match and lag 1 followed together, the loss to third order around the plateau"
"""What is assumed, in words."""

POINTS = 64
INTERPOLATION = np.log(2) ** 4 / 24
"""Relative error of a cubic in ln T over octaves, of which the tables are made."""


@dataclass(frozen=True)
class Plane:
    """Coefficients at n points of ln E: `force` (n,), `target`, `pull` (n, 2), `hessian` (n, 4), `curves` (n, 4), `lag_logits` (n, R), as in
    `onset.theory.laws.escape.Manifold`, and `third` (2, 2, 2)."""

    context: int
    log_e: Array
    force: Array
    target: Array
    pull: Array
    hessian: Array
    curves: Array
    lag_logits: Array
    third: Array

    def lags(self, log_e: Array) -> Array:
        """Lag logits at points of ln E, shape (…, R)."""
        found = CubicSpline(self.log_e, self.lag_logits)(log_e)
        found[..., 1] = log_e
        return found


def follow(plane: Plane, setting: Setting, mobility: Array, *, bent: bool = True) -> Array:
    """Steps, C, Ω and v_1 from the start to where lag 1 has all that the table holds, or nothing moves, or the cubic loss lets θ go; shape (n, 4).

    Parameters
    ----------
    plane : Plane
    setting : Setting
        Gives rates and start.
    mobility : array, shape (2, 2)
        M of `onset.theory.laws.plateau_law.mobility`.
    bent : bool
        Whether the loss has its third order.
    """
    columns = [plane.force[:, None], plane.target, plane.pull, plane.hessian]
    table = CubicSpline(plane.log_e, np.concatenate(columns, axis=1))
    third = plane.third if bent else np.zeros_like(plane.third)
    rate = setting.training.optimizer.learning_rate["lag_logits"] / plane.context
    highest, drive = float(plane.log_e[-1]), planar_drive

    def velocity(_: Any, state: Array) -> Array:
        values = table(min(max(float(state[2]), 0.0), highest))
        off = state[:2] - values[1:3]
        slope = values[5:9].reshape(2, 2) @ off + third @ off @ off / 2
        return np.append(-mobility @ slope, rate * np.exp(state[2]) * drive(*values[:5], *state[:2]))

    def reached(_: Any, state: Array) -> float:
        return float(state[2]) - highest

    start = np.array([setting.task.context * setting.model.initialization["match"], 0.0, 0.0])
    farthest = FAR * (np.abs(start).max() + np.abs(plane.target).max())

    def lost(_: Any, state: Array) -> float:
        return float(np.abs(state[:2]).max()) - farthest

    reached.terminal = lost.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    slowest = 1 / np.linalg.eigvals(mobility @ plane.hessian[0].reshape(2, 2)).real.min()
    longest = PATIENCE * (
        slowest + plane.context / (plane.force[0] * setting.training.optimizer.learning_rate["lag_logits"])
    )
    way = solve_ivp(velocity, (0, longest), start, method="LSODA", rtol=RTOL, atol=RTOL, events=[reached, lost])
    return np.column_stack([way.t, way.y.T])


def planar_law(
    setting: Setting,
    plane: Plane,
    mobility: Array,
    measure: Callable[[Array], Measurement],
    *,
    points: int = POINTS,
    spread: float = 0.0,
) -> tuple[tuple[Trajectory, Trajectory, Trajectory], float]:
    """The trajectory, the earliest and the latest; and the share of the time to formation that the third order makes.

    Parameters
    ----------
    setting, plane, mobility
        As of `follow`.
    measure : callable
        Of a point in reduced coordinates with the plane's lags.
    points : int
        At which it is asked, from the start to the end of the table; between, its curves are interpolated.
    spread : float
        Relative error of the plane's times, which the interval takes in; not a number where some of it never forms a head.

    Raises
    ------
    ValueError
        If the third order counts too much, or the spread.
    """
    way, straight = follow(plane, setting, mobility), follow(plane, setting, mobility, bent=False)
    formed, without = (formation(one, plane) for one in (way, straight))
    if formed is None and without is None:
        raise ValueError(
            f"setting {setting.label}: expected lag 1 to be driven until its head forms, but it only reaches v_1 = {way[-1, 3]:.2g} in {way[-1, 0]:.0f} steps; use the mean field."
        )
    # Where each of ten lags has a tenth of the attention, the head has formed at the start, whatever the order.
    share = np.inf if formed is None or without is None else 1 - without / formed if formed else 0.0
    if not abs(share) <= LARGEST:
        raise ValueError(
            f"setting {setting.label}: the start is too far from the plateau for the plateau law, the loss's third order being {share:.2g} of the time: expected at most {LARGEST:g}; use the mean field, or another start of the match."
        )
    if not spread <= LARGEST:
        raise ValueError(
            f"setting {setting.label}: expected coefficients that fix the time, but rules for the prior and rounds of iteration put it {spread:.2g} of it apart: expected at most {LARGEST:g}; use the finite context."
        )
    # Even in v_1, which hardly moves at first, and in the solver's own steps.
    along = np.arange(len(way)) / (len(way) - 1) + way[:, 3] / way[-1, 3]
    at = np.linspace(0, along[-1], POINTS)
    chosen = np.array([np.interp(at, along, column) for column in way.T]).T
    lag_logits = plane.lags(chosen[:, 3])
    scale, match = chosen[:, 1] / plane.context, chosen[:, 2] / plane.context
    entries = np.column_stack([scale + match, scale, lag_logits])
    asked = np.unique(np.linspace(0, POINTS - 1, points).astype(int))
    seen = [measure(point) for point in entries[asked]]

    def filled(values: list[float]) -> Array:
        return PchipInterpolator(at[asked], values)(at)

    middle = Trajectory(
        steps=chosen[:, 0],
        loss=filled([m.loss for m in seen]),
        distances={name: filled([m.distances[name] for m in seen]) for name in seen[0].distances},
        attention=last_attention(lag_logits, plane.context)[:, None],
        parameters=dict(
            zip(
                Layout.of(setting.task, setting.model.initialization, lag_logits.shape[1]).names, entries.T, strict=True
            )
        ),
    )
    doubt = abs(share) / 2 + INTERPOLATION + spread
    earliest, latest = (replace(middle, steps=middle.steps * (1 + sign * doubt)) for sign in (-1, 1))
    return (middle, earliest, latest), float(share)


def formation(way: Array, plane: Plane) -> float | None:
    """The step at which the head forms on what `follow` found."""
    attention = last_attention(plane.lags(way[:, 3]), plane.context)[:, 1]
    return find_formation(way[:, 0], attention).step

r"""The plateau law of the linear family under SGD: the steps that it waits on its unigram plateau.

Along the slow manifold of `onset.theory.laws.slow_manifold` the lag logit obeys dv_1/dstep = η_v (E/T) h with E =
e^{v_1}, so that it reaches ln E after

    slow = (T/η_v) ∫₁^E dE' / (E'² h(E')).

The match θ = (C, Ω) follows its target θ* late. With θ' = -M H (θ - θ*), M the mobility from the learning rates and H
the Hessian, a shift dθ* of the target delays lag 1 by (∂ ln h/∂θ) (M H)⁻¹ dθ*, and so does the distance of the start
from the plateau:

    delay = (∂ ln h/∂θ) (M H)⁻¹ (θ* - θ_start) |_{E=1} + ∫ (∂ ln h/∂θ) (M H)⁻¹ dθ*,

the first part to second order in θ* - θ_start. A start further from the plateau than the plateau is from zero is at no
small distance: then ∫ (1 - h/h*) dstep of the match's relaxation alone, integrated, takes its place. Each piece of slow
time and delay is resummed; what that takes off is the size of the second order, which is neglected. Where it exceeds
`NEGLECTED` of the time, the match relaxes about as slowly as lag 1 grows, and `onset.theory.laws.planar` follows both.
All expressions are those of `onset.theory.derivations.plateau_law`. Derived here.

Range of validity: mean field, SGD, exchangeable prior with a unique plateau that drives lag 1 upwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from onset.theory.arrays import Array
from onset.theory.derivations import plateau_law
from onset.theory.derivations.plateau_law import planar_bend
from onset.theory.dynamics.layout import Layout, last_attention
from onset.theory.laws.law import Law
from onset.theory.laws.planar import MATCH_AND_LAG, planar_law
from onset.theory.laws.slow_manifold import GRID, SlowManifold, interpolated_manifold, manifold
from onset.theory.markov.ideal import limit_losses
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import STRATEGIES
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.neglected import bounded
from onset.theory.mean_fields.match_and_lags import MatchAndLags, drive_error
from onset.theory.prediction import EXCHANGEABLE_FLOW, Prediction
from onset.theory.recording import Progress, Trajectory, no_progress
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = [
    "LAW",
    "NEGLECTED",
    "Path",
    "mobility",
    "path",
    "path_at_rates",
    "predict",
    "relaxation_delay",
    "start_delay",
    "start_slope",
    "starts_far",
]

NEGLECTED = 0.1
"""Share of the time beyond which match and lag 1 are followed together, which costs a thousand times as much.

The closed form is right on both sides of it, within an interval of that width.
"""

ASSUMPTIONS = (
    "mean field; the match follows the slow manifold of its plateau, to first order in its delay, resummed",
    "starts on the plateau: the passage to unigram is not predicted",
    EXCHANGEABLE_FLOW,
)

KEPT_STARTS = 1 << 14
"""Priors and contexts whose start polynomials are cached, and starts whose relaxations are."""

START_CHANGE = 1e-2
"""Relative change of a far start in the central difference of its delay."""

FINE_POINTS = 513
"""Points n of the trapezoidal rule in ln E, whose relative error is (ln E/n)²/12, below 1e-4."""


@dataclass(frozen=True)
class Path:
    """Growth of lag 1 along the slow manifold with given rates and start.

    Attributes
    ----------
    manifold : SlowManifold
        At n fine points of ln E, up to where lag 1 is driven.
    slow, delay : array, shape (n - 1,)
        Slow time and delay by the shift of the target, to first order, of each piece between two points; steps.
    start : (float, float)
        Delay by the start's distance from the plateau, to first order, and its second order; steps. For a far start
        the integrated delay, and zero.
    """

    manifold: SlowManifold
    slow: Array
    delay: Array
    start: tuple[float, float]

    def steps_and_neglected(self) -> Array:
        """Steps up to each point, at least zero, and the size of what they neglect, shape (2, n)."""
        pieces = np.cumsum(np.pad(plateau_law.steps_and_neglected(self.slow, self.delay), ((0, 0), (1, 0))), axis=1)
        start, second = sum(self.start), self.start[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            by_start = np.where(pieces[0] > 0, start**2 / (pieces[0] + abs(start)), 0.0)
        steps = np.where(pieces[0] > 0, np.maximum(pieces[0] + start, 0.0), 0.0)
        return np.stack([steps, np.where(pieces[0] > 0, pieces[1] + by_start + abs(second), 0.0)])


def predict(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the plateau law; the interval is the size of what it neglects.

    Parameters
    ----------
    setting : Setting
        Of the linear family under SGD.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    task, rates = setting.task, setting.training.optimizer.learning_rate
    along = path_at_rates(task.prior, task.context, rates, setting.model.initialization["match"])
    curves, lag_logits = along.manifold.curves, along.manifold.lag_logits
    attention = last_attention(lag_logits, task.context)
    steps, neglected = along.steps_and_neglected()
    formed = int(np.argmax(attention[:, 1] > FORMATION_LEVEL)) or -1  # to the end where it is formed at the start
    share = neglected[formed] / steps[formed] if steps[formed] else np.inf
    if not share <= NEGLECTED:
        return _match_limited(setting, share)
    names = Layout.of(setting.task, setting.model.initialization, lag_logits.shape[1]).names
    predicted = Trajectory(
        steps=steps,
        loss=curves[:, 0],
        distances=dict(zip(STRATEGIES, curves[:, 1:].T, strict=True)),
        attention=attention[:, None],
        parameters=dict(zip(names, along.manifold.coordinates.T, strict=True)),
    )
    # What is neglected of the start is largest early on; time does not go back.
    earliest = np.minimum.accumulate(np.maximum(steps - neglected, 0.0)[::-1])[::-1]
    latest = np.maximum.accumulate(steps + neglected)
    ends = replace(predicted, steps=earliest), replace(predicted, steps=latest)
    return bounded(
        Prediction(
            setting,
            "law",
            (predicted,),
            limit_losses(task.prior),
            ASSUMPTIONS,
            (f"closed form, whose neglected second order is {share:.2g} of the time",),
            neglected={"delay of the match to second order": ends},
            error=drive_error(task.prior, task.context),
        )
    )


def _match_limited(setting: Setting, share: float) -> Prediction:
    """Predict from the planar law, with the curves of the mean field."""
    prior, context = setting.task.prior, setting.task.context
    unit = mobility(prior.states, context, setting.training.optimizer.learning_rate["match"])
    field = MatchAndLags(prior, context).field
    predicted, ends, third = planar_law(setting, interpolated_manifold(prior, context), unit, field.measure)
    validity = (
        f"match and lag 1 followed together, since a closed form would neglect {share:.2g} of the time; the loss's "
        f"third order adds {third:.2g} of it",
    )
    return bounded(
        Prediction(
            setting,
            "law",
            (predicted,),
            limit_losses(prior),
            (f"mean field; {MATCH_AND_LAG}", EXCHANGEABLE_FLOW),
            validity,
            neglected={"loss beyond third order around the plateau": ends},
            error=drive_error(prior, context),
        )
    )


LAW = Law(
    predict,
    ASSUMPTIONS,
    "an exchangeable prior with a unique plateau that drives lag 1 upwards; a context at which fluctuating counts do "
    "not reverse that drive",
)


def path(setting: Setting) -> Path:
    """Slow time and delay along the slow manifold for `setting`; errors as for `path_at_rates`."""
    optimizer, start = setting.training.optimizer, setting.model.initialization["match"]
    return path_at_rates(setting.task.prior, setting.task.context, optimizer.learning_rate, start)


def path_at_rates(prior: Prior, context: int, learning_rate: Mapping[str, float], start: float) -> Path:
    """Slow time and delay along the slow manifold, for learning rates by group and a `start` of the match's entries.

    Raises
    ------
    ValueError
        If lag 1 is not driven up on the plateau, or `manifold` has no plateau.
    """
    table = interpolated_manifold(prior, context)
    values, log_e = _fine_spline() @ table.columns, np.linspace(0.0, table.log_e[-1], FINE_POINTS)
    driven = FINE_POINTS if (growing := values[:, 0] > 0).all() else int(np.argmin(growing))
    if driven < 2:
        raise ValueError(
            f"prior = {prior} at T = {context}: expected a drive above zero, but on the plateau lag 1 is not driven "
            "up, so that the plateau law has no time to give; see onset.theory.laws.basins, or use the mean field."
        )
    fine = SlowManifold(context, log_e[:driven], values[:driven], table.third)
    fine.lag_logits[:, 1] = fine.log_e  # exactly, not by the spline
    late = delay_by_shift(fine, prior.states, learning_rate["match"], np.gradient(fine.target, log_e[1], axis=0))
    first, second = start_delay(prior, context, learning_rate["match"], start)
    integrands = np.stack([np.exp(-fine.log_e) / fine.force * (context / learning_rate["lag_logits"]), late])
    slow, delay = (integrands[:, 1:] + integrands[:, :-1]) / 2 * np.diff(fine.log_e)
    return Path(fine, slow, delay, (first, second))


def delay_by_shift(along: SlowManifold, states: int, rate: float, shift: Array) -> Array:
    """Steps by which a shift (n, 2) of the target delays lag 1 at each of n points of a manifold, to first order."""
    (cc, co), (_, oo) = np.moveaxis((along.hessian + along.hessian.swapaxes(1, 2)) / 2, 0, -1)
    return plateau_law.delay_by_shift(
        along.force, *along.pull.T, cc, co, oo, states, along.context, rate, *np.moveaxis(shift, -1, 0)
    )


def mobility(states: int, context: int, rate: float = 1.0) -> Array:
    """M in d(C, Ω)/dstep = -M ∂L/∂(C, Ω), shape (2, 2), at a learning rate common to all entries of W."""
    return np.array(plateau_law.mobility_at(states, context, rate), dtype=float)


def start_delay(prior: Prior, context: int, rate: float, start: float) -> tuple[float, float]:
    """Delay of lag 1 by the distance of the start from the plateau, to first order, and its second order; steps.

    For a far start the integrated delay, and zero.

    Parameters
    ----------
    prior : Prior
    context : int
    rate : float
        Learning rate of the match.
    start : float
        W₀, the initial value of all entries of W.
    """
    first, second = _start_delay(prior, context, start)
    return first / rate, second / rate


@lru_cache(maxsize=KEPT_STARTS)
def _start_delay(prior: Prior, context: int, start: float) -> tuple[float, float]:
    """The same times the rate."""
    if starts_far(prior, context, start):
        return _relaxation(prior, context, start), 0.0
    _, gradient, curvature = _start_polynomial(prior, context)
    distance = _distance(prior, context, start)
    return float(gradient @ distance), float(distance @ curvature @ distance)


def start_slope(prior: Prior, context: int, rate: float, start: float) -> float:
    """∂/∂W₀ of the sum of `start_delay`; steps."""
    return _start_slope(prior, context, start) / rate


@lru_cache(maxsize=KEPT_STARTS)
def _start_slope(prior: Prior, context: int, start: float) -> float:
    """The same times the rate."""
    if starts_far(prior, context, start):
        ends = [_relaxation(prior, context, start * (1 + sign * START_CHANGE)) for sign in (-1, 1)]
        return (ends[1] - ends[0]) / (2 * START_CHANGE * start)
    _, gradient, curvature = _start_polynomial(prior, context)
    return float(context * (gradient[0] + 2 * (curvature @ _distance(prior, context, start))[0]))


def _distance(prior: Prior, context: int, start: float) -> Array:
    """δ = θ - θ* of the start."""
    return np.array([context * start, 0.0]) - _start_polynomial(prior, context)[0]


def starts_far(prior: Prior, context: int, start: float) -> bool:
    """Whether the match starts further from its plateau than the plateau is from zero."""
    plateau = _start_polynomial(prior, context)[0]
    return bool(np.linalg.norm(_distance(prior, context, start)) > np.linalg.norm(plateau))


@lru_cache(maxsize=KEPT_STARTS)
def _start_polynomial(prior: Prior, context: int) -> tuple[Array, Array, Array]:
    """θ*, a and S of the start's delay a·δ + δᵀ S δ, δ = θ - θ*, at a unit rate of the match.

    See `onset.theory.derivations.plateau_law`, step "delay".
    """
    table, unit = interpolated_manifold(prior, context), mobility(prior.states, context)
    force, target, pull = table.force[0], table.target[0], table.pull[0]
    first = SlowManifold(context, table.log_e[:1], table.columns[:1], table.third)
    gradient = np.concatenate([delay_by_shift(first, prior.states, 1.0, -unit_shift[None]) for unit_shift in np.eye(2)])
    relaxation = unit @ table.hessian[0]
    per_delay = np.linalg.solve(relaxation.T, pull)
    bend = np.array(planar_bend(force, target[1], *pull)) - np.einsum("i,ij,jkl->kl", per_delay, unit, table.third)
    both = np.einsum("ij,kl->ikjl", relaxation, np.eye(2)) + np.einsum("ij,kl->ikjl", np.eye(2), relaxation)
    spread = np.linalg.solve(both.reshape(4, 4).T, bend.ravel())
    return target, gradient, -spread.reshape(2, 2) / 2 / force


def relaxation_delay(setting: Setting) -> float:
    """Steps lost while the match relaxes from the start to the plateau, integrated: ∫ (1 - h/h*) dstep."""
    rate, start = setting.training.optimizer.learning_rate["match"], setting.model.initialization["match"]
    return _relaxation(setting.task.prior, setting.task.context, start) / rate


@lru_cache(maxsize=KEPT_STARTS)
def _relaxation(prior: Prior, context: int, start: float) -> float:
    """The same times the rate of the match."""
    loss, lag_logits, plateau = MatchAndLags(prior, context), np.zeros(LAGS), manifold(prior, context)
    mobile = mobility(prior.states, context)
    highest = loss.gradient(plateau.target[0], lag_logits)[3]

    def velocity(_: float, state: Array) -> Array:
        gradient = loss.gradient(state[:2], lag_logits)
        return np.append(-mobile @ gradient[:2], 1 - gradient[3] / highest)

    slowest = np.linalg.eigvals(mobile @ plateau.hessian[0]).real.min()
    run = solve_ivp(velocity, (0, 20 / slowest), [context * start, 0.0, 0.0], method="LSODA", rtol=1e-6)
    return float(run.y[2, -1])


@cache
def _fine_spline() -> Array:
    """Cubic splines through the points `GRID` at `FINE_POINTS` equidistant ones, as a matrix."""
    return np.asarray(CubicSpline(GRID, np.eye(len(GRID)))(np.linspace(0.0, 1.0, FINE_POINTS)))

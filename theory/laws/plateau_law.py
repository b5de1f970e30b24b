r"""The plateau law: how many SGD steps the linear family waits on its unigram plateau.

Along the slow manifold of `onset.theory.laws.escape` the lag logit obeys dv_1/dstep = η_v (E/T) h with E = e^{v_1}, so that it reaches ln E after

    slow = (T/η_v) ∫₁^E dE' / (E'² h(E')).

The match θ = (C, Ω) follows its target θ* late. With θ' = -M H (θ - θ*), M the mobility that the rates give and H the
Hessian, a shift dθ* of the target delays lag 1 by (∂ ln h/∂θ) (M H)⁻¹ dθ*, and so does the distance of the start from the plateau:

    delay = (∂ ln h/∂θ) (M H)⁻¹ (θ* - θ_start) |_{E=1} + ∫ (∂ ln h/∂θ) (M H)⁻¹ dθ*,

the start's part with its second order in θ* - θ_start, which may be far. This is the first order in delay/slow. The steps are its [1/1] Padé approximant, and half of what that
takes off is the interval: the expressions of `onset.theory.derivations.plateau_law`. Derived here.

Range of validity: mean field, SGD, exchangeable prior with a unique plateau, |delay| ≤ `SLOWEST` × slow. Beyond, the match
relaxes more slowly than lag 1 grows, and `onset.theory.laws.planar` follows both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations.plateau_law import planar_bend, steps_and_doubt
from onset.theory.dynamics.layout import Layout, last_attention
from onset.theory.laws.adam import adam_law
from onset.theory.laws.escape import GRID, Reduced, longest, manifold
from onset.theory.laws.planar import TOGETHER, Plane, planar_law
from onset.theory.laws.softmax import softmax_law
from onset.theory.markov.ideal import limit_losses
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import STRATEGIES
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.prediction import EXCHANGEABLE_FLOW, Prediction
from onset.theory.recording import Progress, Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["Path", "answer", "law", "mobility", "path", "plane", "relaxation_delay", "start_delay", "table_contexts"]

SLOWEST = 0.7
"""Largest ratio of delay to slow time for which the law has this form."""

SHORTEST = 32
"""Shortest context of a table; tables are made at powers of two and interpolated in ln T between four."""

ASSUMPTIONS = (
    "mean field; the match follows the slow manifold of its plateau, to first order in its delay, resummed",
    "starts on the plateau: the passage to unigram is not predicted",
    EXCHANGEABLE_FLOW,
)

KEPT = 1 << 14
"""Priors and contexts whose tables are remembered."""

FINE = 513
"""Points of the trapezoidal rule in ln E, whose relative error is (ln E / FINE)²/12, below 1e-4."""


def mobility(setting: Setting) -> Array:
    """M in d(C, Ω)/dstep = -M ∂L/∂(C, Ω), shape (2, 2): one rate for every entry of W, of which k hold C + Ω and k(k-1) hold C."""
    return setting.training.optimizer.learning_rate["match"] * _mobility(setting.task.states, setting.task.context)


def _mobility(states: int, context: int) -> Array:
    """At a unit rate."""
    diagonal, off_diagonal = context**2 / states, context**2 / (states * (states - 1))
    return np.array([[off_diagonal, -off_diagonal], [-off_diagonal, diagonal + off_diagonal]])


@dataclass(frozen=True)
class Path:
    """The slow manifold of a setting, point by point: shapes (n,) but for `target` (n, 2), `curves` (n, 4), `lag_logits` (n, R).

    `slow` and `delay` are steps up to ln E, `bend` is the second order of the start's delay; `curves` are the loss and KL(strategy ‖ model), nats per token.
    """

    log_e: Array
    slow: Array
    delay: Array
    bend: float
    target: Array
    curves: Array
    lag_logits: Array


def path(setting: Setting) -> Path:
    """Slow time and delay along the manifold, up to where lag 1 is driven no further; a ``ValueError`` if it is not driven at all."""
    log_e, columns = _table(setting.task.prior, setting.task.context)
    fine = np.linspace(0.0, log_e[-1], FINE)
    values = _spline() @ columns
    reached = FINE if (growing := values[:, 0] > 0).all() else int(np.argmin(growing))
    if reached < 2:
        raise ValueError(
            f"setting {setting.label}: on the plateau lag 1 is not driven up, so the plateau law has no time to give: expected a drive above zero; see onset.theory.laws.basins, or use the mean field."
        )
    fine, values = fine[:reached], values[:reached]
    force, target, pull, hessian = values[:, 0], values[:, 1:3], values[:, 3:5], values[:, 5:9].reshape(-1, 2, 2)
    slow = (
        setting.task.context
        / setting.training.optimizer.learning_rate["lag_logits"]
        * _running(np.exp(-fine) / force, fine)
    )
    per_shift = np.linalg.solve(hessian @ mobility(setting), (pull / force[:, None])[..., None])[..., 0]
    shift = (per_shift * np.gradient(target, fine[1], axis=0)).sum(axis=1)
    first, second, _ = start_delay(setting)
    delay = first + second + _running(shift, fine)
    lag_logits = values[:, 13:]
    lag_logits[:, 1] = fine
    return Path(fine, slow, delay, second, target, values[:, 9:13], lag_logits)


def start_delay(setting: Setting) -> tuple[float, float, float]:
    """What the start's distance from the plateau delays lag 1 by, to first order and in second, and the slope of both by W₀; steps."""
    level, slope, bend = _start_polynomial(setting.task.prior, setting.task.context)
    rate, start = setting.training.optimizer.learning_rate["match"], setting.model.initialization["match"]
    at = setting.task.context * start
    along = np.array([at, 0.0]) - level
    gain = setting.task.context * (slope[0] + 2 * (bend @ along)[0])
    return float(slope @ along) / rate, float(along @ bend @ along) / rate, float(gain) / rate


@lru_cache(maxsize=KEPT)
def _start_polynomial(prior: Prior, context: int) -> tuple[Array, Array, Array]:
    """θ*, a and S of the start's delay a·δ + δᵀ S δ, δ = θ - θ*, at a unit rate of the match (`onset.theory.derivations.plateau_law`, "start")."""
    around = plane(prior, context)
    mobile = _mobility(prior.states, context)
    force, target, pull = around.force[0], around.target[0], around.pull[0]
    relax = mobile @ around.hessian[0].reshape(2, 2)
    per_delay = np.linalg.solve(relax.T, pull)
    bent = np.array(planar_bend(force, target[1], *pull)) - np.einsum("i,ij,jkl->kl", per_delay, mobile, around.third)
    both = np.einsum("ij,kl->ikjl", relax, np.eye(2)) + np.einsum("ij,kl->ikjl", np.eye(2), relax)
    spread = np.linalg.solve(both.reshape(4, 4).T, bent.ravel())
    return target, -per_delay / force, -spread.reshape(2, 2) / 2 / force


def law(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Predict from the plateau law; the interval is half of what resummation takes off the first order.

    Under Adam, and in the softmax family, the law is another: see `onset.theory.laws.adam` and `onset.theory.laws.softmax`.

    Parameters
    ----------
    setting : Setting
        Of a toy family.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    if setting.training.optimizer.name == "adam" and setting.model.family in MEAN_FIELDS:
        return adam_law(setting, seed=seed, progress=progress)
    if setting.model.family == "softmax" and setting.training.optimizer.name == "sgd":
        return softmax_law(setting, seed=seed, progress=progress)
    arguments.one_of("family of the plateau law", setting.model.family, ("linear", "softmax"))
    arguments.one_of("optimizer of the plateau law", setting.training.optimizer.name, ("sgd",))
    setting.task.require_first_order("the plateau law")
    found = path(setting)
    attention = last_attention(found.lag_logits, setting.task.context)
    formed = int(np.argmax(attention[:, 1] > FORMATION_LEVEL)) or -1
    ratio = float(found.delay[formed] / found.slow[formed])
    if not max(abs(ratio), abs(found.bend) / found.slow[formed]) <= SLOWEST:
        return _match_limited(setting, ratio)
    steps, earliest, latest = answer(found.slow, found.delay, found.bend)
    names = Layout.of(setting.task, setting.model.initialization, found.lag_logits.shape[1]).names
    entries = np.column_stack([found.target.sum(axis=1), found.target[:, 0]]) / setting.task.context
    middle = Trajectory(
        steps=steps,
        loss=found.curves[:, 0],
        distances={name: found.curves[:, 1 + i] for i, name in enumerate(STRATEGIES)},
        attention=attention[:, None],
        parameters=dict(zip(names, np.column_stack([entries, found.lag_logits]).T, strict=True)),
    )
    return Prediction(
        setting,
        "law",
        (middle, replace(middle, steps=earliest), replace(middle, steps=latest)),
        limit_losses(setting.task.prior),
        ASSUMPTIONS,
        (
            f"delay of the match {ratio:.2g} of the slow time; the interval is the size of its second order and of the start's",
        ),
        bounds=True,
    )


def _match_limited(setting: Setting, ratio: float) -> Prediction:
    """The planar law, measured with the mean field."""
    field = Reduced(setting.task.prior, setting.task.context).dynamics
    found, share = planar_law(
        setting, plane(setting.task.prior, setting.task.context), mobility(setting), field.measure
    )
    return Prediction(
        setting,
        "law",
        found,
        limit_losses(setting.task.prior),
        (f"mean field; {TOGETHER}", EXCHANGEABLE_FLOW),
        (
            f"match-limited: the match alone would delay lag 1 by {ratio:.2g} of its slow time, of which the law's first form knows up to {SLOWEST:g}; "
            f"the interval is half of what the third order adds, {share:.2g} of the time",
        ),
        bounds=True,
    )


def answer(slow: Array, delay: Array, bend: float) -> Array:
    """Steps, and the ends of their interval, shape (3, n), of slow times, delays and the second order of the start's part; zero where no time has passed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps, doubt = steps_and_doubt(slow, delay, bend)
    steps, doubt = np.where(slow > 0, [steps, doubt], 0.0)
    return np.array([steps, np.maximum(steps - doubt, 0.0), steps + doubt])


def table_contexts(context: int) -> list[int]:
    """Contexts whose manifolds are interpolated at `context`."""
    middle = max(int(np.floor(np.log2(context))), int(np.log2(SHORTEST)) + 1)
    return [2**n for n in range(middle - 1, middle + 3)]


def relaxation_delay(setting: Setting) -> float:
    """Steps lost while the match relaxes from the start to the plateau, integrated rather than linearised: ∫ (1 - h/h*) dstep."""
    reduced, lag_logits = Reduced(setting.task.prior, setting.task.context), np.zeros(LAGS)
    plateau = manifold(setting.task.prior, setting.task.context)
    mobile, highest = mobility(setting), reduced.gradient(plateau.target[0], lag_logits)[3]

    def velocity(_: float, state: Array) -> Array:
        gradient = reduced.gradient(state[:2], lag_logits)
        return np.append(-mobile @ gradient[:2], 1 - gradient[3] / highest)

    begin = np.array([setting.task.context * setting.model.initialization["match"], 0.0, 0.0])
    slowest = np.linalg.eigvals(mobile @ plateau.hessian[0]).real.min()
    return float(solve_ivp(velocity, (0, 20 / slowest), begin, method="LSODA", rtol=1e-6).y[2, -1])


@cache
def _spline() -> Array:
    """Cubic splines through the table's points at `FINE` equidistant ones, as a matrix: points are the same share of ln E at every context."""
    return np.asarray(CubicSpline(GRID, np.eye(len(GRID)))(np.linspace(0.0, 1.0, FINE)))


@lru_cache(maxsize=KEPT)
def _table(prior: Prior, context: int) -> tuple[Array, Array]:
    """ln E (n,) and the columns of the manifold at it (n, 13 + R), interpolated in ln T."""
    contexts = table_contexts(context)
    columns = [
        np.column_stack([m.force, m.target, m.pull, m.hessian.reshape(-1, 4), m.curves, m.lag_logits])
        for m in (manifold(prior, c) for c in contexts)
    ]
    return longest(context) * GRID, np.tensordot(_weights(contexts, context), columns, axes=1)


def _weights(contexts: list[int], context: int) -> Array:
    """Of values at `contexts` in their interpolation in ln T."""
    x = np.log(np.array(contexts) / context)
    own = np.eye(len(x), dtype=bool)
    return np.where(own, 1.0, x / np.where(own, 1.0, x - x[:, None])).prod(axis=1)


@lru_cache(maxsize=KEPT)
def plane(prior: Prior, context: int) -> Plane:
    """The manifold and what surrounds it, interpolated in ln T."""
    log_e, columns = _table(prior, context)
    contexts = table_contexts(context)
    third = np.tensordot(_weights(contexts, context), [manifold(prior, c).third for c in contexts], axes=1)
    return Plane(context, log_e, columns[:, 0], *np.split(columns[:, 1:], [2, 4, 8, 12], axis=1), third=third)


def _running(values: Array, at: Array) -> Array:
    """Running integral by the trapezoidal rule."""
    return np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(at))])

r"""The plateau law of the linear family at its two transitions, term by term, for scans and explanations.

The place of a transition on the slow manifold depends on prior and context only, and there the slow time is
proportional to 1/η_v and the delay to 1/η_W. So each prior and context is followed once, at unit rates, and each
further setting costs a few numbers. Exponents d ln t/d ln x differentiate the expressions of
`onset.theory.derivations.plateau_law`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from scipy.special import expi

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations import plateau_law
from onset.theory.dynamics.layout import last_attention
from onset.theory.laws.linear import LARGEST_DELAY, path_at_rates, predict, start_delay, steps_with_bounds
from onset.theory.laws.plateau import plateau
from onset.theory.laws.slow_manifold import manifold, table_contexts
from onset.theory.markov.priors import Dirichlet, Prior
from onset.theory.markov.task import require_first_order
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, find_formation, find_transition

__all__ = [
    "TRANSITIONS",
    "MatchLimited",
    "Terms",
    "concentration_exponent",
    "elasticities",
    "leading_exponent",
    "terms",
    "terms_or_refusal",
]

DIFFERENCE = 1e-2
"""Relative change of the concentration in a central difference, whose error is of order its square."""

UNIT_RATES = {"lag_logits": 1.0, "match": 1.0}
"""Learning rates at which a manifold is followed once for all."""

TRANSITIONS = ("formation", "passage")
"""Formation of the previous-token head, and the transition unigram → bigram."""


class MatchLimited(ValueError):
    """The match relaxes too slowly for the terms of the plateau law; `onset.theory.laws.planar` applies instead."""


class Terms(NamedTuple):
    """Terms of the law up to one transition.

    Attributes
    ----------
    log_e : float
        ln E = v_1 at the transition.
    slow, delay, start : float
        Slow time, delay of the match, and the start's part of the delay; steps.
    per_start : float
        ∂ delay/∂W₀; steps.
    step, low, high : float
        The law's step and its interval, as `onset.theory.laws.linear.predict` gives it.
    """

    log_e: float
    slow: float
    delay: float
    start: float
    per_start: float
    step: float
    low: float
    high: float


class _UnitPath(NamedTuple):
    """The manifold at unit rates and W₀ = 0.

    Arrays of shape (5,): its points before and after each transition, and the point that decides whether the law holds.
    `shares` say how far each transition lies between its two points; empty if one does not happen.
    """

    log_e: Array
    slow: Array
    shift: Array
    shares: tuple[float, ...]


def terms(setting: Setting) -> dict[str, Terms]:
    """The terms of the law up to each of `TRANSITIONS`; microseconds once prior and context are tabulated.

    Raises
    ------
    MatchLimited
        If the match relaxes too slowly.
    ValueError
        If the plateau law has no such terms for another reason, or a transition never happens.
    """
    arguments.one_of("family of the plateau law", setting.model.family, ("linear",))
    arguments.one_of("optimizer of the plateau law", setting.training.optimizer.name, ("sgd",))
    require_first_order(setting.task, "the plateau law")
    setting.training.require_all_trained("the plateau law")
    prior, context, rates = setting.task.prior, setting.task.context, setting.training.optimizer.learning_rate
    unit = _unit_path(prior, context)
    if isinstance(unit, str):
        raise ValueError(unit)
    first, second, per_start = start_delay(prior, context, rates["match"], setting.model.initialization["match"])
    start = first + second
    slow, delay = unit.slow / rates["lag_logits"], unit.shift / rates["match"] + start
    ratio = delay[-1] / slow[-1]
    if not max(abs(ratio), abs(second) / slow[-1]) <= LARGEST_DELAY:
        raise MatchLimited(
            f"setting {setting.label}: the match relaxes too slowly for the terms of the plateau law, which delays lag "
            f"1 by {ratio:.2g} of the slow time: expected at most {LARGEST_DELAY:g}; "
            "`onset.theory.laws.law` follows match and lag 1 together."
        )
    if not unit.shares:
        transitions, formation = predict(setting).transitions()
        raise ValueError(f"setting {setting.label}: {formation.reason or transitions[-1].reason}.")
    rows = np.array([unit.log_e, slow, delay, *steps_with_bounds(slow, delay, second)])
    result = {}
    for n, (name, share) in enumerate(zip(TRANSITIONS, unit.shares, strict=True)):
        log_e, slow_time, delayed, *steps = (
            float(v) for v in rows[:, 2 * n] * (1 - share) + rows[:, 2 * n + 1] * share
        )
        result[name] = Terms(log_e, slow_time, delayed, start, per_start, steps[0], min(steps), max(steps))
    return result


def terms_or_refusal(setting: Setting) -> dict[str, Terms] | ValueError:
    """The terms, or the error that `terms` raises."""
    try:
        return terms(setting)
    except ValueError as problem:
        return problem


@lru_cache(maxsize=1 << 14)
def _unit_path(prior: Prior, context: int) -> _UnitPath | str:
    """The manifold at unit rates around its transitions, or the reason why there is none."""
    if reason := next((reason for c in table_contexts(context) if (reason := _refusal(prior, c))), None):
        return reason
    along = path_at_rates(prior, context, UNIT_RATES, 0.0)
    points = np.arange(len(along.slow))
    lag1 = last_attention(along.manifold.lag_logits, context)[:, 1]
    curves = {"unigram": along.manifold.curves[:, 2], "bigram": along.manifold.curves[:, 3]}
    crossings = (find_formation(points, lag1), find_transition(points, curves, "unigram", "bigram"))
    at = [crossing.step for crossing in crossings if crossing.step is not None]
    after = [int(np.ceil(x)) for x in at]
    shares = tuple(float(x - np.ceil(x) + 1) for x in at) if len(at) == len(crossings) else ()
    deciding = int(np.argmax(lag1 > FORMATION_LEVEL)) or len(points) - 1
    chosen = np.array([*(n for m in after for n in (m - 1, m)), deciding])
    return _UnitPath(along.manifold.log_e[chosen], along.slow[chosen], along.delay[chosen] - along.delay[0], shares)


@cache
def _refusal(prior: Prior, context: int) -> str | None:
    """Why `manifold` fails, if it does; cached, since a failure is not tabulated and takes as long again."""
    try:
        manifold(prior, context)
    except ValueError as problem:
        return str(problem)
    return None


@cache
def _slopes() -> Any:
    """(slow/t) ∂t/∂slow and (delay/t) ∂t/∂delay as functions of slow and delay."""
    t, slow, delay = plateau_law.resummed, plateau_law.slow, plateau_law.delay
    return sp.lambdify((slow, delay), [sp.simplify(x * sp.diff(t, x) / t) for x in (slow, delay)], "numpy")


def elasticities(slow: Array, delay: Array, start_part: Array) -> dict[str, Array]:
    """d ln t/d ln x of the law, by the name of the axis x of a scan.

    The slow time goes as 1/η_v and the delay as 1/η_W; neither depends on the batch, nor on a start common to all lag
    logits.

    Parameters
    ----------
    slow, delay : array
        Terms of the law; steps.
    start_part : array
        W₀ ∂ delay/∂W₀; steps.
    """
    by_slow, by_delay = (np.broadcast_to(x, np.shape(slow)) for x in _slopes()(slow, delay))
    with np.errstate(divide="ignore", invalid="ignore"):
        by_start = np.where(delay == 0, 0.0, by_delay * start_part / delay)
    zero = np.zeros(np.shape(slow))
    return {
        "learning-rate.lag_logits": -by_slow,
        "learning-rate.match": -by_delay,
        "learning-rate": zero - 1,
        "initialization.match": by_start,
        "batch": zero,
    }


@cache
def _leading_form(exponent: bool) -> Any:
    """The leading form of the slow time at η = 1, or its d ln t/d ln T at a fixed share of attention, E ∝ T.

    Returns
    -------
    callable
        Of T, E, A and B.
    """
    T, E, share = plateau_law.T, plateau_law.E, sp.symbols("q", positive=True)
    expression = plateau_law.leading
    if exponent:
        along = expression.subs(E, share * T)
        expression = (T * sp.diff(along, T) / along).subs(share, E / T)
    li = {"li": lambda x: expi(np.log(x))}
    symbols = (T, E, plateau_law.A, plateau_law.B)
    return sp.lambdify(symbols, expression.subs(plateau_law.eta, 1), [li, "numpy"])


def _leading(prior: Prior, context: Array, log_e: Array, *, exponent: bool) -> Array:
    """`_leading_form` with A and B of `prior`; NaN where the drive A (ln(T/E) + B) has changed sign before E."""
    limit = plateau(prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _leading_form(exponent)(context, np.exp(log_e), float(limit.drives[1]), limit.offset)
    return np.where(np.log(context) - log_e + limit.offset > 0, values, np.nan)


def leading_exponent(prior: Prior, context: Array, log_e: Array) -> Array:
    """Local exponent d ln t/d ln T of the leading logarithmic integral.

    NaN where its drive A (ln(T/E) + B) has changed sign before E.
    """
    return _leading(prior, np.asarray(context, dtype=float), np.asarray(log_e, dtype=float), exponent=True)


def concentration_exponent(prior: Prior, context: Array, log_e: Array) -> Array:
    """Local exponent d ln t/d ln α of the leading form by the concentration of a Dirichlet prior, through A and B.

    NaN where its drive has changed sign before E, and for other priors.
    """
    if not isinstance(prior, Dirichlet):
        return np.full(np.shape(context), np.nan)
    context, log_e = np.asarray(context, dtype=float), np.asarray(log_e, dtype=float)
    more, less = (
        _leading(replace(prior, concentration=prior.concentration * factor), context, log_e, exponent=False)
        for factor in (1 + DIFFERENCE, 1 - DIFFERENCE)
    )
    return np.log(more / less) / np.log((1 + DIFFERENCE) / (1 - DIFFERENCE))

r"""The plateau law at its two transitions alone, term by term: what a scan over many settings and an explanation of one need.

Where on the slow manifold a transition falls depends on prior and context only, and there the slow time is proportional to
1/η_v and the delay to 1/η_W. So a prior and context are gone through once, at unit rates, and each further setting costs
a few numbers. Exponents d ln t/d ln x differentiate the expressions of `onset.theory.derivations.plateau_law`.
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
from onset.theory.laws.escape import manifold
from onset.theory.laws.plateau import plateau
from onset.theory.laws.plateau_law import SLOWEST, answer, law, path, start_delay, table_contexts
from onset.theory.markov.priors import Dirichlet, Prior
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

CHANGE = 1e-2
"""Relative change of the concentration in a central difference, whose error is of order its square."""


class MatchLimited(ValueError):
    """The match relaxes too slowly for the terms of the plateau law; `onset.theory.laws.planar` answers instead."""


TRANSITIONS = ("formation", "passage")
"""Formation of the previous-token head, and the passage unigram → bigram."""


class Terms(NamedTuple):
    """What the law adds up until one transition.

    Attributes
    ----------
    log_e : float
        ln E = v_1 at the transition.
    slow, delay, start : float
        Slow time, delay of the match, and the start's part of the delay; steps.
    per_start : float
        ∂ delay/∂W₀; steps.
    step, low, high : float
        The law's answer and its interval, as `onset.theory.laws.plateau_law.law` gives it; steps.
    """

    log_e: float
    slow: float
    delay: float
    start: float
    per_start: float
    step: float
    low: float
    high: float


class _Unit(NamedTuple):
    """At unit rates, the nodes of the manifold around the two transitions, in pairs, and the node where the law is judged: shapes (5,)."""

    log_e: Array
    slow: Array
    shift: Array
    shares: tuple[float, ...]


def terms(setting: Setting) -> dict[str, Terms]:
    """The terms of the law until each of `TRANSITIONS`; microseconds once the prior and context were met.

    Raises
    ------
    MatchLimited
        If the match relaxes too slowly.
    ValueError
        Where else the plateau law has no such terms, or if a transition is never made.
    """
    arguments.one_of("family of the plateau law", setting.model.family, ("linear",))
    arguments.one_of("optimizer of the plateau law", setting.training.optimizer.name, ("sgd",))
    setting.task.require_first_order("the plateau law")
    unit = _unit(setting.task.prior, setting.task.context)
    if isinstance(unit, str):
        raise ValueError(unit)
    rates = setting.training.optimizer.learning_rate
    first, bend, per_start = start_delay(setting)
    start = first + bend
    slow, delay = unit.slow / rates["lag_logits"], unit.shift / rates["match"] + start
    ratio = delay[-1] / slow[-1]
    if not max(abs(ratio), abs(bend) / slow[-1]) <= SLOWEST:
        raise MatchLimited(
            f"setting {setting.label}: the match relaxes too slowly for the terms of the plateau law, which delays lag 1 by {ratio:.2g} of the slow time: expected at most {SLOWEST:g}; `onset.theory.laws.plateau_law.law` follows match and lag 1 together."
        )
    if not unit.shares:
        passages, formation = law(setting).transitions()
        raise ValueError(f"setting {setting.label}: {formation.reason or passages[-1].reason}.")
    rows = np.array([unit.log_e, slow, delay, *answer(slow, delay, bend)])
    found = {}
    for n, (name, share) in enumerate(zip(TRANSITIONS, unit.shares, strict=True)):
        log_e, slow_time, late, *three = (float(v) for v in rows[:, 2 * n] * (1 - share) + rows[:, 2 * n + 1] * share)
        found[name] = Terms(log_e, slow_time, late, start, per_start, three[0], min(three), max(three))
    return found


@lru_cache(maxsize=1 << 14)
def _unit(prior: Prior, context: int) -> _Unit | str:
    """The manifold at unit rates and W₀ = 0 where it matters, or why there is none."""
    if reason := _refusal(prior, context):
        return reason
    setting = Setting.of("linear", prior=prior, context=context, learning_rate=1.0, initialization={"match": 0.0})
    found = path(setting)
    nodes = np.arange(len(found.log_e))
    lag1 = last_attention(found.lag_logits, context)[:, 1]
    curves = {"unigram": found.curves[:, 2], "bigram": found.curves[:, 3]}
    crossings = (find_formation(nodes, lag1), find_transition(nodes, curves, "unigram", "bigram"))
    at = [crossing.step for crossing in crossings]
    judged = int(np.argmax(lag1 > FORMATION_LEVEL)) or len(nodes) - 1
    pairs = [n for x in at if x is not None for n in (int(np.ceil(x)) - 1, int(np.ceil(x)))]
    chosen = np.array([*pairs, judged])
    shares = () if None in at else tuple(float(x - np.ceil(x) + 1) for x in at)  # pyright: ignore[reportOptionalOperand, reportCallIssue, reportArgumentType]
    return _Unit(found.log_e[chosen], found.slow[chosen], found.delay[chosen] - found.delay[0], shares)


def _refusal(prior: Prior, context: int) -> str | None:
    """Why a manifold that the table at `context` is made of does not exist."""
    return next((reason for c in table_contexts(context) if (reason := _reason(prior, c))), None)


@cache
def _reason(prior: Prior, context: int) -> str | None:
    """Remembered, since what failed once is not tabulated and would fail as slowly again."""
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


def elasticities(slow: Array, delay: Array, moved: Array) -> dict[str, Array]:
    """d ln t/d ln x of the law at given terms, by the name of the axis x of a scan; `moved` is W₀ ∂ delay/∂W₀.

    The slow time goes as 1/η_v and the delay as 1/η_W; neither depends on the batch, nor on a start common to all lag logits.
    """
    by_slow, by_delay = (np.broadcast_to(x, np.shape(slow)) for x in _slopes()(slow, delay))
    with np.errstate(divide="ignore", invalid="ignore"):
        by_start = np.where(delay == 0, 0.0, by_delay * moved / delay)
    nothing = np.zeros(np.shape(slow))
    return {
        "learning-rate.lag_logits": -by_slow,
        "learning-rate.match": -by_delay,
        "learning-rate": nothing - 1,
        "initialization.match": by_start,
        "batch": nothing,
    }


def terms_or_refusal(setting: Setting) -> dict[str, Terms] | ValueError:
    """What `terms` returns, or raises."""
    try:
        return terms(setting)
    except ValueError as problem:
        return problem


def _of_leading(expression: sp.Expr) -> Any:
    """An expression made of the leading form at η = 1, as a function of T, E, A and B."""
    li = {"li": lambda x: expi(np.log(x))}
    symbols = (plateau_law.T, plateau_law.E, plateau_law.A, plateau_law.B)
    return sp.lambdify(symbols, expression.subs(plateau_law.eta, 1), [li, "numpy"])


@cache
def _leading() -> Any:
    return _of_leading(plateau_law.leading)


@cache
def _leading_exponent() -> Any:
    """d ln t/d ln T of the leading form at a fixed share of attention, E ∝ T."""
    T, E, share = plateau_law.T, plateau_law.E, sp.symbols("q", positive=True)
    form = plateau_law.leading.subs(E, share * T)
    return _of_leading((T * sp.diff(form, T) / form).subs(share, E / T))


def leading_exponent(prior: Prior, context: Array, log_e: Array) -> Array:
    """Local exponent d ln t/d ln T of the leading logarithmic integral; NaN where its drive A (ln(T/E) + B) has changed sign before E."""
    found = plateau(prior)
    strength, offset = float(found.drives[1]), found.offset
    context, log_e = np.asarray(context, dtype=float), np.asarray(log_e, dtype=float)
    driven = np.log(context) - log_e + offset > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = _leading_exponent()(context, np.exp(log_e), strength, offset)
    return np.where(driven, exponent, np.nan)


def concentration_exponent(prior: Prior, context: Array, log_e: Array) -> Array:
    """Local exponent d ln t/d ln α of the leading form by the concentration of a Dirichlet prior, through A and B; NaN where its drive has changed sign before E."""
    if not isinstance(prior, Dirichlet):
        return np.full(np.shape(context), np.nan)
    closed = _leading()
    context, log_e = np.asarray(context, dtype=float), np.asarray(log_e, dtype=float)
    times = []
    for factor in (1 + CHANGE, 1 - CHANGE):
        found = plateau(replace(prior, concentration=prior.concentration * factor))
        driven = np.log(context) - log_e + found.offset > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            times.append(np.where(driven, closed(context, np.exp(log_e), float(found.drives[1]), found.offset), np.nan))
    return np.log(times[0] / times[1]) / np.log((1 + CHANGE) / (1 - CHANGE))

r"""The plateau law of the linear family at its two transitions, term by term, for scans and explanations.

The place of a transition on the slow manifold depends on prior and context only, and there each piece of the slow time
is proportional to 1/η_v and of the delay to 1/η_W. So each prior and context is followed once, at unit rates, and each
further setting costs a sum over the pieces. Exponents d ln t/d ln x differentiate the expressions of
`onset.theory.derivations.plateau_law`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from scipy.special import expi

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations import plateau_law
from onset.theory.dynamics.flow import sharpness
from onset.theory.dynamics.layout import Layout, last_attention
from onset.theory.estimates import RelativeError
from onset.theory.floating import in_range
from onset.theory.laws.linear import path_at_rates, predict, start_delay, start_slope
from onset.theory.laws.plateau import plateau
from onset.theory.laws.slow_manifold import manifold, table_contexts
from onset.theory.markov.priors import LEAST_CONCENTRATION, MOST_CONCENTRATION, Dirichlet, Prior
from onset.theory.markov.task import require_first_order
from onset.theory.mean_fields.corrected.neglected import drive_change, earlier_and_later
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags, drive_error
from onset.theory.mean_fields.stability import curvatures_along, require_stable
from onset.theory.setting import Setting
from onset.theory.transitions import find_formation, find_transition

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
    slow, moving, start : float
        Slow time, and the delays by the moving match, resummed, and by the start; they add up to `step`. Steps.
    by_slow, by_delay : float
        ∂ ln t/∂ ln of the slow time and of both delays; they add up to one.
    by_start : float
        ∂ ln t/∂ ln W₀.
    neglected : float
        Size of the second order in the delay, steps.
    step, low, high : float
        The law's step and its interval.
    """

    log_e: float
    slow: float
    moving: float
    start: float
    by_slow: float
    by_delay: float
    by_start: float
    neglected: float
    step: float
    low: float
    high: float

    @property
    def delay(self) -> float:
        """Both delays together; steps."""
        return self.moving + self.start


class _UnitPath(NamedTuple):
    """The manifold at unit rates.

    Attributes
    ----------
    log_e : array, shape (n,)
    slow, delay : array, shape (n - 1,)
        Of each piece of the way.
    places : mapping of transition to float
        Where each transition lies, in pieces; without those that do not happen.
    change : float
        Relative change of the drive that fluctuating counts make.
    error : RelativeError or None
        Of the drive.
    curvatures, layout
        Second derivatives of the loss at a few points of the way, in these coordinates.
    """

    log_e: Array
    slow: Array
    delay: Array
    places: Mapping[str, float]
    change: float
    error: RelativeError | None
    curvatures: Array
    layout: Layout


def terms(setting: Setting) -> dict[str, Terms]:
    """The terms of the law up to each of `TRANSITIONS`; some 50 µs once prior and context are tabulated.

    Raises
    ------
    MatchLimited
        If the delay is longer than the slow time: its orders then do not fall.
    ValueError
        If the plateau law has no such terms for another reason, or a transition never happens.
    """
    arguments.one_of("family of the plateau law", setting.model.family, ("linear",))
    arguments.one_of("optimizer of the plateau law", setting.training.optimizer.name, ("sgd",))
    require_first_order(setting.task, "the plateau law")
    setting.training.require_all_trained("the plateau law")
    prior, context, rates = setting.task.prior, setting.task.context, setting.training.optimizer.learning_rate
    unit, initial = _unit_path(prior, context), setting.model.initialization["match"]
    if isinstance(unit, str):
        raise ValueError(unit)
    require_stable(setting, sharpness(unit.curvatures, unit.layout, setting.training))
    first, second = start_delay(prior, context, rates["match"], initial)
    per_start = start_slope(prior, context, rates["match"], initial)
    slow, delay = unit.slow / rates["lag_logits"], unit.delay / rates["match"]
    steps, neglected = plateau_law.steps_and_neglected(slow, delay)
    totals = np.array([slow, steps - slow, neglected, plateau_law.by_slow(slow, delay)]).cumsum(axis=1)
    points, start = np.arange(len(unit.log_e)), first + second
    result = {}
    for name in TRANSITIONS:
        if name not in unit.places:
            transitions, formation = predict(setting).transitions()
            raise ValueError(f"setting {setting.label}: {formation.reason or transitions[-1].reason}.")
        at = unit.places[name]
        slow_time, moving, second_order, by_slow = (float(np.interp(at, points[1:], total)) for total in totals)
        if not max(abs(moving + start), abs(start)) <= slow_time:
            raise MatchLimited(
                f"setting {setting.label}: the match relaxes too slowly for the terms of the plateau law, which delays "
                f"lag 1 by {(moving + start) / slow_time:.2g} of the slow time: expected less than all of it; "
                "`onset.theory.laws.law` follows match and lag 1 together."
            )
        step = max(slow_time + moving + start, 0.0)
        left_out = second_order + start**2 / (slow_time + abs(start)) + abs(second)
        earlier, later = earlier_and_later(unit.change, step)
        half = 0.0 if unit.error is None else unit.error.times(step).half
        result[name] = Terms(
            log_e=float(np.interp(at, points, unit.log_e)),
            slow=slow_time,
            moving=moving,
            start=start,
            by_slow=by_slow / step,
            by_delay=1 - by_slow / step,
            by_start=per_start * initial / step,
            neglected=left_out,
            step=step,
            low=max(0.0, step - left_out - earlier - half),
            high=step + left_out + later + half,
        )
    return result


def terms_or_refusal(setting: Setting) -> dict[str, Terms] | ValueError:
    """The terms, or the error that `terms` raises."""
    try:
        with in_range(f"setting {setting.label}: the plateau law"):
            return terms(setting)
    except ValueError as problem:
        return problem


@lru_cache(maxsize=1 << 14)
def _unit_path(prior: Prior, context: int) -> _UnitPath | str:
    """The manifold at unit rates and where its transitions lie, or the reason why there is none."""
    if reason := next((reason for c in table_contexts(context) if (reason := _refusal(prior, c))), None):
        return reason
    along, change = path_at_rates(prior, context, UNIT_RATES, 0.0), drive_change(prior, context)
    if abs(change) >= 1:
        return (
            f"prior = {prior} at T = {context}: fluctuations of counts change the drive on the plateau by "
            f"{100 * change:.0f}%, so that the plateau law has no time to give; use the finite context."
        )
    manifold_of = along.manifold
    points, lag1 = np.arange(len(manifold_of.log_e)), last_attention(manifold_of.lag_logits, context)[:, 1]
    curves = {"unigram": manifold_of.curves[:, 2], "bigram": manifold_of.curves[:, 3]}
    crossings = (find_formation(points, lag1), find_transition(points, curves, "unigram", "bigram"))
    places = {
        name: crossing.step for name, crossing in zip(TRANSITIONS, crossings, strict=True) if crossing.step is not None
    }
    field = MatchAndLags(prior, context).field
    assert isinstance(field, MeanField)
    last = int(max(places.values(), default=len(points)))
    curvatures = curvatures_along(field, manifold_of.coordinates[: last + 1])
    error = drive_error(prior, context)
    return _UnitPath(manifold_of.log_e, along.slow, along.delay, places, change, error, curvatures, field.layout)


@cache
def _refusal(prior: Prior, context: int) -> str | None:
    """Why `manifold` fails, if it does; cached, since a failure is not tabulated and takes as long again."""
    try:
        manifold(prior, context)
    except ValueError as problem:
        return str(problem)
    return None


def elasticities(by_slow: Array, by_delay: Array, by_start: Array) -> dict[str, Array]:
    """d ln t/d ln x of the law, by the name of the axis x of a scan.

    The slow time goes as 1/η_v and the delay as 1/η_W; neither depends on the batch, nor on a start common to all lag
    logits.

    Parameters
    ----------
    by_slow, by_delay, by_start : array
        Of `Terms`.
    """
    zero = np.zeros(np.shape(by_slow))
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
    above = min(prior.concentration * (1 + DIFFERENCE), MOST_CONCENTRATION)
    below = max(prior.concentration * (1 - DIFFERENCE), LEAST_CONCENTRATION)
    more, less = (
        _leading(replace(prior, concentration=concentration), context, log_e, exponent=False)
        for concentration in (above, below)
    )
    return np.log(more / less) / np.log(above / below)

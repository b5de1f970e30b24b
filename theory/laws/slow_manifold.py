r"""The slow manifold along which the linear family leaves its unigram plateau, tabulated once per prior and context.

While lag 1 grows from E = e^{v_1} = 1, the match θ = (C, Ω) follows the minimum θ* of the loss at fixed lag logits.
There the lag logit is driven by

    -∂L/∂v_1 = (E/T) h,

with h of order A ln(T/E): h depends on prior, E and T only. The other lags follow, dv_r/dv_1 being the ratio of their
drives: d e^{-v_r}/d(1/E) = ρ_r, with ρ_r = (drive r/drive 1) E e^{-v_r} slowly varying. All coefficients come from the
mean field (`onset.theory.mean_fields.linear`). Derived here; `onset.theory.laws.linear` adds rates and start.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline, KroghInterpolator

from onset.theory.arrays import Array
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import STRATEGIES
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.match_and_lags import MatchAndLags
from onset.theory.tasks import LARGEST_CONTEXT

__all__ = ["SlowManifold", "interpolated_manifold", "manifold", "table_contexts"]

HIGHEST_ATTENTION = 0.9
"""Share of the last position's attention on lag 1 up to which the manifold is followed."""

KEPT_MANIFOLDS = 1 << 12
"""Priors and contexts whose manifolds are cached, some 5 kB each."""

KEPT_INTERPOLATED = 1 << 14
"""Priors and contexts whose interpolated manifolds are cached."""

LEAST_INVERSE = 0.1
"""Least e^{-v_r}: no other lag is followed to a head of its own."""

SHORTEST_TABLE = 32
"""Shortest context of a table; tables are made at powers of two up to `LARGEST_CONTEXT`, and there, and interpolated in
ln T between four."""

GRID = (1 - np.cos(np.pi * np.arange(24) / 23)) / 2
"""Chebyshev points of ln E, as shares of its largest value."""


class SlowManifold:
    """The slow manifold of one prior and context at n points of ln E, and the loss and the drive around it.

    Attributes
    ----------
    context : int
    log_e : array, shape (n,)
        ln E = v_1, from 0 on.
    columns : array, shape (n, 13 + R)
        The coefficients below, side by side.
    force : array, shape (n,)
        h, nats per token. Past its zero lag 1 takes no more attention.
    target : array, shape (n, 2)
        θ* = (C*, Ω*).
    pull : array, shape (n, 2)
        ∂h/∂θ, nats per token.
    hessian : array, shape (n, 2, 2)
        Second derivatives of the loss by θ, nats per token.
    curves : array, shape (n, 4)
        Loss and KL(strategy ‖ model) for uniform, unigram, bigram, nats per token.
    lag_logits : array, shape (n, R)
        v_r, with v_1 = ln E.
    third : array, shape (2, 2, 2)
        Third derivatives of the loss by θ at E = 1, nats per token; the start may be far enough from the plateau to
        need them.
    """

    def __init__(self, context: int, log_e: Array, columns: Array, third: Array) -> None:
        self.context, self.log_e, self.columns, self.third = context, log_e, columns, third
        self.force, self.target, self.pull = columns[:, 0], columns[:, 1:3], columns[:, 3:5]
        self.hessian = columns[:, 5:9].reshape(-1, 2, 2)
        self.curves, self.lag_logits = columns[:, 9:13], columns[:, 13:]

    @property
    def coordinates(self) -> Array:
        """The points in reduced coordinates: entries of W on the diagonal and off it, lag logits; shape (n, 2 + R)."""
        scale, match = self.target.T / self.context
        return np.column_stack([scale + match, scale, self.lag_logits])

    def lag_logits_at(self, log_e: Array) -> Array:
        """Lag logits at any points of ln E, shape (…, R)."""
        lag_logits = CubicSpline(self.log_e, self.lag_logits)(log_e)
        lag_logits[..., 1] = log_e
        return lag_logits


@lru_cache(maxsize=KEPT_MANIFOLDS)
def manifold(prior: Prior, context: int) -> SlowManifold:
    """The slow manifold of `prior` at `context`, at the points `GRID` up to `HIGHEST_ATTENTION` on lag 1.

    Raises
    ------
    ValueError
        If the plateau has no unique match, as for doubly stochastic matrices, or drives lag 1 down, so that lag 1 does
        not grow from it.
    """
    loss, lag_logits = MatchAndLags(prior, context), np.zeros(LAGS)
    theta = loss.best_match(np.array([1.0, 1.0]), lag_logits)
    drive = -context * float(loss.gradient(theta, lag_logits)[3])
    if drive <= 0:
        raise ValueError(
            f"prior = {prior} at T = {context}: expected a plateau that drives lag 1 upwards, but its drive is "
            f"{drive:.3g}: the plateau does not end."
        )
    log_e = _grid(context)
    rows: list[Array] = []
    ratios: list[Array] = []
    for n, v_1 in enumerate(log_e):
        if n > 0:
            lag_logits = _next_lag_logits(lag_logits, ratios, log_e[: n + 1])
        theta = loss.best_match(theta, lag_logits)
        gradient, slopes = loss.gradient(theta, lag_logits), loss.slopes(theta, lag_logits)
        measured = loss.field.measure(loss.point(theta, lag_logits))
        curves = [measured.loss, *(measured.distances[strategy] for strategy in STRATEGIES)]
        to_force = -context * np.exp(-v_1)
        force, pull = to_force * gradient[3], to_force * slopes[3]
        rows.append(np.concatenate([[force], theta, pull, slopes[:2].ravel(), curves, lag_logits]))
        ratios.append(gradient[2:] / gradient[3] * np.exp(v_1 - lag_logits))
    return SlowManifold(context, log_e, np.array(rows), loss.third(rows[0][1:3], np.zeros(LAGS)))


def table_contexts(context: int) -> list[int]:
    """Contexts of the four tables that are interpolated at `context`, the last of all at `LARGEST_CONTEXT`."""
    octave, first, last = (number.bit_length() - 1 for number in (int(context), SHORTEST_TABLE, LARGEST_CONTEXT))
    middle = min(max(octave, first + 1), last - 1)
    return [min(2**n, LARGEST_CONTEXT) for n in range(middle - 1, middle + 3)]


@lru_cache(maxsize=KEPT_INTERPOLATED)
def interpolated_manifold(prior: Prior, context: int) -> SlowManifold:
    """The slow manifold at any context, interpolated in ln T by a cubic; errors as for `manifold`."""
    contexts = table_contexts(context)
    tables = [manifold(prior, c) for c in contexts]
    columns, third = (
        KroghInterpolator(np.log(contexts), [getattr(table, name) for table in tables])(np.log(context))
        for name in ("columns", "third")
    )
    return SlowManifold(context, _grid(context), columns, third)


def _grid(context: int) -> Array:
    return np.log(HIGHEST_ATTENTION / (1 - HIGHEST_ATTENTION) * (context - 1)) * GRID


def _next_lag_logits(lag_logits: Array, ratios: list[Array], log_e: Array) -> Array:
    """Lag logits at log_e[-1] from those at log_e[-2] and the ratios ρ there and before, extrapolated."""
    ahead = np.zeros(LAGS)
    if len(ratios) > 1:
        ahead = (ratios[-1] - ratios[-2]) * (log_e[-1] - log_e[-2]) / (log_e[-2] - log_e[-3]) / 2
    fall = np.exp(-log_e[-2]) - np.exp(-log_e[-1])
    following = -np.log(np.maximum(np.exp(-lag_logits) - (ratios[-1] + ahead) * fall, LEAST_INVERSE))
    following[1] = log_e[-1]
    return following

r"""How the linear family leaves its unigram plateau: the slow manifold of the mean field, tabulated once per prior.

While lag 1 grows from E = e^{v_1} = 1, the match (C, Ω) follows the minimum θ* of the loss at fixed lag logits. There the lag
logit is driven by

    -∂L/∂v_1 = (E/T) h,

with h of order A ln(T/E): h depends on prior, E and T, and on nothing else. The other lags follow, dv_r/dv_1 being the ratio of
their drives: d e^{-v_r}/d(1/E) = ρ_r, with ρ_r = (drive r/drive 1) E e^{-v_r} slowly varying. Everything is taken from the
mean field itself (`onset.theory.mean_fields.linear`). Derived here; `onset.theory.laws.plateau_law` adds rates and start.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from onset.theory.arrays import Array
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import STRATEGIES, MarkovChains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LinearMeanField

if TYPE_CHECKING:
    from onset.theory.mean_fields.corrected.base import Corrected

__all__ = ["Manifold", "Reduced", "manifold"]

NODES = 128
POINTS = 24
HIGHEST = 0.9
"""Share of the last position's attention on lag 1 up to which the manifold is followed."""

CHANGE = 1e-4
"""Relative change of θ in central differences of the gradient, whose error is of order its square."""

KEPT = 1 << 12
"""Priors and contexts whose manifolds are remembered, some 5 kB each."""

ITERATIONS = 30
FLAT = 1e8
"""Condition number of the Hessian above which the plateau does not fix the match."""

CEILING = 0.1
"""Least e^{-v_r}: no other lag is followed to a head of its own."""

GRID = (1 - np.cos(np.pi * np.arange(POINTS) / (POINTS - 1))) / 2


@dataclass(frozen=True)
class Manifold:
    """The slow manifold of one prior and context at Chebyshev points in ln E.

    Attributes
    ----------
    log_e : array, shape (n,)
        ln E = v_1, from 0 on.
    force : array, shape (n,)
        h; nats per token. Past a zero lag 1 takes no more attention.
    target : array, shape (n, 2)
        θ* = (C*, Ω*).
    pull : array, shape (n, 2)
        ∂h/∂θ; nats per token.
    hessian : array, shape (n, 2, 2)
        Of the loss by θ; nats per token.
    curves : array, shape (n, 4)
        Loss and KL(strategy ‖ model) for uniform, unigram, bigram.
    lag_logits : array, shape (n, R)
        v_r, with v_1 = ln E.
    third : array, shape (2, 2, 2)
        Third derivatives of the loss by θ at E = 1, nats per token: what the start is far enough from the plateau to feel.
    """

    log_e: Array
    force: Array
    target: Array
    pull: Array
    hessian: Array
    curves: Array
    lag_logits: Array
    third: Array


class Reduced:
    """The mean field of the linear family, or another `field` of it, in θ = (C, Ω) and the lag logits."""

    def __init__(
        self,
        prior: Prior,
        context: int,
        count: int = NODES,
        field: type[MeanField | Corrected] = LinearMeanField,
        seed: int = 0,
    ) -> None:
        self.context = context
        self.dynamics = field(
            MarkovChains(prior, context), lags=LAGS, count=count, generator=np.random.default_rng(seed)
        )

    def point(self, theta: Array, lag_logits: Array) -> Array:
        return np.concatenate([[theta.sum() / self.context, theta[0] / self.context], lag_logits])

    def gradient(self, theta: Array, lag_logits: Array) -> Array:
        """∂L/∂(C, Ω, v_0, …)."""
        found = self.dynamics.gradient(self.point(theta, lag_logits)).derivative
        return np.concatenate([[found[:2].sum() / self.context, found[0] / self.context], found[2:]])

    def slopes(self, theta: Array, lag_logits: Array) -> Array:
        """∂(gradient)/∂θ, shape (2 + R, 2), by central differences."""
        steps = CHANGE * (1 + np.abs(theta)) * np.eye(2)
        columns = [
            (self.gradient(theta + h, lag_logits) - self.gradient(theta - h, lag_logits)) / (2 * h.sum()) for h in steps
        ]
        return np.stack(columns, axis=1)

    def relax(self, theta: Array, lag_logits: Array) -> Array:
        """θ* by Newton's iteration; the loss is convex in θ."""
        for _ in range(ITERATIONS):
            hessian = self.slopes(theta, lag_logits)[:2]
            if np.linalg.cond(hessian) > FLAT:
                break
            step = np.linalg.solve(hessian, self.gradient(theta, lag_logits)[:2])
            theta = theta - step
            if np.abs(step).max() < CHANGE**2 * (1 + np.abs(theta).max()):
                return theta
        raise ValueError(
            f"prior = {self.dynamics.task.prior} at T = {self.context}: expected a plateau with one best match (C, Ω), but there is none; predict with the mean field."
        )


@lru_cache(maxsize=KEPT)
def manifold(prior: Prior, context: int) -> Manifold:
    """The slow manifold of `prior` at `context`.

    Raises
    ------
    ValueError
        If the plateau has no unique match, as for doubly stochastic matrices, or its first drive has the wrong sign, so that
        lag 1 does not grow from it.
    """
    reduced = Reduced(prior, context)
    theta = reduced.relax(np.array([1.0, 1.0]), np.zeros(LAGS))
    drive = -context * float(reduced.gradient(theta, np.zeros(LAGS))[3])
    if drive <= 0:
        raise ValueError(
            f"prior = {prior} at T = {context}: expected a plateau that drives lag 1 upwards, but its drive is {drive:.3g}: the plateau does not end."
        )
    log_e = longest(context) * GRID
    rows, ratios = [], []
    lag_logits = np.zeros(LAGS)
    for n, z in enumerate(log_e):
        theta = reduced.relax(theta, lag_logits)
        gradient, slopes = reduced.gradient(theta, lag_logits), reduced.slopes(theta, lag_logits)
        drive = gradient[3]
        seen = reduced.dynamics.measure(reduced.point(theta, lag_logits))
        curves = [seen.loss, *(seen.distances[s] for s in STRATEGIES)]
        scale = -context * np.exp(-z)
        rows.append((scale * drive, theta, scale * slopes[3], slopes[:2], curves, lag_logits))
        ratios.append(gradient[2:] / drive * np.exp(z - lag_logits))
        if n + 1 < POINTS:
            lag_logits = _following(lag_logits, ratios, log_e[: n + 2])
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Manifold(log_e, *columns, third=_third(reduced, columns[1][0]))  # pyright: ignore[reportCallIssue]


def _third(reduced: Reduced, theta: Array) -> Array:
    """Third derivatives of the loss by θ with no lag grown, by central differences of its Hessian."""
    level = np.zeros(LAGS)
    steps = np.cbrt(CHANGE) * (1 + np.abs(theta)) * np.eye(2)
    rises = [
        (reduced.slopes(theta + h, level)[:2] - reduced.slopes(theta - h, level)[:2]) / (2 * h.sum()) for h in steps
    ]
    return np.array(rises)


def _following(lag_logits: Array, ratios: list[Array], log_e: Array) -> Array:
    """The lag logits at log_e[-1], from those at log_e[-2] and the ratios ρ of the drives there and before, extrapolated."""
    ahead = np.zeros(LAGS)
    if len(ratios) > 1:
        ahead = (ratios[-1] - ratios[-2]) * (log_e[-1] - log_e[-2]) / (log_e[-2] - log_e[-3]) / 2
    passed = np.exp(-log_e[-2]) - np.exp(-log_e[-1])
    following = -np.log(np.maximum(np.exp(-lag_logits) - (ratios[-1] + ahead) * passed, CEILING))
    following[1] = log_e[-1]
    return following


def longest(context: int) -> float:
    """ln E at which lag 1 holds `HIGHEST` of the last position's attention."""
    return float(np.log(HIGHEST / (1 - HIGHEST) * (context - 1)))

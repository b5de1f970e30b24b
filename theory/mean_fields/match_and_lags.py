r"""The linear family's loss in the match θ = (C, Ω) and the lag logits: its slopes, and the best match at given lags.

C = T c and Ω = T ω for W = ω I + c·11ᵀ; with no lag grown the best match is the unigram plateau. Any mean field of the
family gives the loss, the limit T → ∞ or the corrected one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from onset.theory.arrays import Array
from onset.theory.estimates import RelativeError
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.quadrature import rules

if TYPE_CHECKING:
    from onset.theory.mean_fields.corrected.base import Corrected

__all__ = ["MatchAndLags", "NoBestMatch", "drive_error"]

DIFFERENCE = 1e-4
"""Relative change of θ in central differences of the gradient, whose error is of order its square."""

NEWTON_STEPS = 30
"""Most steps of Newton's iteration for θ*."""

FLAT = 1e8
"""Condition number of the Hessian above which the plateau does not fix the match."""

KEPT_ERRORS = 1 << 12
"""Priors and contexts whose errors are cached."""


class NoBestMatch(ValueError):
    """The loss does not fix the best match."""


class MatchAndLags:
    """Loss of the linear family as a function of θ = (C, Ω) and the lag logits.

    Parameters
    ----------
    prior : Prior
    context : int
    field : MeanField or Corrected, optional
        A mean field of the linear family with `LAGS` lags; by default the limit T → ∞, with the mean rule of
        `onset.theory.mean_fields.quadrature`.
    """

    def __init__(self, prior: Prior, context: int, field: MeanField | Corrected | None = None) -> None:
        self.prior, self.context = prior, context
        if field is None:
            mean = rules(LinearMeanField, prior, LAGS).mean
            field = LinearMeanField(MarkovChains(prior, context), lags=LAGS, rule=mean)
        self.field = field

    def point(self, theta: Array, lag_logits: Array) -> Array:
        """Reduced coordinates of the field: the entries of W on the diagonal and off it, and the lag logits."""
        return self._points(theta[None], lag_logits)[0]

    def gradient(self, theta: Array, lag_logits: Array) -> Array:
        """∂L/∂(C, Ω, v_0, …), shape (2 + R,)."""
        return self._gradients(theta[None], lag_logits)[0]

    def slopes(self, theta: Array, lag_logits: Array) -> Array:
        """∂(gradient)/∂θ, shape (2 + R, 2), by central differences."""
        return self._gradient_and_slopes(theta, lag_logits)[1]

    def third(self, theta: Array, lag_logits: Array) -> Array:
        """Third derivatives of the loss by θ, shape (2, 2, 2), by central differences of its Hessian."""
        steps = np.cbrt(DIFFERENCE) * (1 + np.abs(theta)) * np.eye(2)
        rises = [
            (self.slopes(theta + h, lag_logits)[:2] - self.slopes(theta - h, lag_logits)[:2]) / (2 * h.sum())
            for h in steps
        ]
        return np.array(rises)

    def best_match(self, theta: Array, lag_logits: Array) -> Array:
        """θ* by Newton's iteration from `theta`; the loss is convex in θ.

        Raises
        ------
        NoBestMatch
            If the loss does not fix θ*.
        """
        for _ in range(NEWTON_STEPS):
            gradient, slopes = self._gradient_and_slopes(theta, lag_logits)
            if np.linalg.cond(slopes[:2]) > FLAT:
                break
            step = np.linalg.solve(slopes[:2], gradient[:2])
            theta = theta - step
            if np.abs(step).max() < DIFFERENCE**2 * (1 + np.abs(theta).max()):
                return theta
        raise NoBestMatch(
            f"prior = {self.prior} at T = {self.context}: expected a plateau with one best match (C, Ω), "
            "but there is none; predict with the mean field."
        )

    def _points(self, thetas: Array, lag_logits: Array) -> Array:
        """Reduced coordinates at (m, 2) values of θ, shape (m, 2 + R)."""
        entries = np.column_stack([thetas.sum(axis=1), thetas[:, 0]]) / self.context
        return np.column_stack([entries, np.tile(lag_logits, (len(thetas), 1))])

    def _gradients(self, thetas: Array, lag_logits: Array) -> Array:
        """`gradient` at (m, 2) values of θ, shape (m, 2 + R)."""
        points = self._points(thetas, lag_logits)
        if isinstance(self.field, MeanField):
            derivatives = self.field.derivatives(points[None])[0]
        else:
            derivatives = np.array([self.field.gradient(point).derivative for point in points])
        by_theta = np.column_stack([derivatives[:, :2].sum(axis=1), derivatives[:, 0]]) / self.context
        return np.column_stack([by_theta, derivatives[:, 2:]])

    def _gradient_and_slopes(self, theta: Array, lag_logits: Array) -> tuple[Array, Array]:
        steps = DIFFERENCE * (1 + np.abs(theta)) * np.eye(2)
        here, *around = self._gradients(np.array([theta, *(theta + steps), *(theta - steps)]), lag_logits)
        return here, ((np.array(around[:2]) - around[2:]) / (2 * steps.sum(axis=1))[:, None]).T


@lru_cache(maxsize=KEPT_ERRORS)
def drive_error(prior: Prior, context: int) -> RelativeError | None:
    """Relative standard error of the plateau's drive of lag 1, by the rules that stand for the prior; None of one rule.

    Raises
    ------
    ValueError
        If there is no plateau.
    """
    lag_logits, drives = np.zeros(LAGS), []
    for rule in zip(*rules(LinearMeanField, prior, LAGS).each, strict=True):
        loss = MatchAndLags(prior, context, LinearMeanField(MarkovChains(prior, context), lags=LAGS, rule=rule))
        drives.append(loss.gradient(loss.best_match(np.ones(2), lag_logits), lag_logits)[3])
    return RelativeError.of_mean(drives) if len(drives) > 1 else None

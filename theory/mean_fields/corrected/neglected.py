r"""The size of what the limit T → ∞ neglects in the linear family under SGD, evaluated on the plateau.

There the match relaxes to the minimum of the loss and drives lag 1. Fluctuations of counts change both: with gradient,
Hessian and slope of the corrected loss (`onset.theory.mean_fields.corrected`) at the limit's own match,

    x = h_corrected/h - 1,    h = -T ∂L/∂v_1 at the minimum over θ = (C, Ω),

by `ROUNDS` of Newton's iteration. The time that lag 1 takes to grow goes as 1/h, so that what is neglected may make it
shorter by the share |x| and longer by |x|/(1 - |x|). The corrected fields neglect the next order, of size x². Where no
plateau exists, as for doubly stochastic chains, h is the push -∂L/∂Ω at Ω = 0, which starts the growth of both.

Beyond a context of `LONGEST`, where the corrected loss costs time in proportion, x goes on as a power of T, that
between `LONGEST`/2 and `LONGEST`: -1 up to a logarithm for chains that mix fast, less where some hardly mix.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from onset.theory.markov.priors import Prior
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags, NoBestMatch
from onset.theory.mean_fields.quadrature import rules
from onset.theory.prediction import Prediction, require_smaller

__all__ = ["COUNTS", "bounded", "drive_change", "earlier_and_later"]

COUNTS = "fluctuating counts"
"""Name of the neglected term."""

SHORTEST, LONGEST = 16, 128
"""Contexts at which the corrected loss is evaluated: from few tokens beyond the tracked lags, to half a second."""

ROUNDS = 2
"""Rounds of Newton's iteration; a third changes x by a hundredth of itself at T = 50."""

KEPT = 1 << 12
"""Priors and contexts whose x is cached."""


def drive_change(prior: Prior, context: int) -> float:
    """x: relative change of the drive on the plateau by fluctuating counts; -1 where it does not stay upwards."""
    nearest = min(max(context, SHORTEST), LONGEST)
    change = _drive_change(prior, nearest)
    if nearest == context or change <= -1:
        return change
    other = nearest // 2 if context > nearest else 2 * nearest
    power = np.log(abs(change / _drive_change(prior, other))) / np.log(nearest / other)
    return max(float(change * (context / nearest) ** np.clip(power, -1, 0)), -1.0)


@lru_cache(maxsize=KEPT)
def _drive_change(prior: Prior, context: int) -> float:
    task, rule, lag_logits = MarkovChains(prior, context), rules(LinearMeanField, prior, LAGS).mean, np.zeros(LAGS)
    limit = MatchAndLags(prior, context, LinearMeanField(task, lags=LAGS, rule=rule))
    corrected = MatchAndLags(prior, context, LinearCorrected(task, lags=LAGS, rule=rule))
    try:
        match = limit.best_match(np.ones(2), lag_logits)
    except NoBestMatch:
        unmatched = np.array([1.0, 0.0])
        pushes = [loss.gradient(unmatched, lag_logits)[1] for loss in (corrected, limit)]
        return max(float(pushes[0] / pushes[1]) - 1, -1.0)
    drive, change = limit.gradient(match, lag_logits)[3], 0.0
    for _ in range(ROUNDS):
        gradient, slopes = corrected.gradient(match, lag_logits), corrected.slopes(match, lag_logits)
        step = np.linalg.solve(slopes[:2], gradient[:2])
        change, match = (gradient[3] - slopes[3] @ step) / drive - 1, match - step
    return max(float(change), -1.0)


def earlier_and_later(share: float, step: float) -> tuple[float, float]:
    """By how much a relative change `share` of the drive, below 1 in size, may make `step` earlier and later; steps."""
    return step * abs(share), step * abs(share) / (1 - abs(share))


def bounded(prediction: Prediction, *, order: int = 1, least: bool = False) -> Prediction:
    """A prediction with fluctuating counts of this order among what it neglects.

    Parameters
    ----------
    prediction : Prediction
    order : int
        Order in x of the first neglected term.
    least : bool
        Whether to keep a prediction of which fluctuating counts leave nothing.

    Raises
    ------
    ValueError
        If they may reverse the drive, unless `least`.
    """
    task = prediction.setting.task
    change = drive_change(task.prior, task.context)
    share, first = abs(change) ** order, prediction.trajectories[0]
    if not least:
        what = "the change of lag 1's drive on the plateau by fluctuations of counts, which the limit T → ∞ neglects,"
        require_smaller(prediction.setting, what, change, "use the finite context, or a longer one")
    ends = None
    if share < 1:
        ends = tuple(replace(first, steps=first.steps * factor) for factor in (1 - share, 1 / (1 - share)))
    of_order = "" if order == 1 else f", to order {order},"
    statement = f"fluctuating counts{of_order} change the drive of lag 1 on the plateau by {share:.2g} of it"
    return replace(
        prediction,
        neglected={**prediction.neglected, COUNTS: ends},
        validity=(*prediction.validity, statement),
    )

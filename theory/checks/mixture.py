"""Checks of "mixture-delay": the push of all lags and the critical weight with the mean field's own."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from onset.theory.derivations.derivation import Residual, check, worst
from onset.theory.derivations.mixture import push
from onset.theory.laws.mixture import PRIOR_NODES, balance, unigram_loss, unigram_slope
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.markov.signals import signal
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags

__all__ = ["CHECKS"]


@check(r"the push of all lags with the mean field's gradient at $\Omega = 0$, $k = 2$, $T = 64$ and 256")
def _push() -> Residual:
    prior, largest = DoublyStochastic(2), 0.0
    for context in (64, 256):
        integrated = -MatchAndLags(prior, context).gradient(np.array([1.0, 0.0]), np.zeros(LAGS))[1]
        closed = sum(signal(prior, lag, reference="uniform").value * push(context, lag) for lag in range(LAGS))
        largest = worst(largest, abs(closed / integrated - 1) * context / np.log(context))
    return Residual(float(largest), 1.0, r"in units of $\ln T/T$: the mean field integrates where this sums")


@check("$w_c$ with the share at which the mean field's own match is zero, $k = 4$, $T = 100$")
def _sign() -> Residual:
    states, context = 4, 100

    def resting(weight: float, count: int) -> float:
        mixture = Mixture((DoublyStochastic(states), Unigram(states)), (weight, 1 - weight))
        field = LinearMeanField(MarkovChains(mixture, context), lags=LAGS, count=count)
        return float(MatchAndLags(mixture, context, field).best_match(np.array([1.0, 0.0]), np.zeros(LAGS))[1])

    expected = balance(states, context, 0.5).critical
    shares = np.array(
        [
            brentq(resting, expected / 4, 4 * expected, args=(count,), xtol=1e-3)  # pyright: ignore[reportArgumentType]
            for count in (PRIOR_NODES, 2 * PRIOR_NODES)
        ]
    )
    odds, predicted = shares / (1 - shares), expected / (1 - expected)
    few, many = (unigram_slope(unigram_loss(states, context, count)) for count in (PRIOR_NODES // 2, PRIOR_NODES))
    return Residual(
        float(abs(odds[1] / predicted - 1)),
        float(2 * np.hypot(few / many - 1, odds[0] / odds[1] - 1)),
        "relative, of the odds $w/(1 - w)$: twice what half as many chains change of either",
    )


CHECKS = (_push, _sign)

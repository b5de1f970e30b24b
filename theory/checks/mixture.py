"""Checks of "mixture-delay": the push of all lags and the critical weight with the mean field's own."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.derivations.mixture import push
from onset.theory.laws.escape import Reduced
from onset.theory.laws.mixture import NODES, balance, unigram_slope
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.mean_fields.limit import LAGS
from onset.theory.signals import signal

__all__ = ["CHECKS"]


def _push() -> Outcome:
    prior, worst = DoublyStochastic(2), 0.0
    for context in (64, 256):
        found = -Reduced(prior, context).gradient(np.array([1.0, 0.0]), np.zeros(LAGS))[1]
        closed = sum(signal(prior, lag, reference="uniform").value * push()(context, lag) for lag in range(LAGS))
        worst = max(worst, abs(closed / found - 1) * context / np.log(context))
    return Outcome(float(worst), 1.0, "in units of ln T/T: the mean field integrates where this sums")


def _sign() -> Outcome:
    states, context = 4, 100

    def rests(weight: float, count: int) -> float:
        mixture = Mixture((DoublyStochastic(states), Unigram(states)), (weight, 1 - weight))
        return float(Reduced(mixture, context, count).relax(np.array([1.0, 0.0]), np.zeros(LAGS))[1])

    expected = balance(states, context, 0.5).critical
    found = [
        float(brentq(rests, expected / 4, 4 * expected, args=(count,), xtol=1e-3))  # pyright: ignore[reportArgumentType]
        for count in (NODES, 2 * NODES)
    ]
    odds, claimed = np.array(found) / (1 - np.array(found)), expected / (1 - expected)
    few, many = (unigram_slope(Reduced(Unigram(states), context, count)) for count in (NODES // 2, NODES))
    return Outcome(
        float(abs(odds[1] / claimed - 1)),
        float(2 * np.hypot(few / many - 1, odds[0] / odds[1] - 1)),
        "of the odds w/(1 - w): twice what half as many chains change of either",
    )


CHECKS = (
    Check("push", "Σ_r s_r × push of r with the mean field's gradient at Ω = 0, k = 2, T = 64 and 256", _push),
    Check("sign", "w_c with the weight at which the mean field's own match is zero, k = 4, T = 100", _sign),
)

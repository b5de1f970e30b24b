"""Checks of "ballistic-growth": the statement with the integrated mean field."""

from __future__ import annotations

import numpy as np

from onset.theory.derivations.ballistic import waiting
from onset.theory.derivations.derivation import Residual, check
from onset.theory.dynamics.flow import flow
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting
from onset.theory.signals import signal

__all__ = ["CHECKS"]

CONTEXTS = (1600, 6400, 25600, 102400)
ODD = (1, 3, 5)
"""Lags with a signal that the mean field of six lags tracks."""


@check(r"the statement with the integrated mean field, $k = 2$, $T = 1600, \dots, 102400$, $v = 2$")
def _mean_field() -> Residual:
    prior, largest, level = DoublyStochastic(2), 0.0, 2.0
    strengths = {r: signal(prior, r).value for r in ODD}
    for context in CONTEXTS:
        setting = Setting.of("linear", prior=prior, context=context, steps=10**6)
        integrated = flow(LinearMeanField(setting, count=128), setting, rtol=1e-4)
        logits = integrated.parameters["lag_logits.1"]
        rising = slice(int(np.argmax(logits)) + 1)
        exact = float(np.interp(level, logits[rising], integrated.steps[rising]))
        rates = setting.training.optimizer.learning_rate
        predicted = waiting(context, level, strengths, rates["match"] * context**2, rates["lag_logits"])
        largest = max(largest, abs(predicted / exact - 1) * float(np.log(context)))
    return Residual(largest, 1.0, r"the next logarithm: relative error below $1/\ln T$ at every context")


CHECKS = (_mean_field,)

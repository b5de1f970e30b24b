"""Checks of "ballistic-growth": the statement with the integrated mean field."""

from __future__ import annotations

from functools import cache

import numpy as np

from onset.theory.derivations.ballistic import waiting
from onset.theory.derivations.derivation import Residual, check, worst
from onset.theory.dynamics.flow import flow
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.markov.signals import signal
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting

__all__ = ["CHECKS"]

CONTEXTS = (1600, 6400, 25600, 102400)
ODD = (1, 3, 5)
"""Lags with a signal that the mean field of six lags tracks."""


LOGIT = 2.0
"""Lag logit at which the times are compared."""


def _setting(context: int) -> Setting:
    """Steps for about four times as long as it takes."""
    return Setting.of("linear", prior=DoublyStochastic(2), context=context, steps=context // 2)


@cache
def _integrated(context: int) -> float:
    """Steps of the mean field to `LOGIT`."""
    setting = _setting(context)
    curve = flow(LinearMeanField.of(setting, count=16), setting.training, rtol=1e-7)
    logits = curve.parameters["lag_logits.1"]
    rising = slice(int(np.argmax(logits)) + 1)
    return float(np.interp(LOGIT, logits[rising], curve.steps[rising]))


@check(r"the statement with the integrated mean field, $k = 2$, $T = 1600, \dots, 102400$, $v = 2$")
def _mean_field() -> Residual:
    strengths, largest = {r: signal(DoublyStochastic(2), r).value for r in ODD}, 0.0
    for context in CONTEXTS:
        rates = _setting(context).training.optimizer.learning_rate
        predicted = waiting(context, LOGIT, strengths, rates["match"] * context**2, rates["lag_logits"])
        largest = worst(largest, abs(predicted / _integrated(context) - 1) * float(np.log(context)))
    return Residual(largest, 1.0, r"the next logarithm: relative error below $1/\ln T$ at every context")


CHECKS = (_mean_field,)

"""Checks of "signals": first gradients with automatic differentiation over all sequences, and that layer 1 is silent at first."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.setting import Setting
from onset.theory.signals import correlations, repetitions
from onset.validate.checks.small_models import (
    CASES,
    EPS,
    derivative,
    distinct_model,
    every_sequence,
    gradient_rounding,
    one_thread,
    random_batch,
    reduced_loss,
    weighted_loss,
)

__all__ = ["CHECKS"]


@one_thread
def _enumerated(family: str) -> Outcome:
    worst, linear = 0.0, family == "linear"
    for states, context in ((2, 5), (3, 4)):
        tokens, targets, chains, weights = every_sequence(states, context)
        loss, start = reduced_loss(Setting.of(family, states=states, context=context), tokens, targets)
        omega, c, mu, d, v = start
        value = loss(*start)
        at: dict[str, Any] = {"T": context, "C": correlations(chains, weights, context)}
        often: dict[str, Any] = {"T": context, "u": repetitions(chains, weights, context)}
        kernels = [signals.kernel(context, lag) for lag in range(context)]
        inner, mean = signals.kernel(context)
        if linear:
            pairs = [
                (derivative(value, omega), signals.evaluate(signals.linear, K=inner, **at)),
                (derivative(value, c), signals.evaluate(signals.by_scale, **often)),
                (derivative(value, omega, v), [signals.evaluate(signals.linear, K=each, **at) for each, _ in kernels]),
            ]
        else:
            form = {"mu": 1.0, **at}
            by_lag = [signals.evaluate(signals.softmax, K=each, M=own, **form) for each, own in kernels]
            pairs = [
                (derivative(value, mu), signals.evaluate(signals.by_readout, **often)),
                (derivative(value, d), 0.0),
                (derivative(value, mu, omega), signals.evaluate(signals.softmax, K=inner, M=mean, **form)),
                (derivative(value, mu, omega, v), by_lag),
            ]
        rounding = EPS * len(tokens) * len(chains) * context**2
        worst = max(worst, *(float(np.abs(found - np.asarray(expected)).max()) / rounding for found, expected in pairs))
    return Outcome(worst, 1.0, "in units of one rounding per sequence, chain, source and query")


@one_thread
def _silent() -> Outcome:
    import torch

    worst = 0.0
    for (family, states), level in itertools.product(CASES, (0.0, 0.01)):
        setting = Setting.of(family, states=states, context=8)
        model, (tokens, targets) = distinct_model(setting), random_batch(setting, 5, closed=False)
        with torch.no_grad():
            model.match.fill_(level)
        weighted_loss(model, dict(model.named_parameters()), tokens, targets).backward()
        first = float(model.lag_logits.grad.abs().max())
        second = float(model.match.grad.abs().max())
        worst = max(worst, first / second / gradient_rounding(setting, len(tokens)))
    return Outcome(worst, 1.0, "layer 1's gradient over layer 2's, in units of one rounding per token and source")


CHECKS = (
    Check(
        "enumerated-linear",
        "first gradients with autograd over all sequences, k = 2, T = 5 and k = 3, T = 4",
        lambda: _enumerated("linear"),
    ),
    Check(
        "enumerated-softmax",
        "first gradients, up to third derivatives, with autograd over all sequences",
        lambda: _enumerated("softmax"),
    ),
    Check(
        "silent",
        "gradient of the lag logits at W = 0 and at .01 in every entry with 0, that of W not, any sequences",
        _silent,
    ),
)

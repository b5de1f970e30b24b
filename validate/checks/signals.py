"""Checks of "signals": first gradients with automatic differentiation over all sequences, of layer 1 zero."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np

from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Check, Residual, check
from onset.theory.markov.signals import correlations, repetitions
from onset.theory.setting import Setting
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
def _enumerated(family: str) -> Residual:
    largest = 0.0
    for states, context in ((2, 5), (3, 4)):
        tokens, targets, chains, weights = every_sequence(states, context)
        loss, start = reduced_loss(Setting.of(family, states=states, context=context), tokens, targets)
        omega, c, mu, d, v = start
        value = loss(*start)
        known: dict[str, Any] = {"T": context, "C": correlations(chains, weights, context)}
        repeats: dict[str, Any] = {"T": context, "u": repetitions(chains, weights, context)}
        by_lag = [signals.kernel(context, lag) for lag in range(context)]
        inner, mean = signals.kernel(context)
        if family == "linear":
            lags = [signals.evaluate(signals.linear, K=kernel, **known) for kernel, _ in by_lag]
            pairs = [
                (derivative(value, omega), signals.evaluate(signals.linear, K=inner, **known)),
                (derivative(value, c), signals.evaluate(signals.by_scale, **repeats)),
                (derivative(value, omega, v), lags),
            ]
        else:
            known["mu"] = 1.0
            lags = [signals.evaluate(signals.softmax, K=kernel, M=average, **known) for kernel, average in by_lag]
            pairs = [
                (derivative(value, mu), signals.evaluate(signals.by_readout, **repeats)),
                (derivative(value, d), 0.0),
                (derivative(value, mu, omega), signals.evaluate(signals.softmax, K=inner, M=mean, **known)),
                (derivative(value, mu, omega, v), lags),
            ]
        rounding = EPS * len(tokens) * len(chains) * context**2
        errors = (np.abs(computed - np.asarray(expected)).max() for computed, expected in pairs)
        largest = max(largest, *(float(error) / rounding for error in errors))
    return Residual(largest, 1.0, "in units of one rounding per sequence, chain, source and query")


@check("gradient of the lag logits at $W = 0$ and at 0.01 in every entry with 0, that of $W$ not, any sequences")
@one_thread
def _silent() -> Residual:
    import torch

    largest = 0.0
    for (family, states), level in itertools.product(CASES, (0.0, 0.01)):
        setting = Setting.of(family, states=states, context=8)
        model, (tokens, targets) = distinct_model(setting), random_batch(setting, 5, closed=False)
        with torch.no_grad():
            model.match.fill_(level)
        weighted_loss(model, dict(model.named_parameters()), tokens, targets).backward()
        first, second = (float(p.grad.abs().max()) for p in (model.lag_logits, model.match))
        largest = max(largest, first / second / gradient_rounding(setting, len(tokens)))
    because = "layer 1's gradient over layer 2's, in units of one rounding per token and source"
    return Residual(largest, 1.0, because)


CHECKS = (
    *(
        Check(
            f"enumerated-{family}",
            f"{gradients} with autograd over all sequences, {cases}",
            partial(_enumerated, family),
        )
        for family, gradients, cases in (
            ("linear", "first gradients", "$k = 2$, $T = 5$ and $k = 3$, $T = 4$"),
            ("softmax", "first gradients, up to third derivatives", "likewise"),
        )
    ),
    _silent,
)

"""Checks of "signals": first gradients with automatic differentiation over all sequences, of layer 1 zero."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Residual, check, worst
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


def _largest(family: str, pairs: Callable[..., list[tuple[Any, Any]]]) -> Residual:
    """Largest difference in the `pairs` of derivatives and formulas that a small case gives."""
    largest = 0.0
    for states, context in ((2, 5), (3, 4)):
        tokens, targets, chains, weights = every_sequence(states, context)
        loss, start = reduced_loss(Setting.of(family, states=states, context=context), tokens, targets)
        known: dict[str, Any] = {"T": context, "C": correlations(chains, weights, context)}
        repeats: dict[str, Any] = {"T": context, "u": repetitions(chains, weights, context)}
        rounding = EPS * len(tokens) * len(chains) * context**2
        compared = pairs(loss(*start), start, known, repeats)
        errors = (np.abs(computed - np.asarray(expected)).max() for computed, expected in compared)
        largest = worst(largest, *(float(error) / rounding for error in errors))
    return Residual(largest, 1.0, "in units of one rounding per sequence, chain, source and query")


@check("first gradients with autograd over all sequences, $k = 2$, $T = 5$ and $k = 3$, $T = 4$")
@one_thread
def _enumerated_linear(linear: Any, by_scale: Any) -> Residual:
    def pairs(value: Any, start: Any, known: Any, repeats: Any) -> list[tuple[Any, Any]]:
        omega, c, _, _, v = start
        by_lag = [signals.kernel(known["T"], lag)[0] for lag in range(known["T"])]
        return [
            (derivative(value, omega), signals.evaluate(linear, K=signals.kernel(known["T"])[0], **known)),
            (derivative(value, c), signals.evaluate(by_scale, **repeats)),
            (derivative(value, omega, v), [signals.evaluate(linear, K=kernel, **known) for kernel in by_lag]),
        ]

    return _largest("linear", pairs)


@check("first gradients, up to third derivatives, with autograd over all sequences, likewise")
@one_thread
def _enumerated_softmax(softmax: Any, by_readout: Any) -> Residual:
    def pairs(value: Any, start: Any, known: Any, repeats: Any) -> list[tuple[Any, Any]]:
        omega, _, mu, d, v = start
        kernels = [signals.kernel(known["T"], lag) for lag in (None, *range(known["T"]))]
        match, *lags = (signals.evaluate(softmax, mu=1.0, K=inner, M=mean, **known) for inner, mean in kernels)
        return [
            (derivative(value, mu), signals.evaluate(by_readout, **repeats)),
            (derivative(value, d), 0.0),
            (derivative(value, mu, omega), match),
            (derivative(value, mu, omega, v), lags),
        ]

    return _largest("softmax", pairs)


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
        largest = worst(largest, first / second / gradient_rounding(setting, len(tokens)))
    because = "layer 1's gradient over layer 2's, in units of one rounding per token and source"
    return Residual(largest, 1.0, because)


CHECKS = (_enumerated_linear, _enumerated_softmax, _silent)

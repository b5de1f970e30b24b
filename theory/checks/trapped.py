"""Checks of "trapped-basin": the limit's constants and the sampled push of `onset.theory.laws.basins`, two states."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations import signals, trapped
from onset.theory.derivations.derivation import Residual, check, numerical, worst
from onset.theory.derivations.scores import all_zero
from onset.theory.derivations.trapped import exact_two_states, plateau_two_states, rows
from onset.theory.laws.basins import escapes, limit_constants
from onset.theory.markov.signals import correlations
from onset.theory.setting import Setting

__all__ = ["CHECKS"]

CONTEXTS = (32, 64, 128, 256)
CONCENTRATION = 5.0
"""Concentration of the rows in the check of the limit: chains mix fast, so that its corrections are small."""


@cache
def _fast_chains(level: float) -> Array:
    return exact_two_states(*rows(CONCENTRATION), level, CONTEXTS[-1])[0]


@check(
    r"$T/\mu$ times the exact push of two states less the statement tends to a constant like $\ln T/T$, fast chains, "
    r"$\mu = 0$ and 2, $T = 32, \dots, 256$"
)
def _limit(statement: Any) -> Residual:
    matrices, weights = rows(CONCENTRATION)
    contexts, largest = np.array(CONTEXTS), 0.0
    left = sp.lambdify(trapped.slope, statement.lhs)
    right = numerical((trapped.T, trapped.mu, trapped.A, trapped.B), statement.rhs, "scipy")
    for level in (0.0, 2.0):
        slopes = -_fast_chains(level)[contexts - 1]
        constants = limit_constants(matrices, weights, level)
        remainder = contexts * (left(slopes) - right(contexts, 1.0, *constants))
        changes = np.log(np.abs(np.diff(remainder)))
        largest = worst(largest, float(abs(np.polyfit(np.log(contexts[:-1]), changes, 1)[0] + 1)))
    allowed = 2 / np.log(float(np.sqrt(contexts[0] * contexts[-2])))
    because = r"slope $-1$ against $T$ of what a doubling changes; $\ln T$ shifts it by $1/\ln T$, allowed twice"
    return Residual(largest, float(allowed), because)


@check(
    "`onset.theory.laws.basins.escapes` with the exact push of two states, at the start and on the plateau, $T = 12$ "
    "and 40"
)
def _sampled() -> Residual:
    matrices, weights = rows(1.0)
    scores = []
    for context in (12, 40):
        for optimizer in ("sgd", "adam"):
            sampled = escapes(Setting.of("softmax", states=2, context=context, optimizer=optimizer), count=8192)
            level = plateau_two_states(matrices, weights, context) if optimizer == "sgd" else 0.0
            factor = level if optimizer == "sgd" else 1.0
            exact = exact_two_states(matrices, weights, level, context)[0][-1] * factor
            scores.append((sampled.size - exact) / sampled.error)
    return all_zero(scores)


@check(r"the exact push of two states at $\mu \to 0$ with `signals.softmax`, $T = 8$ and 12: to rounding")
def _start() -> Residual:
    matrices, weights = rows(1.0)
    pushes, _ = exact_two_states(matrices, weights, 0.0, 12)
    largest = 0.0
    for context in (8, 12):
        inner, mean = signals.kernel(context)
        known = correlations(matrices, weights, context)
        expected = -signals.evaluate(signals.softmax, T=context, mu=1.0, K=inner, M=mean, C=known)
        largest = worst(largest, abs(pushes[context - 1] - expected))
    rounding = np.finfo(float).eps * 12**2
    return Residual(largest / rounding, 1.0, "in units of one rounding per source and query")


CHECKS = (_start, _limit, _sampled)

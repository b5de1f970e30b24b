"""Checks of "trapped-basin": the limit's constants and the sampled push of `onset.theory.laws.basins` with the exact one of two states."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.stats import norm

from onset.theory.arrays import Array
from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.derivations.trapped import exact_two_states, limit_push, plateau_two_states, rows
from onset.theory.laws.basins import escapes, limit_constants
from onset.theory.setting import Setting
from onset.theory.signals import correlations

__all__ = ["CHECKS"]

CONTEXTS = (32, 64, 128, 256)
CONCENTRATION = 5.0
"""Of the rows in the check of the limit: chains mix fast, so that its corrections are small."""

FALSE_ALARM = 1e-4
"""Probability that the check of the samples fails by chance, over all of them."""


@cache
def _fast_chains(level: float) -> Array:
    return exact_two_states(*rows(CONCENTRATION), level, CONTEXTS[-1])[0]


def _limit() -> Outcome:
    matrices, weights = rows(CONCENTRATION)
    contexts, worst = np.array(CONTEXTS), 0.0
    for level in (0.0, 2.0):
        exact = _fast_chains(level)
        constants = limit_constants(matrices, weights, level)
        left = contexts * (exact[contexts - 1] - limit_push()(contexts, 1.0, *constants))
        falls = np.abs(np.diff(left))
        worst = max(worst, float(abs(np.polyfit(np.log(contexts[:-1]), np.log(falls), 1)[0] + 1)))
    allowed = 2 / np.log(float(np.sqrt(contexts[0] * contexts[-2])))
    return Outcome(
        worst, float(allowed), "slope -1 against T of what a doubling changes; ln T shifts it by 1/ln T, allowed twice"
    )


def _sampled() -> Outcome:
    matrices, weights = rows(1.0)
    scores = []
    for context in (12, 40):
        for optimizer in ("sgd", "adam"):
            found = escapes(Setting.of("softmax", states=2, context=context, optimizer=optimizer), count=8192)
            waits = optimizer == "sgd"
            level = plateau_two_states(matrices, weights, context) if waits else 0.0
            exact = exact_two_states(matrices, weights, level, context)[0][-1] * (level if waits else 1.0)
            scores.append(abs(found.size - exact) / found.error)
    limit = float(norm.isf(FALSE_ALARM / 2 / len(scores)))
    return Outcome(float(max(scores)), limit, f"|z| of {len(scores)} sampled means, false alarm {FALSE_ALARM:g}")


def _start() -> Outcome:
    matrices, weights = rows(1.0)
    found, _ = exact_two_states(matrices, weights, 0.0, 12)
    worst = 0.0
    for context in (8, 12):
        inner, mean = signals.kernel(context)
        known = correlations(matrices, weights, context)
        expected = -signals.evaluate(signals.softmax, T=context, mu=1.0, K=inner, M=mean, C=known)
        worst = max(worst, abs(found[context - 1] - expected))
    rounding = np.finfo(float).eps * 12**2
    return Outcome(worst / rounding, 1.0, "in units of one rounding per source and query")


CHECKS = (
    Check(
        "start",
        "the exact push of two states at μ → 0 with `signals.softmax`, T = 8 and 12: to rounding",
        _start,
    ),
    Check(
        "limit",
        "T/μ × exact push of two states less the statement tends to a constant like ln T / T, fast chains, μ = 0 and 2, T = 32 … 256",
        _limit,
    ),
    Check(
        "sampled",
        "onset.theory.laws.basins.escapes with the exact push of two states, at the start and on the plateau, T = 12 and 40",
        _sampled,
    ),
)

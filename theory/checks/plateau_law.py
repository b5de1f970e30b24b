"""Checks of "plateau-law": what `onset.theory.laws` makes of it, with the mean field integrated and with the logarithmic integral."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.derivations.plateau_law import A, B, E, T, eta, leading
from onset.theory.dynamics.flow import flow
from onset.theory.laws.escape import NODES, manifold
from onset.theory.laws.plateau import plateau
from onset.theory.laws.plateau_law import law, path, relaxation_delay, start_delay
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting

__all__ = ["CHECKS"]


RTOL = 1e-4
"""Of the integrated mean field."""


def _against(pairs: Iterable[tuple[Setting, LinearMeanField]]) -> Outcome:
    """The law's largest error in its passage to bigram, in units of twice its own interval."""
    worst = 0.0
    for setting, field in pairs:
        integrated, predicted = (found.transitions()[1] for found in (flow(field, setting, rtol=RTOL), law(setting)))
        if integrated.step is None or predicted.step is None or predicted.low is None:
            return Outcome(np.nan, 1.0, "both must find the head forming")
        allowed = 2 * (predicted.step - predicted.low) + 100 * RTOL * predicted.step
        worst = max(worst, abs(predicted.step - integrated.step) / allowed)
    return Outcome(
        worst,
        1.0,
        f"twice the law's own interval, and the solver's relative error {RTOL:g} for each of about 100 steps",
    )


def _match_limited() -> Outcome:
    pairs = []
    for states, rate in ((8, 1e-2), (3, 2.5e-3), (3, 6e-4)):
        setting = Setting.of("linear", states=states, context=100, learning_rate={"match": rate}, steps=10000)
        pairs.append((setting, LinearMeanField(setting, count=128, generator=np.random.default_rng(0))))
    return _against(pairs)


def _mean_field() -> Outcome:
    settings = [Setting.of("linear", states=2, context=t, initialization={"match": 1 / t}) for t in (200, 400, 1600)]
    return _against((setting, LinearMeanField(setting)) for setting in settings)


def _constants() -> Outcome:
    prior, contexts = Dirichlet(2), (2**18, 2**20)
    first, last = (manifold(prior, t).force[0] for t in contexts)
    found = (last - first) / np.log(contexts[1] / contexts[0])
    residual = abs(found / plateau(prior, NODES).drives[1] - 1)
    size = float(np.log(contexts[0]) ** 2 / contexts[0])
    return Outcome(
        float(residual),
        10 * size,
        f"finite T shifts the plateau by a relative O(ln T²/T) = {size:.1g}, allowed 10 times",
    )


def _frozen() -> Outcome:
    prior, contexts, level = Dirichlet(2), 2 ** np.arange(10, 20, 2), 0.1
    strength, offset = float(plateau(prior).drives[1]), plateau(prior).offset
    closed = sp.lambdify((T, eta, A, B, E), leading, "mpmath")
    errors = []
    for t in contexts:
        found = path(Setting.of("linear", prior=prior, context=int(t)))
        end = level * t / (1 - level)
        slow_time = np.interp(np.log(end), found.log_e, found.slow)
        errors.append(abs(float(closed(int(t), 1.0, strength, offset, end)) / slow_time - 1))
    slope = np.polyfit(np.log(contexts), np.log(errors) - 3 * np.log(np.log(contexts)), 1)[0]
    return Outcome(
        float(abs(slope + 1)), 0.2, "slope -1 of error/ln T³ against T; the next logarithm changes it by 3/ln T = 0.2"
    )


def _start() -> Outcome:
    """The error of the start's delay over half of its second order, which is the law's own doubt of it."""
    worst = 0.0
    for states, t in ((2, 128), (2, 1024), (3, 128), (3, 1024)):
        setting = Setting.of("linear", states=states, context=t, initialization={"match": 1 / t})
        first, second, _ = start_delay(setting)
        worst = max(worst, abs(first + second - relaxation_delay(setting)) / abs(second / 2))
    return Outcome(worst, 2.0, "twice half of the second order: 95%, the half being one deviation")


CHECKS = (
    Check(
        "match-limited",
        "the planar law with the integrated mean field, k = 3 and 8, T = 100, rates of the match from 6 to 100/T²",
        _match_limited,
    ),
    Check("plateau-constants", "A from the growth of h with ln T with its integral over the prior", _constants),
    Check(
        "frozen-limit",
        "the law's slow time with the logarithmic integral, T = 2^10 … 2^18: falls like ln T³/T",
        _frozen,
    ),
    Check(
        "start",
        "the start's delay to second order with the relaxation integrated, k = 2 and 3, T = 128 and 1024, C_0 = 1",
        _start,
    ),
    Check("mean-field", "law with the integrated mean field, k = 2, T = 200 … 1600", _mean_field),
)

"""Checks of "plateau-law": `onset.theory.laws` with the integrated mean field and with the logarithmic integral."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Residual, check, worst
from onset.theory.derivations.plateau_law import A, B, E, T, eta
from onset.theory.dynamics.flow import flow
from onset.theory.laws.linear import path, predict, relaxation_delay, start_delay
from onset.theory.laws.plateau import plateau
from onset.theory.laws.slow_manifold import manifold
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.neglected import COUNTS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.quadrature import rules
from onset.theory.setting import Setting

__all__ = ["CHECKS"]

RTOL = 1e-4
"""Relative tolerance of the integrated mean field."""


def _law_errors(pairs: Iterable[tuple[Setting, LinearMeanField]]) -> Residual:
    """Largest error of the law's transition to bigram, in units of what it neglects but for fluctuating counts."""
    largest = 0.0
    for setting, field in pairs:
        integrated, predicted = (
            run.transitions()[1] for run in (flow(field, setting.training, rtol=RTOL), predict(setting))
        )
        if integrated.step is None or predicted.step is None:
            return Residual(np.nan, 1.0, "the head must form in both")
        terms = [max(sides) for name, sides in predicted.neglected.items() if name != COUNTS]
        largest = worst(largest, abs(predicted.step - integrated.step) / (sum(terms) + 100 * RTOL * predicted.step))
    because = f"what the law neglects, and the solver's relative error {RTOL:g} for each of about 100 steps"
    return Residual(largest, 1.0, because)


@check(
    "the planar law with the integrated mean field, $k = 3$ and 8, $T = 100$, rates of the match from $6/T^2$ to "
    "$100/T^2$"
)
def _match_limited() -> Residual:
    pairs = []
    for states, rate in ((8, 1e-2), (3, 2.5e-3), (3, 6e-4)):
        setting = Setting.of("linear", states=states, context=100, learning_rate={"match": rate}, steps=10000)
        rule = rules(LinearMeanField, setting.task.prior, LAGS).mean
        pairs.append((setting, LinearMeanField.of(setting, rule=rule)))
    return _law_errors(pairs)


@check(r"law with the integrated mean field, $k = 2$, $T = 200, \dots, 1600$")
def _mean_field() -> Residual:
    settings = [Setting.of("linear", states=2, context=t, initialization={"match": 1 / t}) for t in (200, 400, 1600)]
    return _law_errors((setting, LinearMeanField.of(setting)) for setting in settings)


@check(r"$A$ from the growth of $h$ with $\ln T$ with its integral over the prior")
def _plateau_constants() -> Residual:
    prior, contexts = Dirichlet(2), (2**18, 2**20)
    first, last = (manifold(prior, t).force[0] for t in contexts)
    growth = (last - first) / np.log(contexts[1] / contexts[0])
    residual = abs(growth / plateau(prior).drives[1] - 1)
    size = float(np.log(contexts[0]) ** 2 / contexts[0])
    because = rf"finite $T$ shifts the plateau by a relative $O(\ln^2 T/T) = {size:.1g}$, allowed 10 times"
    return Residual(float(residual), 10 * size, because)


@check(r"the law's slow time with the logarithmic integral, $T = 2^{10}, \dots, 2^{18}$: falls like $\ln^3 T/T$")
def _frozen_limit(slow: Any) -> Residual:
    prior, contexts, level = Dirichlet(2), 2 ** np.arange(10, 20, 2), 0.1
    strength, offset = float(plateau(prior).drives[1]), plateau(prior).offset
    closed = sp.lambdify((T, eta, A, B, E), slow.rhs, "mpmath")
    errors = []
    for t in contexts:
        curve = path(Setting.of("linear", prior=prior, context=int(t)))
        end = level * t / (1 - level)
        slow_time = np.interp(np.log(end), curve.manifold.log_e[1:], curve.slow.cumsum())
        errors.append(abs(float(closed(int(t), 1.0, strength, offset, end)) / slow_time - 1))
    slope = np.polyfit(np.log(contexts), np.log(errors) - 3 * np.log(np.log(contexts)), 1)[0]
    because = r"slope $-1$ of error over $\ln^3 T$ against $T$; the next logarithm changes it by $3/\ln T = 0.2$"
    return Residual(float(abs(slope + 1)), 0.2, because)


@check("the start's delay to second order with the relaxation integrated, $k = 2$ and 3, $T = 128$ and 1024, $C = 1$")
def _start() -> Residual:
    largest = 0.0
    for states, t in ((2, 128), (2, 1024), (3, 128), (3, 1024)):
        setting = Setting.of("linear", states=states, context=t, initialization={"match": 1 / t})
        first, second = start_delay(setting.task.prior, t, setting.training.optimizer.learning_rate["match"], 1 / t)
        largest = worst(largest, abs(first + second - relaxation_delay(setting)) / abs(second))
    return Residual(largest, 1.0, "in units of the second order, the size of what is neglected")


CHECKS = (_match_limited, _plateau_constants, _frozen_limit, _start, _mean_field)

"""Checks of "softmax-law": its drive at long contexts, and the integration of `onset.theory.laws.softmax`."""

from __future__ import annotations

import numpy as np

from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Residual, check
from onset.theory.derivations.softmax_law import wait
from onset.theory.laws.expansion import LAGS, READOUTS, Expansion
from onset.theory.laws.softmax import follow
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet
from onset.theory.markov.signals import correlations, signal

__all__ = ["CHECKS"]


@check("integration of `onset.theory.laws.softmax`, on an expansion with frozen drive, with the statement")
def _law() -> Residual:
    far, push, drive, rates = 20000, 0.002, 0.01, np.array([1.0, 0.5, 2.0])
    table = np.zeros((len(READOUTS), far, 1 + LAGS))
    # One source, so far on that lag 1 takes nothing from the others, sees the push and the drive of lag 1.
    table[:, -1, 0], table[:, -1, 2] = push * far, drive * far
    flat = np.polynomial.Chebyshev([0.0], domain=[0, 1])
    path = follow(Expansion(1.0, table, np.zeros(len(READOUTS)), 1.0, flat, np.ones(len(READOUTS))), 100, rates)
    if path is None:
        return Residual(np.nan, 1.0, "the head must form")
    closed = wait(rates[1], rates[2], drive, push / drive, 0.0, float(path[-1, 4]))
    share = np.exp(path[-1, 4]) / far
    because = f"the source's share of lag 1, {share:.1g}, allowed twice"
    return Residual(float(abs(path[-1, 0] / closed - 1)), 2 * share, because)


@check(
    r"the exact drive of two states at $\mu \to 0$: second differences of $T D/\mu$ over doublings tend to "
    r"$S_1 \ln^2 2$ like $\ln T/T$, $T = 6, \dots, 48$"
)
def _drive() -> Residual:
    prior, contexts = Dirichlet(2, 5.0), (6, 12, 24, 48)
    known = correlations(*nodes(prior, 256), contexts[-1])
    scaled = []
    for context in contexts:
        inner, mean = signals.kernel(context, 1)
        within = known[: context + 1, : context + 1, : context + 1]
        scaled.append(-context * signals.evaluate(signals.softmax, T=context, mu=1.0, K=inner, M=mean, C=within))
    expected = signal(prior, 1, reference="uniform").value * np.log(2) ** 2
    errors = np.abs(np.diff(scaled, 2) - expected) / expected
    middle = np.sqrt(np.array(contexts[:-2]) * contexts[2:])
    because = r"in units of $\ln T/T$ at the middle context, of order one: allowed 4"
    return Residual(float((errors * middle / np.log(middle)).max()), 4.0, because)


CHECKS = (_drive, _law)

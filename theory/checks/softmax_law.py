"""Checks of "softmax-law": its drive at long contexts, and what `onset.theory.laws.softmax` integrates, with the statement."""

from __future__ import annotations

import numpy as np

from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.derivations.softmax_law import wait
from onset.theory.laws.expansion import LAGS, READOUTS, Expansion
from onset.theory.laws.softmax import follow
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet
from onset.theory.signals import correlations, signal

__all__ = ["CHECKS"]


def _law() -> Outcome:
    far, push, gain, rates = 20000, 0.002, 0.01, np.array([1.0, 0.5, 2.0])
    table = np.zeros((len(READOUTS), far, 1 + LAGS))
    # One source, so far on that lag 1 takes nothing from the others, sees the push and the drive of lag 1.
    table[:, -1, 0], table[:, -1, 2] = push * far, gain * far
    flat = np.polynomial.Chebyshev([0.0], domain=[0, 1])
    frozen_drive = Expansion(1.0, table, np.zeros(len(READOUTS)), 1.0, flat)
    path = follow(frozen_drive, 100, rates)
    if path is None:
        return Outcome(np.nan, 1.0, "the head must form")
    closed = wait()(rates[1], rates[2], gain, push / gain, 0.0, float(path[-1, 4]))
    taken = np.exp(path[-1, 4]) / far
    return Outcome(
        float(abs(path[-1, 0] / closed - 1)), 2 * taken, f"the source's share of lag 1, {taken:.1g}, allowed twice"
    )


def _drive() -> Outcome:
    prior, contexts = Dirichlet(2, 5.0), (6, 12, 24, 48)
    known = correlations(*nodes(prior, 256), contexts[-1])
    found = []
    for context in contexts:
        inner, mean = signals.kernel(context, 1)
        here = known[: context + 1, : context + 1, : context + 1]
        found.append(-context * signals.evaluate(signals.softmax, T=context, mu=1.0, K=inner, M=mean, C=here))
    expected = signal(prior, 1, reference="uniform").value * np.log(2) ** 2
    off = np.abs(np.diff(found, 2) - expected) / expected
    middle = np.sqrt(np.array(contexts[:-2]) * contexts[2:])
    return Outcome(
        float((off * middle / np.log(middle)).max()),
        4.0,
        "in units of ln T/T at the middle context, of order one: allowed 4",
    )


CHECKS = (
    Check(
        "drive",
        "the exact drive of two states at μ → 0: second differences of T D/μ over doublings tend to S₁ ln²2 like ln T / T, T = 6 … 48",
        _drive,
    ),
    Check(
        "law",
        "what onset.theory.laws.softmax integrates, on an expansion with frozen drive, with the statement",
        _law,
    ),
)

"""Checks of "softmax-law": what `theory.laws.softmax` integrates, with the statement."""

from __future__ import annotations

import numpy as np

from theory.derivations.derivation import Check, Outcome
from theory.derivations.softmax_law import wait
from theory.laws.expansion import LAGS, READOUTS, Expansion
from theory.laws.softmax import follow

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


CHECKS = (
    Check(
        "law",
        "what theory.laws.softmax integrates, on an expansion with frozen drive, with the statement",
        _law,
    ),
)

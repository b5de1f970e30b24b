"""Checks of "trapped-basin": the push by automatic differentiation, and its sign by where trained models go."""

from __future__ import annotations

import numpy as np

from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.setting import Setting
from onset.validate.checks.small_models import EPS, derivative, every_sequence, one_thread, reduced_loss

__all__ = ["CHECKS"]

BASINS = (("sgd", 25, 500), ("adam", 25, 120), ("adam", 12, 200))
"""Optimiser, context and steps of softmax models with two states: trapped, escaping, trapped."""


@one_thread
def _trained_basins() -> Outcome:
    """Trained models whose match or lag 1 went another way than predicted; both signs must be among the predictions."""
    from onset.theory.laws.basins import escapes
    from onset.validate.training import train

    wrong, signs = 0, set()
    for optimizer, context, steps in BASINS:
        setting = Setting.of(
            "softmax", states=2, context=context, optimizer=optimizer, steps=steps, record_every=steps // 4
        )
        predicted = escapes(setting)
        signs.add(predicted.sign)
        for seed in range(2):
            found = train(setting, seed)
            match = found.parameters["match.diagonal"][-1] - found.parameters["match.off_diagonal"][-1]
            gained = found.attention[-1, 0, 1] - found.attention[0, 0, 1]
            wrong += int(np.sign(match) != predicted.sign) + int(np.sign(gained) != predicted.sign)
    return Outcome(
        wrong + len({-1, 1} - signs),
        0.0,
        "signs of six trained models, two each; the training noise at these is smaller",
    )


@one_thread
def _enumerated_push() -> Outcome:
    """∂L/∂ω at μ ≠ 0 by autograd over all sequences of two states, with the recursion over counts."""
    from onset.theory.derivations import trapped

    context, level = 6, 1.3
    tokens, targets, chains, weights = every_sequence(2, context)
    loss, start = reduced_loss(Setting.of("softmax", states=2, context=context), tokens, targets)
    start[2].data.fill_(level)
    found = -derivative(loss(*start), start[0])
    expected = level * trapped.exact_two_states(chains, weights, level, context)[0][-1]
    rounding = EPS * len(tokens) * len(chains) * context**2
    return Outcome(
        float(abs(found - expected)) / rounding, 1.0, "in units of one rounding per sequence, chain, source and query"
    )


CHECKS = (
    Check(
        "enumerated",
        "the exact push of two states at μ = 1.3 with autograd over all sequences, T = 6",
        _enumerated_push,
    ),
    Check(
        "training",
        "sign of onset.theory.laws.basins.escapes with where match and lag 1 of trained softmax models go, k = 2: SGD and Adam at T = 25, Adam at T = 12",
        _trained_basins,
    ),
)

"""Checks of "trapped-basin": the push by automatic differentiation, and its sign by where trained models go."""

from __future__ import annotations

import numpy as np

from onset.theory.derivations.derivation import Residual, check
from onset.theory.setting import Setting
from onset.validate.checks.small_models import EPS, derivative, every_sequence, one_thread, reduced_loss

__all__ = ["CHECKS"]

BASINS = (("sgd", 25, 500), ("adam", 25, 120), ("adam", 12, 200))
"""Optimiser, context and steps of softmax models with two states: trapped, escaping, trapped."""


@check(
    "sign of `onset.theory.laws.basins.escapes` with the direction of match and lag 1 in trained softmax models, "
    "$k = 2$: SGD and Adam at $T = 25$, Adam at $T = 12$"
)
@one_thread
def _training() -> Residual:
    """Number of directions predicted wrongly; both signs must be among the predictions."""
    from onset.theory.laws.basins import escapes
    from onset.validate.training import train

    wrong, signs = 0, set()
    for optimizer, context, steps in BASINS:
        setting = Setting.of(
            "softmax", states=2, context=context, optimizer=optimizer, steps=steps, record_every=steps // 4
        )
        sign = escapes(setting).sign
        signs.add(sign)
        for seed in range(2):
            run = train(setting, seed)
            match = run.parameters["match.diagonal"][-1] - run.parameters["match.off_diagonal"][-1]
            gained = run.attention[-1, 0, 1] - run.attention[0, 0, 1]
            wrong += int(np.sign(match) != sign) + int(np.sign(gained) != sign)
    because = "signs of six trained models, two each; the training noise at these is smaller"
    return Residual(wrong + len({-1, 1} - signs), 0.0, because)


@check(r"the exact push of two states at $\mu = 1.3$ with autograd over all sequences, $T = 6$")
@one_thread
def _enumerated() -> Residual:
    from onset.theory.derivations import trapped

    context, readout = 6, 1.3
    tokens, targets, chains, weights = every_sequence(2, context)
    loss, start = reduced_loss(Setting.of("softmax", states=2, context=context), tokens, targets)
    start[2].data.fill_(readout)
    push = -derivative(loss(*start), start[0])
    expected = readout * trapped.exact_two_states(chains, weights, readout, context)[0][-1]
    rounding = EPS * len(tokens) * len(chains) * context**2
    because = "in units of one rounding per sequence, chain, source and query"
    return Residual(float(abs(push - expected)) / rounding, 1.0, because)


CHECKS = (_enumerated, _training)

"""Checks of derivations with sampled sequences, by the name of the derivation."""

from __future__ import annotations

from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.theory.derivations import signals
from onset.theory.derivations.derivation import Residual, check
from onset.theory.derivations.scores import all_positive, all_zero, standard_scores
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.markov.signals import correlations
from onset.theory.setting import Setting

__all__ = ["CHECKS"]

GROUPS = 32
"""Groups of sequences that a standard error is computed from."""

DIFFERENCE = 1e-4
"""Match or read-out of a central difference; its square times T² is far below the standard errors."""


def _groups(setting: Setting, count: int) -> list[Any]:
    from onset.simulate.tasks.markov_chains import sample

    return [sample(setting.task, count, generator) for generator in np.random.default_rng(7).spawn(GROUPS)]


def _sampled(setting: Setting, groups: list[Any]) -> Array:
    """Gradient by the lag logits per ω (linear) or by ω per μ (softmax) at the start, shape (GROUPS, n)."""
    from onset.simulate.finite_context.dynamics import loss_and_gradient

    layout, linear = (
        Layout.of(setting.task, setting.model.initialization, setting.task.context),
        setting.model.family == "linear",
    )
    varied = "match.diagonal" if linear else "readout.diagonal"
    step = np.array([DIFFERENCE * (name == varied) for name in layout.names])
    ends = np.array([[loss_and_gradient(setting, sign * step, g).derivative for sign in (1, -1)] for g in groups])
    return ((ends[:, 0] - ends[:, 1]) / (2 * DIFFERENCE))[:, layout.lags if linear else slice(0, 1)]


def _expected(setting: Setting, groups: list[Any], formula: Any) -> Array:
    """The same by `formula` of `onset.theory.derivations.signals` for the chains of each group."""
    context, gradients = setting.task.context, []
    for sample in groups:
        count = len(sample.transition)
        known = {"T": context, "C": correlations(sample.transition, np.full(count, 1 / count), context)}
        if setting.model.family == "linear":
            kernels = [signals.kernel(context, lag)[0] for lag in range(context)]
            gradients.append([signals.evaluate(formula, K=inner, **known) for inner in kernels])
        else:
            inner, mean = signals.kernel(context)
            gradients.append([signals.evaluate(formula, mu=1.0, K=inner, M=mean, **known)])
    return np.array(gradients)


def _sequences(family: str, formula: Any) -> Residual:
    scores = []
    for states in (2, 3):
        setting = Setting.of(family, states=states, context=12)
        groups = _groups(setting, 400)
        scores.extend(standard_scores(_sampled(setting, groups) - _expected(setting, groups, formula)))
    return all_zero(scores, GROUPS - 1)


@check(
    r"derivative by each lag logit per $\omega$ on 25,600 sampled sequences with `linear`, the same chains, $T = 12$"
)
def _sequences_linear(linear: Any) -> Residual:
    return _sequences("linear", linear)


@check(r"derivative by the match per $\mu$ on 25,600 sampled sequences with `softmax` for the same chains, $T = 12$")
def _sequences_softmax(softmax: Any) -> Residual:
    return _sequences("softmax", softmax)


@check("lags 1, 3 gain more than lags 2, 4 at a uniform start on sampled doubly stochastic chains, $k = 2$, $T = 32$")
def _asymmetry() -> Residual:
    setting = Setting.of("linear", prior=DoublyStochastic(2), context=32)
    gain = -_sampled(setting, _groups(setting, 400))
    gaps = np.stack([gain[:, 1] - gain[:, 2], gain[:, 3] - gain[:, 2], gain[:, 3] - gain[:, 4]], axis=1)
    return all_positive(standard_scores(gaps), GROUPS - 1)


CHECKS = {"signals": (_sequences_linear, _sequences_softmax), "alternation": (_asymmetry,)}

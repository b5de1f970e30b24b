"""Checks of derivations that need sampled sequences; `attach_all` adds them to those of `theory`. One section per derivation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t as student

from onset.theory.arrays import Array
from onset.theory.derivations import attach, signals
from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.setting import Setting
from onset.theory.signals import correlations

__all__ = ["attach_all"]

FALSE_ALARM = 1e-4
"""Probability that a whole check fails by chance, however many numbers it compares (Bonferroni)."""

GROUPS = 32
SMALL = 1e-4
"""Match or readout at which a derivative by it is taken; its square, times T², is far below any standard error here."""


def attach_all() -> None:
    """Add every check of this module to its derivation."""
    for name, checks in CHECKS.items():
        for check in checks:
            attach(name, check)


def _limit(count: int, *, sides: int) -> float:
    return float(student.isf(FALSE_ALARM / sides / count, GROUPS - 1))


def _z(groups: Array) -> Array:
    """Mean over groups in standard errors."""
    return groups.mean(axis=0) / (groups.std(axis=0, ddof=1) / np.sqrt(len(groups)))


# signals ------------------------------------------------------------------------------------------------------------


def _groups(setting: Setting, count: int) -> list[Any]:
    from onset.simulate.tasks.markov_chains import sample

    return [sample(setting.task, count, generator) for generator in np.random.default_rng(7).spawn(GROUPS)]


def _sampled(setting: Setting, groups: list[Any]) -> Array:
    """Derivative of the gradient per ω (linear, by lag logits) or per μ (softmax, by ω) at the start, shape (GROUPS, n)."""
    from onset.simulate.finite_context.dynamics import loss_and_gradient

    layout, linear = Layout.of(setting, setting.task.context), setting.model.family == "linear"
    direction = np.array(
        [SMALL * (name == ("match.diagonal" if linear else "readout.diagonal")) for name in layout.names]
    )
    ends = np.array([[loss_and_gradient(setting, sign * direction, g).derivative for sign in (1, -1)] for g in groups])
    return ((ends[:, 0] - ends[:, 1]) / (2 * SMALL))[:, layout.lags if linear else slice(0, 1)]


def _known(setting: Setting, groups: list[Any]) -> Array:
    """The same by `onset.theory.derivations.signals` for the chains of each group."""
    context, found = setting.task.context, []
    for drawn in groups:
        count = len(drawn.transition)
        at = {"T": context, "C": correlations(drawn.transition, np.full(count, 1 / count), context)}
        if setting.model.family == "linear":
            kernels = [signals.kernel(context, lag)[0] for lag in range(context)]
            found.append([signals.evaluate(signals.linear, K=inner, **at) for inner in kernels])
        else:
            inner, mean = signals.kernel(context)
            found.append([signals.evaluate(signals.softmax, mu=1.0, K=inner, M=mean, **at)])
    return np.array(found)


def _sequences(family: str) -> Outcome:
    scores = []
    for states in (2, 3):
        setting = Setting.of(family, states=states, context=12)
        groups = _groups(setting, 400)
        scores.extend(np.abs(_z(_sampled(setting, groups) - _known(setting, groups))))
    because = f"|z|: Student's t over {GROUPS} groups, {len(scores)} numbers, false alarm {FALSE_ALARM:g}"
    return Outcome(float(np.max(scores)), _limit(len(scores), sides=2), because)


# alternation --------------------------------------------------------------------------------------------------------


def _asymmetry() -> Outcome:
    setting = Setting.of("linear", prior=DoublyStochastic(2), context=32)
    gain = -_sampled(setting, _groups(setting, 400))
    gaps = np.stack([gain[:, 1] - gain[:, 2], gain[:, 3] - gain[:, 2], gain[:, 3] - gain[:, 4]], axis=1)
    limit = _limit(gaps.shape[1], sides=1)
    return Outcome(
        -float(_z(gaps).min()),
        -limit,
        f"every gap above zero: -min z, Student's t over {GROUPS} groups, false alarm {FALSE_ALARM:g}",
    )


CHECKS = {
    "signals": (
        Check(
            "sequences-linear",
            "lag logits' derivative per ω on 25,600 sampled sequences with `linear` for the same chains, T = 12, every lag",
            lambda: _sequences("linear"),
        ),
        Check(
            "sequences-softmax",
            "match's derivative per μ on 25,600 sampled sequences with `softmax` for the same chains, T = 12",
            lambda: _sequences("softmax"),
        ),
    ),
    "alternation": (
        Check(
            "asymmetry",
            "lags 1, 3 gain more than lags 2, 4 at a uniform start on sampled doubly stochastic chains, k = 2, T = 32",
            _asymmetry,
        ),
    ),
}

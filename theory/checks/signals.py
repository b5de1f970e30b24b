"""Checks of "signals": enumeration, both families' limits with their mean fields, and how fast they are approached."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.theory.derivations import alternation
from onset.theory.derivations.derivation import Residual, check, worst
from onset.theory.derivations.signals import evaluate, kernel
from onset.theory.markov import signals
from onset.theory.markov.chains import stationary
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.softmax import SoftmaxMeanField

__all__ = ["CHECKS"]

CONTEXTS = (16, 32, 64, 128)


def _mixed(dynamics: MeanField, first: slice, along: Any, size: float) -> tuple[Array, Array]:
    """Derivative of the coordinates `first` of the gradient along another one, at 0, and an estimate of its error."""

    def difference(h: float) -> Array:
        ahead, behind = (dynamics.gradient(sign * h * along).derivative[first] for sign in (1, -1))
        return (ahead - behind) / (2 * h)

    once, twice = difference(size), difference(2 * size)
    # h and 2h give the h² term, which is removed and exceeds what is left. Rounding: ε/h per term of the loss.
    terms = len(dynamics.weights) * dynamics.task.context
    return (4 * once - twice) / 3, np.abs(twice - once) / 3 + terms * np.finfo(float).eps / size


@check(
    r"both families' limits with `onset.theory.mean_fields.limit` differenced in $\omega$ and $\mu$, all lags tracked, "
    "$T = 12$"
)
def _mean_field(statement: Any, by_match: Any) -> Residual:
    context, largest = 12, 0.0
    for states in (2, 3):
        for build in (LinearMeanField, SoftmaxMeanField):
            dynamics = build(MarkovChains.of(states=states, context=context), lags=context, count=64)
            names = np.array(dynamics.layout.names)
            # The mean field stands for all query states by the first, the prior being exchangeable.
            query = np.einsum("nj,njm->nm", dynamics.row, dynamics.deviation)
            s_n = (dynamics.weights * dynamics.query) @ query
            if build is LinearMeanField:
                computed, error = _mixed(dynamics, dynamics.layout.lags, names == "match.diagonal", 1e-3)
                expected = [evaluate(statement.rhs, T=context, r=lag, omega=1.0, signal=s_n) for lag in range(context)]
            else:
                computed, error = _mixed(dynamics, slice(0, 1), names == "readout.diagonal", 1e-2)
                expected = [evaluate(by_match, T=context, mu=1.0, signal=s_n)]
            largest = worst(largest, float((np.abs(computed - expected) / error).max()))
    return Residual(largest, 1.0, "error estimate of the differences: their $h^2$ term, and rounding over $h$")


def _halving(context: int) -> float:
    """Factor by which ln T / T falls when T doubles, at least."""
    return float(np.log(2 * context) / (2 * np.log(context)))


@check(r"`linear` at lag 1 less the statement: $T$ times the difference is affine in $\ln T$ up to $O(\ln T/T)$")
def _rate(statement: Any, linear: Any) -> Residual:
    matrices, weights = alternation.flat_rule(16)

    def gap(context: int) -> float:
        inner, _ = kernel(context, 1)
        exact = evaluate(linear, T=context, K=inner, C=signals.correlations(matrices, weights, context))
        s_n = weights @ alternation.chain_signals(matrices, context, "uniform")
        return context * (exact - evaluate(statement.rhs, T=context, r=1, omega=1.0, signal=s_n))

    bends = np.diff([gap(context) for context in CONTEXTS], 2)
    because = r"$O(\ln T/T)$: bends over doublings fall at least by $\ln(2T)/(2 \ln T)$"
    return Residual(float(bends[1] / bends[0]), _halving(CONTEXTS[0]), because)


@check(
    r"`softmax` for $W$: second differences of $-T$ times it over doublings of $T$ tend to $\ln^2 2 \sum_n S_n$ like "
    r"$\ln T/T$"
)
def _softmax_rate(softmax: Any) -> Residual:
    matrices, flat = alternation.flat_rule(16)
    weights = np.prod(matrices, axis=(1, 2)) ** 4 * flat  # Dirichlet rows of concentration 5: chains mix fast
    weights /= weights.sum()

    def scaled(context: int) -> float:
        inner, mean = kernel(context)
        known = signals.correlations(matrices, weights, context)
        return -context * evaluate(softmax, T=context, mu=1.0, K=inner, M=mean, C=known)

    total = float((weights @ alternation.chain_signals(matrices, 64, "uniform")).sum())
    errors = np.abs(np.diff([scaled(context) for context in CONTEXTS], 2) - np.log(2) ** 2 * total)
    because = r"$O(\ln T/T)$: what is left falls at least by $\ln(2T)/(2 \ln T)$ over a doubling"
    return Residual(float(errors[1] / errors[0]), _halving(CONTEXTS[0]), because)


def _loss(family: str, chains: Array, weights: Array, context: int, **start: complex) -> complex:
    """Loss of a toy family with v = 0 by the sum over all sequences; ω, c and μ from `start`, elsewhere zero."""
    states = chains.shape[-1]
    tokens = np.array(list(itertools.product(range(states), repeat=context)))
    probability = stationary(chains)[:, tokens[:, 0]] * np.prod(chains[:, tokens[:, :-1], tokens[:, 1:]], axis=-1)
    holds = np.eye(states)[tokens]
    seen = holds.cumsum(axis=1) / np.arange(1, context + 1)[:, None]
    score = start.get("omega", 0.0) * np.einsum("nti,nsi->nts", holds, seen) + start.get("c", 0.0)
    past = np.tri(context)
    if family == "softmax":
        weight = np.exp(score) * past
        score = start.get("mu", 0.0) * weight / weight.sum(axis=2, keepdims=True)
    logits = (score * past) @ holds
    losses = np.log(np.exp(logits).sum(axis=2))[None] - (chains[:, tokens] * logits).sum(axis=-1)
    return complex(weights @ (probability * losses.mean(axis=-1)).sum(axis=1))


@check(
    r"first gradients by $\omega$, $c$ and $\mu$ with those of the loss by complex steps, all sequences, $k = 2$, "
    "$T = 6$ and $k = 3$, $T = 4$"
)
def _enumerated(linear: Any, softmax: Any, by_scale: Any, by_readout: Any) -> Residual:
    step, readout, largest = 1e-30, 1e-3, 0.0
    for states, context in ((2, 6), (3, 4)):
        generator = np.random.default_rng(states)
        chains, weights = generator.dirichlet(np.ones(states), size=(3, states)), generator.dirichlet(np.ones(3))
        known: dict[str, Any] = {"T": context, "C": signals.correlations(chains, weights, context)}
        repeats: dict[str, Any] = {"T": context, "u": signals.repetitions(chains, weights, context)}
        inner, mean = kernel(context)

        def slope(family: str, by: str, *, at: float = 0.0, case: Any = (chains, weights, context)) -> float:
            start = {"mu": at} | {by: step * 1j + (at if by == "mu" else 0.0)}
            return _loss(family, *case, **start).imag / step

        match = (slope("softmax", "omega", at=readout) - slope("softmax", "omega", at=-readout)) / (2 * readout)
        pairs = (
            (slope("linear", "omega"), evaluate(linear, K=inner, **known)),
            (slope("linear", "c"), evaluate(by_scale, **repeats)),
            (slope("softmax", "mu"), evaluate(by_readout, **repeats)),
            (match, evaluate(softmax, mu=1.0, K=inner, M=mean, **known)),
        )
        largest = worst(largest, *(abs(computed - expected) for computed, expected in pairs))
    return Residual(largest, readout**2, r"square of the difference in $\mu$; all others to rounding")


CHECKS = (_enumerated, _mean_field, _rate, _softmax_rate)

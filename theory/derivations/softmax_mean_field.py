r"""The softmax family's sources as T → ∞: a product along the chain, and its first orders.

Source u' holds j; each tracked predecessor that equals the query i raises its score by ω a_r. Write D_r = I + (e^{ω a_r} - 1)
e_i e_iᵀ. The expected weight of sources that hold j is [π D_{R-1} P ⋯ P D_0]_j, because inserting e^{ω a_r 1[x_{s-r}=i]} at step s - r
multiplies that component alone. To first order in ω it is π_j + ω π_i Σ_r a_r (P^r)_ij: the linear family's source.
"""

from __future__ import annotations

import itertools

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.derivations.two_state_chain import a, b, stationary, transition
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.setting import Setting

__all__ = ["derive", "source_law"]

omega = sp.Symbol("omega", real=True)
shares = sp.symbols("a_0 a_1 a_2", positive=True)


def source_law(lags: int, query: int) -> sp.Matrix:
    """h_j = [π D_{R-1} P ⋯ P D_0]_j for two states and R = `lags`, a row."""
    law = stationary
    for r in reversed(range(lags)):
        raised = sp.eye(2)
        raised[query, query] = sp.exp(omega * shares[r])
        law = law * raised * (transition if r else sp.eye(2))
    return law


def _slope(lags: int, query: int) -> sp.Matrix:
    """dh/dω at ω = 0."""
    return source_law(lags, query).applyfunc(lambda entry: sp.diff(entry, omega).subs(omega, 0))


def derive() -> Derivation:
    """h = π D_1 P D_0 for two tracked lags; more lags multiply on the left."""
    h, pi, P, D0, D1 = (sp.Symbol(n, commutative=False) for n in ("h", "pi", "P", "D_0", "D_1"))
    first = _slope(2, 0).applyfunc(sp.factor)
    return Derivation(
        name="softmax-mean-field",
        title="Expected weight of sources in the softmax family",
        statement=sp.Eq(h, pi * D1 * P * D0, evaluate=False),
        symbols={
            h: "expected weight of sources by the symbol they hold, up to a factor common to all symbols; a row",
            pi: "stationary law, a row",
            P: "transition matrix",
            D0: "I + (e^{ω a_0} - 1) e_i e_iᵀ: the source itself",
            D1: "the same with a_1: the symbol before it",
        },
        assumptions=(
            "stationary chains, W = ωI + c·11ᵀ (c drops out), R lags tracked, here two",
            "T → ∞ at fixed ω and μ: ratios of sums over sources equal ratios of their expectations",
        ),
        validity=(
            "Exact for the tracked lags. At small ω the fluctuations of counts that are neglected are as large as the signal: "
            "averaged over positions that is ln T²/T."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step("two states, query 0", sp.ImmutableMatrix(source_law(2, 0)), "multiply out", checks=("enumeration",)),
            Step(
                "first order in ω",
                sp.ImmutableMatrix(first),
                "differentiate at ω = 0: π_i Σ_r a_r (P^r)_ij",
                checks=("first-order",),
            ),
        ),
        checks=[
            Check(
                "enumeration",
                "product with the sum over all source tuples, two states, three lags, symbolically",
                _enumeration,
            ),
            Check("first-order", "d h/dω at 0 with π_i Σ_r a_r (P^r)_ij, symbolically", _first_order),
            Check("library", "product with onset.theory.mean_fields.softmax's, at random weights", _library),
        ],
    )


def _enumeration() -> Outcome:
    left = []
    for query in (0, 1):
        expected = [sp.Integer(0), sp.Integer(0)]
        for x in itertools.product((0, 1), repeat=3):
            probability = stationary[x[0]] * transition[x[0], x[1]] * transition[x[1], x[2]]
            score = sum(shares[r] for r in range(3) if x[2 - r] == query)
            expected[x[2]] += probability * sp.exp(omega * score)
        found = source_law(3, query)
        left += [sp.expand(expected[j] - found[j], power_exp=True) for j in (0, 1)]
    return Outcome.identity(*left)


def _first_order() -> Outcome:
    left = []
    for query, j in itertools.product((0, 1), (0, 1)):
        slope = _slope(3, query)[j]
        claimed = stationary[query] * sum(shares[r] * (transition**r)[query, j] for r in range(3))
        left.append(slope - claimed)
    return Outcome.identity(*left)


def _library() -> Outcome:
    dynamics = SoftmaxMeanField(Setting.of("softmax", states=2, context=50), lags=3, count=16)
    weights, strength = np.random.default_rng(0).dirichlet(np.ones(4))[:3], 2.7
    # The library's law has the background's factor too, e^{ω π_i (1 - Σ a)}, and is scaled by e^{-ω}.
    untracked = dynamics.query[:, None] * (1 - weights.sum())
    found = dynamics.source_law((strength * weights)[None, None, :, None])[0][0, 0, :, :, 0].T
    found = found * np.exp(strength * (untracked - 1))
    closed = sp.lambdify((a, b, omega, *shares), source_law(3, 0))
    worst = 0.0
    for chain, held, query in zip(dynamics.transition, found, dynamics.query, strict=True):
        expected = closed(chain[0, 1], chain[1, 0], strength, *weights)[0]
        expected = expected * np.exp(strength * (query * (1 - weights.sum()) - 1))
        worst = max(worst, float(np.abs(held / expected - 1).max()))
    return Outcome(
        worst, 1e-13, "some hundred operations of relative rounding error 1e-16 on positive numbers, times ten"
    )

r"""Two states in closed form: stationary law, powers, fundamental matrix and entropy rate.

With P_01 = a and P_10 = b the second eigenvalue is ρ = 1 - a - b, and every quantity below is a rational function of a
and b, but for the logarithms of the entropy rate.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.markov import chains

__all__ = ["a", "b", "derive", "fundamental", "power", "stationary", "transition"]

a, b = sp.symbols("a b", positive=True)
r = sp.symbols("r", integer=True, nonnegative=True)

transition = sp.Matrix([[1 - a, a], [b, 1 - b]])
stationary = sp.Matrix([[b, a]]) / (a + b)
limit = sp.ones(2, 1) * stationary
power = limit + (1 - a - b) ** r * (sp.eye(2) - limit)
fundamental = limit + (sp.eye(2) - limit) / (a + b)
entropy_rate = -sp.Add(
    *(stationary[i] * transition[i, j] * sp.log(transition[i, j]) for i in range(2) for j in range(2))
)


def derive() -> Derivation:
    """P^r = 1π + ρ^r (I - 1π), from which all else follows."""
    name = sp.MatrixSymbol("P", 2, 2)
    return Derivation(
        name="two-state-chain",
        title="Two states: powers of the transition matrix",
        statement=sp.Eq(name**r, sp.ImmutableMatrix(power), evaluate=False),
        symbols={
            a: "probability of leaving state 0",
            b: "probability of leaving state 1",
            r: "lag, in tokens",
            name: "transition matrix; rows sum to one",
        },
        assumptions=("0 < a, b and a + b < 2, so that the stationary law is unique and is approached",),
        validity="All lags; a + b = 2 alternates for ever and has the stationary law, but does not approach it.",
        source="Kemeny, Snell, Finite Markov Chains (1960), chapter 4",
        references=("kemeny1960finite",),
        steps=(
            Step("solve πP = π", sp.ImmutableMatrix(stationary), "two equations and π_0 + π_1 = 1"),
            Step(
                "split off the limit",
                sp.ImmutableMatrix((transition - limit).applyfunc(sp.factor)),
                "equals ρ (I - 1π) with ρ = 1 - a - b, and (I - 1π) is a projection that 1π annihilates",
            ),
            Step("fundamental matrix", sp.ImmutableMatrix(fundamental), "Z = (I - P + 1π)^{-1} = 1π + Σ_r (P^r - 1π)"),
            Step("entropy rate", entropy_rate, "Σ_i π_i H(P_i), nats per token"),
        ),
        checks=[
            Check(
                "stationary",
                "πP with π, symbolically",
                lambda: Outcome.identity(*(stationary * transition - stationary)),
            ),
            Check("recursion", "P^{r+1} with P^r P, symbolically", _recursion),
            Check("fundamental", "Z (I - P + 1π) with I, symbolically", _inverse),
            Check("entropy-rate", "closed form with onset.theory.markov.chains on 1,000 random chains", _entropy_rate),
        ],
    )


def _recursion() -> Outcome:
    following = power.subs(r, r + 1) - power * transition
    return Outcome.identity(*following, *(power.subs(r, 0) - sp.eye(2)))


def _inverse() -> Outcome:
    return Outcome.identity(*(fundamental * (sp.eye(2) - transition + limit) - sp.eye(2)))


def _entropy_rate() -> Outcome:
    leave = np.random.default_rng(0).uniform(0.01, 0.99, size=(2, 1000))
    matrices = np.array([[1 - leave[0], leave[0]], [leave[1], 1 - leave[1]]]).transpose(2, 0, 1)
    closed = sp.lambdify((a, b), entropy_rate)(*leave)
    worst = np.abs(closed - chains.entropy_rate(matrices)).max()
    return Outcome(float(worst), 1e-14, "a few dozen rounding errors of 2e-16 times entropies below ln 2")

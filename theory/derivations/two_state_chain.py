r"""Two states in closed form: stationary law, powers, fundamental matrix and entropy rate.

With P_01 = a and P_10 = b the second eigenvalue is ρ = 1 - a - b. Every quantity below is a rational function of a and
b, but for the logarithms of the entropy rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Identities, Residual, check
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.markov import chains

__all__ = ["a", "b", "derive", "fundamental", "power", "stationary", "transition"]

a, b = sp.symbols("a b", positive=True)
r = sp.symbols("r", integer=True, nonnegative=True)
P = sp.MatrixSymbol("P", 2, 2)

transition = sp.Matrix([[1 - a, a], [b, 1 - b]])
stationary = sp.Matrix([[b, a]]) / (a + b)
limit = sp.ones(2, 1) * stationary
power = limit + (1 - a - b) ** r * (sp.eye(2) - limit)
fundamental = limit + (sp.eye(2) - limit) / (a + b)
entropy_rate = -sp.Add(
    *(stationary[i] * transition[i, j] * sp.log(transition[i, j]) for i in range(2) for j in range(2))
)


@derives("two-state-chain")
def derive() -> Expressions:
    r"""Two states: powers of the transition matrix

    Symbols
    -------
    P : transition matrix; rows sum to one
    a, b
    rho : second eigenvalue, $1 - a - b$
    Z : fundamental matrix, $(I - P + 1\pi)^{-1}$
    r, pi, H

    Assumptions
    -----------
    - $0 < a, b$ and $a + b < 2$, so that the stationary law is unique and is approached

    Steps
    -----
    - solve $\pi P = \pi$: two equations and $\pi_0 + \pi_1 = 1$ [stationary]
    - split off the limit: $P - 1\pi = \rho\,(I - 1\pi)$, and $I - 1\pi$ is a projection that $1\pi$ annihilates
      [rest]
    - fundamental matrix: $Z = 1\pi + \sum_r (P^r - 1\pi)$ [fundamental]
    - entropy rate: $\sum_i \pi_i H(P_i)$, nats per token [entropy_rate]

    Validity
    --------
    All lags. With $a + b = 2$ the chain alternates for ever and does not approach its stationary law.

    Source
    ------
    Kemeny, Snell, Finite Markov Chains (1960), chapter 4

    References
    ----------
    kemeny1960finite
    """
    return {
        "statement": equation(P**r, power),
        "stationary": stationary,
        "rest": (transition - limit).applyfunc(sp.factor),
        "fundamental": fundamental,
        "entropy_rate": entropy_rate,
    }


@check(r"$\pi P$ with $\pi$, and its sum with 1, symbolically")
def _stationary(stationary: Any) -> Identities:
    return (*(stationary * transition - stationary), sum(stationary) - 1)


@check("$P^{r+1}$ with $P^r P$, and the first powers with products of $P$, symbolically")
def _recursion(statement: Any) -> Identities:
    closed = statement.rhs
    yield from closed.subs(r, r + 1) - closed * transition
    for n in range(3):
        yield from statement.lhs.subs({P: sp.ImmutableMatrix(transition), r: n}).as_explicit() - closed.subs(r, n)


@check(r"$P - 1\pi$ with $\rho$ times a projection that $1\pi$ annihilates, symbolically")
def _rest(rest: Any) -> Identities:
    rho = 1 - a - b
    yield from transition - limit - rest
    yield from rest * rest - rho * rest
    yield from limit * rest


@check(r"$Z (I - P + 1\pi)$ with $I$, symbolically")
def _fundamental(fundamental: Any) -> Identities:
    return fundamental * (sp.eye(2) - transition + limit) - sp.eye(2)


@check("closed form with `onset.theory.markov.chains` on 1,000 random chains")
def _entropy_rate(entropy_rate: Any) -> Residual:
    leaving = np.random.default_rng(0).uniform(0.01, 0.99, size=(2, 1000))
    matrices = np.array([[1 - leaving[0], leaving[0]], [leaving[1], 1 - leaving[1]]]).transpose(2, 0, 1)
    closed = sp.lambdify((a, b), entropy_rate)(*leaving)
    largest = np.abs(closed - chains.entropy_rate(matrices)).max()
    return Residual(float(largest), 1e-14, "a few dozen rounding errors of 2e-16 times entropies below ln 2")

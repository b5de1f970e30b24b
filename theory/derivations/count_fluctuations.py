r"""Covariance of a stationary chain's counts, at any length and in the limit, by the fundamental matrix.

N_j is the number of times that state j occurs among T tokens. Everything follows from the correlation of two tokens r
apart, Cov(1[x_s = i], 1[x_{s+r} = j]) = π_i ((P^r)_ij - π_j).
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations import two_state_chain
from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.markov import chains

__all__ = ["covariance", "derive", "limit", "two_states"]

T, r = sp.symbols("T r", integer=True, positive=True)
a, b = two_state_chain.a, two_state_chain.b
rho = sp.Symbol("rho", real=True)

Gamma, D, Z, Pi = (sp.MatrixSymbol(name, 2, 2) for name in ("Gamma", "D", "Z", "Pi"))
general = D * Z + Z.T * D - D - Pi

pi: Any = sp.IndexedBase("pi")
power: Any = sp.Function("P")
i, j = sp.symbols("i j", integer=True, nonnegative=True)
finite = T * pi[i] * (sp.KroneckerDelta(i, j) - pi[j]) + sp.Sum(
    (T - r) * (pi[i] * power(r, i, j) + pi[j] * power(r, j, i) - 2 * pi[i] * pi[j]), (r, 1, T - 1)
)
"""Cov(N_i, N_j) among T tokens, P(r, i, j) = (P^r)_ij."""

two_states = T * (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**T) / (1 - rho) ** 2
"""Var N_0/(π_0 π_1) of two states, ρ = 1 - a - b."""


@derives("count-fluctuations")
def derive() -> Expressions:
    r"""Covariance of a chain's counts

    Symbols
    -------
    Gamma : limit of $\operatorname{Cov}(N_i, N_j)/T$ as $T \to \infty$; a row and a column per state
    D : $\operatorname{diag}(\pi)$
    Z : fundamental matrix $(I - P + 1\pi)^{-1} = I + \sum_{r \ge 1} (P^r - 1\pi)$
    Pi : $\pi\pi^\top$
    pi[i] : stationary probability of state $i$
    P(r, i, j) : $(P^r)_{ij}$, with the transition matrix $P$
    N_i : how often state $i$ occurs among $T$ tokens; likewise $j$
    T : number of tokens
    rho : second eigenvalue of two states
    r, k

    Assumptions
    -----------
    - the chain starts from its stationary law
    - it has one recurrent class and no period

    Steps
    -----
    - finite length: $\operatorname{Cov}(N_i, N_j)$: $T - r$ pairs of tokens are $r$ apart, and each lag counts in both
      orders [finite]
    - limit: $\sum_{r \ge 1} (P^r - 1\pi) = Z - I$, so that $\Gamma = D - \pi\pi^\top + D (Z - I) + (Z - I)^\top D$
    - two states: $\operatorname{Var}(N_0)/(\pi_0 \pi_1)$, from $(P^r)_{00} - \pi_0 = \pi_1 \rho^r$ [two_states]

    Validity
    --------
    $\operatorname{Cov}(N)/T$ differs from $\Gamma$ by $O(1/T)$, the mean over $T$ of $\sum_r r (P^r - 1\pi)$. Not for
    chains that mix about as slowly as the context is long: `covariance` has the finite sum. Given the last token, means
    move by $O(1)$ and covariances by a relative $O(1/T)$; `onset.theory.mean_fields.corrected.moments` holds both
    exactly, with those of layer 2's sums, and `onset.theory.mean_fields.corrected.counts` their third cumulants
    (derivation ratio-fluctuations).

    Source
    ------
    Kemeny, Snell, Finite Markov Chains (1960), section 4.6

    References
    ----------
    kemeny1960finite
    """
    return {"statement": equation(Gamma, general), "finite": finite, "two_states": two_states}


def covariance(transition: Array, context: int) -> Array:
    """Cov(N) of the counts among `context` tokens, shape (..., k, k), by the finite sum over lags."""
    law = chains.stationary(transition)
    excess = law[..., :, None] * (chains.lag_matrices(transition, context) - law[..., None, :])
    pairs = np.arange(context, 0, -1.0)
    half = np.einsum("r,r...ij->...ij", pairs, excess)
    return half + half.swapaxes(-1, -2) - context * excess[0]


def limit(transition: Array) -> Array:
    """Γ, shape (..., k, k)."""
    law = chains.stationary(transition)
    fundamental = np.linalg.inv(np.eye(law.shape[-1]) - transition + law[..., None, :])
    half = law[..., :, None] * fundamental
    outer = law[..., :, None] * law[..., None, :]
    return half + half.swapaxes(-1, -2) - np.eye(law.shape[-1]) * law[..., None] - outer


@cache
def _enumerated(states: int, context: int) -> tuple[Array, Array]:
    """A random chain, and Cov(N) by the sum over all sequences."""
    transition = np.random.default_rng(states).dirichlet(np.ones(states), size=states)
    first, second = np.zeros(states), np.zeros((states, states))
    for tokens in itertools.product(range(states), repeat=context):
        probability = chains.stationary(transition)[tokens[0]] * np.prod(transition[tokens[:-1], tokens[1:]])
        count = np.bincount(tokens, minlength=states)
        first, second = first + probability * count, second + probability * np.outer(count, count)
    return transition, second - np.outer(first, first)


@check("the finite sum over lags, and `covariance`, with all sequences, $k = 2$, $T = 8$ and $k = 3$, $T = 6$")
def _enumeration(finite: Any) -> Residual:
    largest = 0.0
    for states, context in ((2, 8), (3, 6)):
        transition, exact = _enumerated(states, context)
        powers = chains.lag_matrices(transition, context)
        by_sum = sp.lambdify((T, i, j, pi, power), finite, "numpy")
        known = chains.stationary(transition), powers.item
        printed = [[by_sum(context, row, column, *known) for column in range(states)] for row in range(states)]
        largest = worst(
            largest, *(float(np.abs(exact - by).max()) for by in (covariance(transition, context), printed))
        )
    return Residual(largest, 1e-11, "some thousand rounding errors of 2e-16 times squares of counts below 64")


@check(r"the closed form with the finite sum, symbolically, $T = 1, \dots, 6$")
def _two_states(two_states: Any) -> Identities:
    for length in range(1, 7):
        total = length + 2 * sum((length - lag) * rho**lag for lag in range(1, length))
        yield two_states.subs(T, length) - total


@check(r"$\Gamma$ with $\pm\pi_0 \pi_1 (1 + \rho)/(1 - \rho)$, symbolically")
def _limit_two_states(statement: Any) -> Identities:
    law, fundamental = two_state_chain.stationary, two_state_chain.fundamental
    known: Any = {D: sp.diag(*law), Z: sp.ImmutableMatrix(fundamental), Pi: sp.ImmutableMatrix(law.T * law)}
    ratio = (1 + rho) / (1 - rho)  # limit of two_states/T
    expected = law[0] * law[1] * ratio.subs(rho, 1 - a - b) * sp.Matrix([[1, -1], [-1, 1]])
    yield from statement.rhs.subs(known).as_explicit() - expected


@check(r"$\operatorname{Cov}(N) - T\Gamma$ at $T = 32, \dots, 512$: tends to a constant exponentially fast")
def _rate() -> Residual:
    transition = np.random.default_rng(0).dirichlet(np.ones(3), size=3)
    offsets = [covariance(transition, t) - t * limit(transition) for t in (32, 64, 128, 256, 512)]
    change = max(np.abs(later - offsets[0]).max() for later in offsets[1:])
    second = np.sort(np.abs(np.linalg.eigvals(transition)))[-2]
    return Residual(
        float(change),
        float(100 * second**32 + 512**2 * np.finfo(float).eps),
        r"what remains falls like $|\lambda_2|^T$, here times at most 100; rounding of 512 terms of at most 512",
    )

r"""How counts of a stationary chain fluctuate: their covariance at any length and its limit, by the fundamental matrix.

N_j is how often state j occurs among T tokens. Everything follows from the correlation of two tokens r apart,
Cov(1[x_s = i], 1[x_{s+r} = j]) = π_i ((P^r)_ij - π_j).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations import two_state_chain
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
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


def derive() -> Derivation:
    """Γ = D Z + Zᵀ D - D - ππᵀ, the covariance of counts per token."""
    k = Gamma.shape[0]
    return Derivation(
        name="count-fluctuations",
        title="Covariance of a chain's counts",
        statement=sp.Eq(Gamma, general, evaluate=False),
        symbols={
            Gamma: f"limit of Cov(N_i, N_j)/T; k × k, printed for k = {k}",
            D: "diag(π)",
            Z: "fundamental matrix (I - P + 1π)^{-1} = I + Σ_{r≥1} (P^r - 1π)",
            Pi: "ππᵀ",
        },
        assumptions=("the chain starts from its stationary law", "it has one recurrent class and no period"),
        validity=(
            "Cov(N)/T differs from Γ by O(1/T), the mean over T of Σ_r r (P^r - 1π): useless for chains that mix about as slowly as "
            "the context is long, where `covariance` has the finite sum. Given the last token, means move by O(1) and covariances by a relative "
            "O(1/T); onset.theory.mean_fields.corrected.moments holds both exactly, and those of layer 2's sums; onset.theory.mean_fields.corrected.counts their third cumulants, see ratio-fluctuations."
        ),
        source="Kemeny, Snell, Finite Markov Chains (1960), section 4.6",
        references=("kemeny1960finite",),
        steps=(
            Step(
                "finite length",
                finite,
                "Cov(N_i, N_j), P(r, i, j) = (P^r)_ij: T - r pairs of tokens are r apart, and each lag counts in both orders",
            ),
            Step("limit", general, "Σ_{r≥1} (P^r - 1π) = Z - I, so that Γ = D - ππᵀ + D (Z - I) + (Z - I)ᵀ D"),
            Step("two states", two_states, "Var N_0/(π_0 π_1), from (P^r)_00 - π_0 = π_1 ρ^r"),
        ),
        checks=[
            Check("enumeration", "`covariance` with all sequences, k = 2, T = 8 and k = 3, T = 6", _enumeration),
            Check("two-states", "the closed form with the finite sum, symbolically, T = 1 … 6", _two_states),
            Check("limit-two-states", "Γ_00 with π_0 π_1 (1 + ρ)/(1 - ρ), symbolically", _limit_two_states),
            Check("rate", "Cov(N)/T - Γ at T = 32 … 512: T times it tends to a constant exponentially fast", _rate),
        ],
    )


def covariance(transition: Array, context: int) -> Array:
    """Cov(N) of the counts among `context` tokens, shape (..., k, k), by the finite sum over lags."""
    law = chains.stationary(transition)
    excess = law[..., :, None] * (chains.lag_matrices(transition, context) - law[..., None, :])
    weight = np.arange(context, 0, -1.0)
    half = np.einsum("r,r...ij->...ij", weight, excess)
    return half + half.swapaxes(-1, -2) - context * excess[0]


def limit(transition: Array) -> Array:
    """Γ, shape (..., k, k)."""
    law = chains.stationary(transition)
    fundamental = np.linalg.inv(np.eye(law.shape[-1]) - transition + law[..., None, :])
    half = law[..., :, None] * fundamental
    outer = law[..., :, None] * law[..., None, :]
    return half + half.swapaxes(-1, -2) - np.eye(law.shape[-1]) * law[..., None] - outer


def _enumeration() -> Outcome:
    worst = 0.0
    for states, context in ((2, 8), (3, 6)):
        transition = np.random.default_rng(states).dirichlet(np.ones(states), size=states)
        first, second = np.zeros(states), np.zeros((states, states))
        for tokens in itertools.product(range(states), repeat=context):
            chance = chains.stationary(transition)[tokens[0]] * np.prod(transition[tokens[:-1], tokens[1:]])
            count = np.bincount(tokens, minlength=states)
            first, second = first + chance * count, second + chance * np.outer(count, count)
        worst = max(worst, np.abs(second - np.outer(first, first) - covariance(transition, context)).max())
    return Outcome(float(worst), 1e-11, "some thousand rounding errors of 2e-16 times squares of counts below 64")


def _two_states() -> Outcome:
    differences = []
    for length in range(1, 7):
        summed = length + 2 * sum((length - lag) * rho**lag for lag in range(1, length))
        differences.append(sp.simplify(two_states.subs(T, length) - summed))
    return Outcome.identity(*differences)


def _limit_two_states() -> Outcome:
    pi, fundamental = two_state_chain.stationary, two_state_chain.fundamental
    value: Any = general.subs({D: sp.diag(*pi), Z: sp.ImmutableMatrix(fundamental), Pi: sp.ImmutableMatrix(pi.T * pi)})
    value = value.as_explicit()
    ratio = (1 + rho) / (1 - rho)  # of two_states/T at T → ∞
    return Outcome.identity(sp.simplify(value[0, 0] - pi[0] * pi[1] * ratio.subs(rho, 1 - a - b)))


def _rate() -> Outcome:
    transition = np.random.default_rng(0).dirichlet(np.ones(3), size=3)
    off = [covariance(transition, t) - t * limit(transition) for t in (32, 64, 128, 256, 512)]
    moved = max(np.abs(later - off[0]).max() for later in off[1:])
    second = np.sort(np.abs(np.linalg.eigvals(transition)))[-2]
    return Outcome(
        float(moved),
        float(100 * second**32 + 512**2 * np.finfo(float).eps),
        "what remains falls like |λ₂|^T, here times at most 100; rounding of 512 terms of at most 512",
    )

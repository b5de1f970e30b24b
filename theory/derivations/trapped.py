r"""Why a model may leave its unigram plateau the wrong way: the match's first gradient, and its limit for long contexts.

At ω = v = 0 the score of source s for a query i rises with ω by z_s[i] = N_i(s)/s, and the softmax family reads σ = softmax(μ N/t).
Per unit of μ and ω, with the residual P_{x_t j} - σ_tj,

    push = (1/T) Σ_t (1/t) E Σ_j (P_{x_t j} - σ_tj) Σ_{s≤t} (1[x_s = j] - N_j/t) N_{x_t}(s)/s.

Where counts do not fluctuate the inner sum is zero: the push is made of covariances. Those of a symbol with the counts before it sum
the chain's memory, Y = Σ_m (P^m - 1π), the deviation matrix (fundamental matrix less 1π), and grow like ln t; those of the frequencies
with the mean score, made of V, the asymptotic covariance of counts, do not, and have the other sign. Hence short contexts trap.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from scipy.optimize import brentq

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.markov.chains import stationary
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet

__all__ = ["asymptotic", "derive", "exact_two_states", "limit_push"]

T, t = sp.symbols("T t", integer=True, positive=True)
mu = sp.Symbol("mu", positive=True)
A, B = sp.symbols("A B", real=True)
pi_i, Y, X, V, residual = sp.symbols("pi_i Y_ij X_ij V_ij D_ij", real=True)

at_position = (A * sp.harmonic(t) - B) / t
"""What position t adds to T × push/μ, up to O(ln t / t²)."""

asymptotic = mu / T * (A * (sp.harmonic(T) ** 2 + sp.harmonic(T, 2)) / 2 - B * sp.harmonic(T))

RULE = 64
"""Chains of the rule over two flat rows."""


def derive() -> Derivation:
    """push → (μ/T) [A (H_T² + H_T⁽²⁾)/2 - B H_T]."""
    n = sp.Symbol("n", integer=True, positive=True)
    return Derivation(
        name="trapped-basin",
        title="Which way the match leaves the unigram plateau",
        statement=sp.Eq(-sp.Derivative(sp.Function("L")(sp.Symbol("omega")), sp.Symbol("omega")), asymptotic),
        symbols={
            sp.Symbol("omega"): "second-layer match, W = ωI + c·11ᵀ, at zero",
            mu: "read-out, U = μI + d·11ᵀ; on the plateau where the loss is least, under Adam small",
            A: "E Σ_i π_i² Σ_j D_ij Y_ij, D = P - softmax(μπ), Y = Σ_{m≥0} (P^m - 1π)",
            B: "E Σ_i π_i Σ_j D_ij (π_i X_ij + V_ij), X = Σ_{m≥1} H_m (P^m - 1π), V the asymptotic covariance of counts per token",
            T: "context, in tokens",
        },
        assumptions=(
            "softmax family, no lag grown (v = 0), ω = 0; prior and initialisation exchangeable, stationary start",
            "chains mix within the context: terms O(1) inside the bracket are dropped",
        ),
        validity=(
            "Up to (μ/T) (const + O(ln T / T)) inside the bracket; the constant matters at contexts of tens, where `onset.theory.laws.basins.escapes` "
            "takes the expectation as it is. A must be positive for escape at long contexts; then ln T of about 2B/A divides trapped from "
            "escaping, an overestimate. With flat or broader rows A and B are dominated by chains that hardly mix and the limit comes late. "
            "Linear family: the same with 1[x_s = j] in place of its deviation from N_j/t."
        ),
        source="derived here",
        references=("edelman2024evolution", "kemeny1960finite"),
        steps=(
            Step(
                "covariance of a source's symbol with the counts before it",
                pi_i * (sp.harmonic(t) * Y - X) / t,
                "(1/t) Σ_s (1/s) Σ_{m<s} π_i (P^m - 1π)_ij: the sum over m < s is Y less its tail, Σ_s (1/s) Σ_{m≥s} is X",
            ),
            Step(
                "covariance of frequencies with the mean score",
                V / t,
                "t⁻² Σ_s (1/s) Cov(N_j(t), N_i(s)) with Cov → s V_ij",
            ),
            Step(
                "their difference against the residual",
                sp.collect(sp.expand(residual * (pi_i * (sp.harmonic(t) * Y - X) - V)), sp.harmonic(t)) / t,
                "averaged with weights π_i over query states: A H_t - B. Fluctuations of σ enter with two others: O(ln t / t²)",
            ),
            Step(
                "sum over positions",
                sp.Eq(
                    sp.Sum(sp.harmonic(n) / n, (n, 1, T)),
                    (sp.harmonic(T) ** 2 + sp.harmonic(T, 2)) / 2,
                    evaluate=False,
                ),
                "every pair of 1 ≤ m, n ≤ T once, the diagonal twice",
            ),
        ),
        checks=[
            Check("sum", "Σ_t (A H_t - B)/t with the statement, exactly, T = 1 … 12", _sum),
        ],
    )


@cache
def limit_push() -> Any:
    """The statement as a function of T, μ, A and B."""
    return sp.lambdify((T, mu, A, B), asymptotic.rewrite(sp.polygamma), "scipy")


def exact_two_states(transition: Array, weights: Array, readout: float, context: int) -> tuple[Array, Array]:
    """Push per unit of μ, and slope of the loss by μ, of the softmax family at every context up to `context`, shapes (T,).

    Exact for chains (n, 2, 2) with weights (n,): the law of (N_1(t), x_t), and the mean there of Σ_{s≤t} 1[x_s = j] N_i(s)/s, are
    carried from position to position.
    """
    law, ones, each = stationary(transition), np.arange(context + 2), np.arange(2)
    chance = np.zeros((len(law), context + 2, 2))
    sums = np.zeros((*chance.shape, 2, 2))
    chance[:, each, each], sums[:, each, each, each, each] = law, law
    pushes, slopes = [], []
    for step in range(1, context + 1):
        shares = np.stack([1 - ones / step, ones / step], axis=1).clip(0, 1)
        model = np.exp(readout * shares)
        residual = transition[:, None] - (model / model.sum(axis=1, keepdims=True))[None, :, None]
        own = sums[:, :, each, each]
        rise = own / step - shares[None, :, None] * own.sum(axis=3, keepdims=True) / step
        pushes.append(weights @ (residual * rise).sum(axis=(1, 2, 3)))
        slopes.append(-weights @ (residual * shares[None, :, None] * chance[..., None]).sum(axis=(1, 2, 3)))
        chance, sums = _onwards(transition, chance, sums, ones / (step + 1))
    span = np.arange(1, context + 1)
    return np.cumsum(pushes) / span, np.cumsum(slopes) / span


def _onwards(transition: Array, chance: Array, sums: Array, share: Array) -> tuple[Array, Array]:
    """One position on: the next symbol moves N_1, and adds its shares to its own sum."""
    moved, carried = np.einsum("nca,nab->ncb", chance, transition), np.einsum("ncaij,nab->ncbij", sums, transition)
    moved[:, 1:, 1], carried[:, 1:, 1] = moved[:, :-1, 1].copy(), carried[:, :-1, 1].copy()
    moved[:, 0, 1], carried[:, 0, 1] = 0.0, 0.0
    for symbol in range(2):
        carried[:, :, symbol, 0, symbol] += moved[:, :, symbol] * (1 - share)
        carried[:, :, symbol, 1, symbol] += moved[:, :, symbol] * share
    return moved, carried


def plateau_two_states(transition: Array, weights: Array, context: int) -> float:
    """μ* of the softmax family with two states, exactly."""
    return float(brentq(lambda at: exact_two_states(transition, weights, at, context)[1][-1], 0.01, 20.0))  # pyright: ignore[reportArgumentType]


def rows(concentration: float) -> tuple[Array, Array]:
    """Chains (n, 2, 2) and weights (n,) for an average over Dirichlet rows of two states."""
    return nodes(Dirichlet(2, concentration), RULE)


def _sum() -> Outcome:
    partial = 0
    differences = []
    for position in range(1, 13):
        partial += at_position.subs(t, position)
        differences.append(partial - asymptotic.subs(T, position) * position / mu)
    return Outcome.identity(*differences)

r"""The softmax family's sources as T → ∞: a product along the chain, and its first orders.

A source holds j; each tracked predecessor that equals the query i raises its score by ω a_r. With D_r = I + (e^{ω a_r}
- 1) e_i e_iᵀ the expected weight of sources that hold j is [π D_{R-1} P ⋯ P D_0]_j, because the factor e^{ω a_r
1[x_{s-r}=i]} at step s - r multiplies component i alone. To first order in ω it is π_j + ω π_i Σ_r a_r (P^r)_ij: the
linear family's source.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.derivations.two_state_chain import a, b, stationary, transition
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.setting import Setting

__all__ = ["derive", "source_law"]

omega = sp.Symbol("omega", real=True)
shares = sp.symbols("a_0 a_1 a_2", positive=True)
h, pi, P, D0, D1 = (sp.Symbol(name, commutative=False) for name in ("h", "pi", "P", "D_0", "D_1"))


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


@derives("softmax-mean-field")
def derive() -> Expressions:
    r"""Expected weight of sources in the softmax family

    Symbols
    -------
    h : expected weight of sources by the symbol they hold, up to a factor common to all symbols; a row
    D_0 : $I + (e^{\omega a_0} - 1) e_i e_i^\top$ for the query $i$: the source itself
    D_1 : the same with $a_1$: the symbol before the source
    a_0 : attention of the source to itself; $a_r$ is that to lag $r$
    a_1 : attention to lag 1
    e_i : unit vector of the query
    a, b, pi, P, omega, W, c, mu, T, r
    R : number of tracked lags

    Assumptions
    -----------
    - stationary chains, $W = \omega I + c\,\mathbf{1}\mathbf{1}^\top$ ($c$ drops out), $R$ lags tracked, here two
    - $T \to \infty$ at fixed $\omega$ and $\mu$: ratios of sums over sources equal ratios of their expectations

    Steps
    -----
    - two states, query 0: multiply out [two_states]
    - first order in $\omega$: differentiate at $\omega = 0$: $\pi_i \sum_r a_r (P^r)_{ij}$ [first_order]

    Validity
    --------
    Exact for the tracked lags. At small $\omega$ the fluctuations of counts that are neglected are as large as the
    signal: averaged over positions that is $\ln^2 T/T$.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(h, pi * D1 * P * D0),
        "two_states": source_law(2, 0),
        "first_order": _slope(2, 0).applyfunc(sp.factor),
    }


def _enumerated(lags: int, query: int) -> list[Any]:
    """Expected weight of sources by the symbol they hold, by the sum over all source tuples."""
    expected = [sp.Integer(0), sp.Integer(0)]
    for x in itertools.product((0, 1), repeat=lags):
        probability = stationary[x[0]] * sp.prod([transition[p, q] for p, q in itertools.pairwise(x)])
        score = sum(shares[r] for r in range(lags) if x[lags - 1 - r] == query)
        expected[x[-1]] += probability * sp.exp(omega * score)
    return expected


@check("product of matrices with the sum over all source tuples, two states, two lags, symbolically")
def _product(statement: Any) -> Identities:
    for query in (0, 1):
        raised = [sp.eye(2), sp.eye(2)]
        for r in range(2):
            raised[r][query, query] = sp.exp(omega * shares[r])
        product = sp.lambdify((pi, D1, P, D0), statement.rhs, "sympy")(stationary, raised[1], transition, raised[0])
        yield from (
            sp.expand(product[j] - expected, power_exp=True) for j, expected in enumerate(_enumerated(2, query))
        )


@check("`source_law` with the sum over all source tuples, two states, two and three lags, symbolically")
def _enumeration(two_states: Any) -> Identities:
    for lags, query, product in ((2, 0, two_states), (3, 0, source_law(3, 0)), (3, 1, source_law(3, 1))):
        sums = enumerate(_enumerated(lags, query))
        yield from (sp.expand(product[j] - expected, power_exp=True) for j, expected in sums)


@check(r"$\partial h/\partial\omega$ at 0 with $\pi_i \sum_r a_r (P^r)_{ij}$, symbolically")
def _first_order(first_order: Any) -> Identities:
    for lags, query, slope in ((2, 0, first_order), (3, 0, _slope(3, 0)), (3, 1, _slope(3, 1))):
        for j in (0, 1):
            expected = stationary[query] * sum(shares[r] * (transition**r)[query, j] for r in range(lags))
            yield slope[j] - expected


@check("product with that of `onset.theory.mean_fields.softmax`, at random weights")
def _library() -> Residual:
    dynamics = SoftmaxMeanField.of(Setting.of("softmax", states=2, context=50), lags=3, count=16)
    weights, match = np.random.default_rng(0).dirichlet(np.ones(4))[:3], 2.7
    # The library's law has the background's factor too, e^{ω π_i (1 - Σ a)}, and is scaled by e^{-ω}.
    untracked = dynamics.query[:, None] * (1 - weights.sum())
    computed = dynamics.source_law((match * weights)[None, None, :, None])[0][0, 0, :, :, 0].T
    computed = computed * np.exp(match * (untracked - 1))
    closed = sp.lambdify((a, b, omega, *shares), source_law(3, 0))
    largest = 0.0
    for chain, law, query in zip(dynamics.transition, computed, dynamics.query, strict=True):
        expected = closed(chain[0, 1], chain[1, 0], match, *weights)[0]
        expected = expected * np.exp(match * (query * (1 - weights.sum()) - 1))
        largest = worst(largest, float(np.abs(law / expected - 1).max()))
    because = "some hundred operations of relative rounding error 1e-16 on positive numbers, times ten"
    return Residual(largest, 1e-13, because)

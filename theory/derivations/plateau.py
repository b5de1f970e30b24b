r"""The unigram plateau of the linear family: a convex fixed point, above the ideal unigram loss.

With no lag grown f = u π_j (C + Ω π_i): linear in (C, Ω), so that the loss is convex and its Hessian the covariance of
∂f under the model. At the minimum both components of E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j vanish.
`onset.theory.laws.plateau` solves for it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Identities, Residual, check
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.mean_fields import linear

__all__ = ["derive", "flat"]

flat = linear.logit().subs(linear.excess, 0)
"""The logit on the plateau."""

_slopes: Any = sp.Matrix([sp.diff(flat, linear.C), sp.diff(flat, linear.Omega)])

i, j, k = (sp.Symbol(name, integer=True, nonnegative=True) for name in "ijk")
arrays: Any = [sp.IndexedBase(name) for name in ("pi", "P")]  # sympy's types know no index
pi, P = arrays
sigma, mean = (sp.Function(name) for name in ("sigma", "E"))


@derives("plateau")
def derive() -> Expressions:
    r"""The unigram plateau of the linear family

    Symbols
    -------
    E(f_j) : expectation over the prior
    u
    P[i, j] : transition probability from the query $i$ to $j$
    pi[i] : stationary probability of state $i$
    sigma(i, j, u) : the model, softmax over $j$ of $u \pi_j (C + \Omega \pi_i)$
    f_j : logit of symbol $j$
    pi_i : stationary probability of the query
    pi_j : stationary probability of symbol $j$
    C, Omega, k, T
    X : what lags add to the background

    Assumptions
    -----------
    - mean field, $T \to \infty$; no lag has grown
    - exchangeable prior whose stationary laws differ

    Steps
    -----
    - logits: no lag has grown: $X = 0$ [logits]
    - slopes: linear in $(C, \Omega)$, so that second derivatives of $f_j$ vanish [slopes]

    Validity
    --------
    Shifted by a relative $O(\ln T/T)$ at finite $T$. Doubly stochastic matrices leave $(C, \Omega)$ free: no plateau.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(sp.Matrix([_averaged(slope) for slope in _slopes]), sp.zeros(2, 1)),
        "logits": equation("f_j", flat),
        "slopes": _slopes,
    }


def _averaged(slope: sp.Expr) -> sp.Expr:
    """E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) times a slope of f_j."""
    residual = pi[i] * (P[i, j] - sigma(i, j, linear.u)) * slope.subs({linear.pi_i: pi[i], linear.pi_j: pi[j]})
    return mean(sp.Integral(sp.Sum(residual, (j, 0, k - 1), (i, 0, k - 1)), (linear.u, 0, 1)))


@check(r"slopes with derivatives of $f_j$ by $(C, \Omega)$, and second derivatives with zero, symbolically")
def _linear(logits: Any, slopes: Any) -> Identities:
    match = linear.C, linear.Omega
    yield from (sp.diff(logits.rhs, by) - slope for by, slope in zip(match, slopes, strict=True))
    yield from (sp.diff(logits.rhs, *pair) for pair in itertools.combinations_with_replacement(match, 2))


@check("$f_j$ with that of the mean field, `onset.theory.mean_fields.linear.logit_and_slopes`, at random numbers")
def _library(logits: Any) -> Residual:
    u, scale, match, query, law = np.random.default_rng(0).uniform(0.1, 2, size=(5, 100))
    closed = sp.lambdify((linear.u, linear.C, linear.Omega, linear.pi_i, linear.pi_j), logits.rhs)
    by_library = linear.logit_and_slopes(u, scale, match, query, law, 0.0)[0]  # pyright: ignore[reportArgumentType]
    largest = float(np.abs(closed(u, scale, match, query, law) - by_library).max())
    return Residual(largest, 1e-14, "half a dozen roundings of 2e-16 of numbers below 20")

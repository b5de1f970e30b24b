r"""The unigram plateau of the linear family: a convex fixed point, above the ideal unigram loss.

With no lag grown f = u π_j (C + Ω π_i): linear in (C, Ω), so that the loss is convex and its Hessian the covariance of
∂f under the model. At the minimum both components of E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j vanish.
`onset.theory.laws.plateau` solves for it.
"""

from __future__ import annotations

import sympy as sp

from onset.theory.derivations.derivation import Identities, check
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.mean_fields import linear

__all__ = ["derive", "flat"]

flat = linear.logit().subs(linear.excess, 0)
"""The logit on the plateau."""


@derives("plateau")
def derive() -> Expressions:
    r"""The unigram plateau of the linear family

    Symbols
    -------
    E(P_ij) : expectation over the prior
    u
    pi_i : stationary probability of the query; the second equation has it squared
    pi_j : stationary probability of symbol $j$
    P_ij : transition probability from the query $i$ to $j$
    sigma_j : the model, softmax over $j$ of $u \pi_j (C + \Omega \pi_i)$
    f_j : logit of symbol $j$
    C, Omega, k, T
    X : what lags add to the background

    Assumptions
    -----------
    - mean field, $T \to \infty$; no lag has grown
    - exchangeable prior whose stationary laws differ

    Steps
    -----
    - logits: no lag has grown: $X = 0$ [stationary]
    - slopes: linear in $(C, \Omega)$, so that second derivatives of $f_j$ vanish [linear]

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
    P, sigma = sp.symbols("P_ij sigma_j")
    k = sp.Symbol("k", integer=True)
    slopes = sp.Matrix([sp.diff(flat, linear.C), sp.diff(flat, linear.Omega)])
    inner = sp.Sum(linear.pi_i * (P - sigma) * slopes[0], (sp.Symbol("j"), 1, k), (sp.Symbol("i"), 1, k))
    return (
        equation(sp.Function("E")(sp.Integral(inner, (linear.u, 0, 1))), 0),
        equation("f_j", flat),
        slopes,
    )


@check(r"second derivatives of $f_j$ by $(C, \Omega)$ with zero, symbolically")
def _linear() -> Identities:
    pairs = [(linear.C, linear.C), (linear.C, linear.Omega), (linear.Omega, linear.Omega)]
    return (sp.diff(flat, *pair) for pair in pairs)

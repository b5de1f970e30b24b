r"""The unigram plateau of the linear family: a convex fixed point, above the ideal unigram loss.

With no lag grown f = u π_j (C + Ω π_i): linear in (C, Ω), so that the loss is convex and its Hessian the covariance of
∂f under the model. At the minimum both components of E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j vanish.
`onset.theory.laws.plateau` solves for it.
"""

from __future__ import annotations

import sympy as sp

from onset.theory.derivations.derivation import Derivation, Residual, Step, check
from onset.theory.derivations.notation import meanings
from onset.theory.mean_fields import linear

__all__ = ["derive", "flat"]

flat = linear.logit().subs(linear.excess, 0)
"""The logit on the plateau."""


def derive() -> Derivation:
    """E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j/∂(C, Ω) = 0."""
    P, sigma = sp.symbols("P_ij sigma_j")
    k = sp.Symbol("k", integer=True)
    slopes = sp.Matrix([sp.diff(flat, linear.C), sp.diff(flat, linear.Omega)])
    inner = sp.Sum(linear.pi_i * (P - sigma) * slopes[0], (sp.Symbol("j"), 1, k), (sp.Symbol("i"), 1, k))
    return Derivation(
        name="plateau",
        title="The unigram plateau of the linear family",
        statement=sp.Eq(sp.Function("E")(sp.Integral(inner, (linear.u, 0, 1))), 0, evaluate=False),
        symbols={
            sp.Function("E")(P): "expectation over the prior",
            linear.u: "position over context",
            linear.pi_i: "stationary probability of the query; the second equation has it squared",
            linear.pi_j: "stationary probability of symbol $j$",
            P: "transition probability from the query $i$ to $j$",
            sigma: r"the model, softmax over $j$ of $u \pi_j (C + \Omega \pi_i)$",
            sp.Symbol("f_j"): "logit of symbol $j$",
            **meanings(linear.C, linear.Omega, k, "T"),
            linear.excess: "what lags add to the background",
        },
        assumptions=(
            r"mean field, $T \to \infty$; no lag has grown",
            "exchangeable prior whose stationary laws differ",
        ),
        validity=(
            r"Shifted by a relative $O(\ln T/T)$ at finite $T$. Doubly stochastic matrices leave $(C, \Omega)$ free: "
            "no plateau."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step("logits", sp.Eq(sp.Symbol("f_j"), flat, evaluate=False), "no lag has grown: $X = 0$", ("stationary",)),
            Step(
                "slopes",
                sp.ImmutableMatrix(slopes),
                r"linear in $(C, \Omega)$, so that second derivatives of $f_j$ vanish",
                ("linear",),
            ),
        ),
        checks=[_linear],
    )


@check(r"second derivatives of $f_j$ by $(C, \Omega)$ with zero, symbolically")
def _linear() -> Residual:
    pairs = [(linear.C, linear.C), (linear.C, linear.Omega), (linear.Omega, linear.Omega)]
    return Residual.of_identities(*(sp.diff(flat, *pair) for pair in pairs))

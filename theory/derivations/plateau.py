r"""The unigram plateau of the linear family: a convex fixed point, above the ideal unigram loss, reached at the Hessian's rates.

With no lag grown f = u π_j (C + Ω π_i): linear in (C, Ω), so that the loss is convex and its Hessian the covariance of
∂f under the model. At the minimum both components of E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j vanish. `onset.theory.laws.plateau` solves them.
"""

from __future__ import annotations

import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.mean_fields import linear

__all__ = ["derive", "flat"]

flat = linear.logit().subs(linear.excess, 0)
"""The logit on the plateau."""


def derive() -> Derivation:
    """E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j/∂(C, Ω) = 0."""
    P, sigma = sp.Symbol("P_ij"), sp.Symbol("sigma_j")
    k = sp.Symbol("k", integer=True)
    drift = sp.Matrix([sp.diff(flat, linear.C), sp.diff(flat, linear.Omega)])
    inner = sp.Sum(linear.pi_i * (P - sigma) * drift[0], (sp.Symbol("j"), 1, k), (sp.Symbol("i"), 1, k))
    mean = sp.Function("E")
    return Derivation(
        name="plateau",
        title="The unigram plateau of the linear family",
        statement=sp.Eq(mean(sp.Integral(inner, (linear.u, 0, 1))), 0, evaluate=False),
        symbols={
            linear.u: "position t/T",
            linear.pi_i: "stationary probability of the query; the second equation has it squared",
            linear.pi_j: "stationary probability of symbol j",
            P: "transition probability from the query to j",
            sigma: "the model, softmax over j of u π_j (C + Ω π_i)",
            k: "number of states",
        },
        assumptions=("mean field, T → ∞; no lag has grown", "exchangeable prior whose stationary laws differ"),
        validity="Shifted by a relative O(ln T/T) at finite T. Doubly stochastic matrices leave (C, Ω) free: no plateau.",
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step("logits", sp.Eq(sp.Symbol("f_j"), flat, evaluate=False), "no lag has grown: X = 0"),
            Step(
                "slopes",
                sp.ImmutableMatrix(drift),
                "linear in (C, Ω), so that second derivatives of f vanish",
                checks=("linear",),
            ),
        ),
        checks=[
            Check("linear", "second derivatives of f by (C, Ω) with zero, symbolically", _linear),
        ],
    )


def _linear() -> Outcome:
    pairs = [(linear.C, linear.C), (linear.C, linear.Omega), (linear.Omega, linear.Omega)]
    return Outcome.identity(*(sp.diff(flat, *pair) for pair in pairs))

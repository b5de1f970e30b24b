r"""The unigram plateau of the linear family: a convex fixed point, above the ideal unigram loss, reached at the Hessian's rates.

With no lag grown f = u π_j (C + Ω π_i): linear in (C, Ω), so that the loss is convex and its Hessian the covariance of
∂f under the model. At the minimum both components of E Σ_i π_i ∫ du Σ_j (P_ij - σ_j) ∂f_j vanish. `theory.laws.plateau` solves them.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from theory.derivations.derivation import Check, Derivation, Outcome, Step
from theory.mean_fields import linear

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
            Check("stationary", "gradient of the mean field at (C*, Ω*), T = 4⁴ … 4⁷: falls like ln T/T", _stationary),
            Check("hessian", "theory.laws.plateau's Hessian with differences of the mean field's gradient", _hessian),
            Check("above-unigram", "height less the ideal unigram loss, k = 2 … 8: positive", _above),
            Check("approach", "slowest rate of gradient flow to the plateau with the Hessian's eigenvalue", _approach),
        ],
    )


def _linear() -> Outcome:
    pairs = [(linear.C, linear.C), (linear.C, linear.Omega), (linear.Omega, linear.Omega)]
    return Outcome.identity(*(sp.diff(flat, *pair) for pair in pairs))


def _gradient(context: int, match: np.ndarray) -> np.ndarray:
    """∂L/∂(C, Ω) of the mean field at `match`, no lag grown, on the chains that theory.laws.escape's tables use."""
    from theory.laws.escape import Reduced
    from theory.mean_fields.limit import LAGS
    from theory.priors import Dirichlet

    return Reduced(Dirichlet(2), context).gradient(match, np.zeros(LAGS))[:2]


def _found() -> tuple[np.ndarray, np.ndarray]:
    from theory.laws.escape import NODES
    from theory.laws.plateau import plateau
    from theory.priors import Dirichlet

    found = plateau(Dirichlet(2), NODES)
    return found.match, found.hessian


def _stationary() -> Outcome:
    contexts = 4 ** np.arange(4, 8)
    sizes = [np.abs(_gradient(int(t), _found()[0])).max() for t in contexts]
    slope = np.polyfit(np.log(np.log(contexts) / contexts), np.log(sizes), 1)[0]
    return Outcome(
        float(abs(slope - 1)), 1 / np.log(contexts[0]), "a constant beside ln T shifts the slope by about 1/ln T"
    )


def _hessian() -> Outcome:
    match, hessian = _found()
    context, h = 4**8, 1e-3
    columns = [(_gradient(context, match + s) - _gradient(context, match - s)) / (2 * h) for s in h * np.eye(2)]
    residual = np.abs(np.array(columns) - hessian).max() / np.abs(hessian).max()
    return Outcome(float(residual), 10 * np.log(context) / context, "finite T: 10 times a relative ln T/T = 2e-4")


def _above() -> Outcome:
    from theory.laws.plateau import plateau
    from theory.priors import Dirichlet

    lowest = min(plateau(Dirichlet(k)).excess for k in (2, 3, 4, 8))
    return Outcome(float(-lowest), 0.0, "the ideal loss is a minimum over all functions of the counts")


def _approach() -> Outcome:
    """Integrate θ' = -∇L at finite T from a match displaced along the slow direction, and compare its decay over one time constant."""
    from scipy.integrate import solve_ivp

    context = 4**6
    centre, columns = _found()[0], []
    for _ in range(8):
        columns = [(_gradient(context, centre + s) - _gradient(context, centre - s)) / 2e-3 for s in 1e-3 * np.eye(2)]
        centre = centre - np.linalg.solve(np.array(columns), _gradient(context, centre))
    rates, directions = np.linalg.eigh(np.array(columns))
    size = 0.01
    start = centre + size * directions[:, 0]
    ran = solve_ivp(lambda _, m: -_gradient(context, m), (0, 1 / rates[0]), start, rtol=1e-8, atol=1e-10)
    left = directions[:, 0] @ (ran.y[:, -1] - centre) / size
    return Outcome(
        float(abs(left * np.e - 1)), size, "third derivatives of the loss, of relative order the displacement, 0.01"
    )

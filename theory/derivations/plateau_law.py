r"""The plateau law of the linear family under SGD: from the mean field to a number of steps.

Lag 1 grows as dv/dstep = η (E/T) h(E; θ) with E = e^v, while the match θ = (C, Ω) relaxes to the minimum θ*(E) of the loss,
dθ/dstep = -K (θ - θ*), K = M H. With θ* moving slowly,

    θ = θ* - K⁻¹ dθ*/dstep + …,        1/h(θ) = (1/h)(1 + (∂ ln h/∂θ) K⁻¹ dθ*/dstep + …),

so that the time to E is the slow time, T/η ∫ dE/(E² h), plus a delay that no longer contains h: ∫ (∂ ln h/∂θ) K⁻¹ dθ*.
The start's distance from the plateau enters in the same way. At small q = E/T, h = A (ln(T/E) + B), and the slow time
is a logarithmic integral.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step

__all__ = ["T", "derive", "doubt", "leading", "planar_bend", "planar_drive", "resummed", "steps_and_doubt"]

T, eta, E, A = sp.symbols("T eta E A", positive=True)
B = sp.symbols("B", real=True)
slow, delay = sp.symbols("t_slow t_delay", positive=True)
bend = sp.Symbol("t_bend", real=True)
steps = sp.symbols("t", positive=True)

drive = A * (sp.log(T / E) + B)
"""h on the frozen plateau, at E ≪ T."""

leading = sp.exp(-B) / (eta * A) * (sp.li(T * sp.exp(B)) - sp.li(T * sp.exp(B) / E))
"""The slow time to E on the frozen plateau."""

resummed = slow + slow * delay / (slow + delay)
doubt = delay**2 / (slow + delay) / 2 + sp.Abs(bend) / 2
"""Half of what resummation takes off slow + delay, and half of what the second order of the start's distance adds to its delay."""


X_C, X_Omega = sp.symbols("X_C X_Omega", real=True)
h, C, Omega, C_star, Omega_star, h_C, h_Omega = sp.symbols("h C Omega C_* Omega_* h_C h_Omega", real=True)
planar = Omega / Omega_star * (h + h_C * (C - C_star) + (h_Omega - h / Omega_star) * (Omega - Omega_star))
"""Drive of lag 1 off the slow manifold, with h and its slopes by C and Ω there: no match, no drive."""


@cache
def planar_drive() -> Any:
    """`planar` of h, C*, Ω*, h_C, h_Ω, C and Ω."""
    return sp.lambdify((h, C_star, Omega_star, h_C, h_Omega, C, Omega), planar, "math")


@cache
def planar_bend() -> Any:
    """Q: second derivatives of `planar` by (C, Ω), a 2 × 2 list of functions' values, of h, Ω*, h_C and h_Ω."""
    second = sp.hessian(planar, (C, Omega)).applyfunc(sp.simplify)
    return sp.lambdify((h, Omega_star, h_C, h_Omega), second.tolist(), "math")


@cache
def steps_and_doubt() -> Any:
    """(t, half-width of its interval) of the slow time, the delay and the second order of the start's part of it, on arrays."""
    return sp.lambdify((slow, delay, bend), (resummed, doubt), "numpy")


def derive() -> Derivation:
    """t = t_slow + t_delay/(1 + t_delay/t_slow)."""
    order = sp.symbols("epsilon", positive=True)
    return Derivation(
        name="plateau-law",
        title="Steps that the linear family waits on its unigram plateau (SGD)",
        statement=sp.Eq(steps, resummed),
        symbols={
            steps: "steps until lag 1 has weight E, that is v_1 = ln E",
            slow: "slow time, T/η ∫ dE/(E² h), with the match on its slow manifold; steps",
            delay: "delay, (∂ ln h/∂θ) (M H)^{-1} (θ* - θ) summed over the start and every shift of θ*; steps",
        },
        assumptions=(
            "mean field: T → ∞ at fixed q = E/T, early sources summed one by one",
            "exchangeable prior with a unique plateau (C*, Ω*) that drives lag 1 upwards, A > 0",
            "SGD as gradient flow; the rates enter through η and the mobility M alone",
        ),
        validity=(
            "To second order in t_delay/t_slow; where that exceeds 0.7, `onset.theory.laws.planar` integrates match and lag 1 together. The start must lie where the loss is about "
            "cubic in θ. The other lags follow lag 1 by their ratio of drives."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step(
                "frozen plateau",
                sp.Eq(sp.Symbol("h"), drive, evaluate=False),
                "expand ln(1 + u/q) - u/(q + u) at small q and average: A and B are its moments",
            ),
            Step(
                "logarithmic integral",
                sp.Eq(slow, leading, evaluate=False),
                "substitute y = T/E in T/η ∫₁^E dE'/(E'² h); T/(η A ln T) for large T",
            ),
            Step(
                "moving match",
                sp.series(1 / (1 - order * sp.Symbol("kappa")), order, 0, 2),
                "κ = (∂ ln h/∂θ) K^{-1} dθ*/dstep: to first order in the ratio ε of the time scales dt = dt_slow + κ dt_slow",
            ),
            Step(
                "resummation",
                sp.series(resummed.subs(delay, order * slow), order, 0, 3),
                "the [1/1] Padé approximant: agrees with the first order, and stays below twice the slow time",
            ),
            Step(
                "start",
                -(h_C * X_C + h_Omega * X_Omega) / h,
                "K⁻¹(θ* - θ) and, to second order in δ = θ - θ*, -(1/h)(½ Q - ½ ∂h K⁻¹ M B):X with K X + X Kᵀ = δ δᵀ, B the loss's third derivatives "
                "and Q the second of h off the manifold; printed: the first order, X = K⁻¹ δ",
            ),
            Step(
                "planar",
                planar,
                "where the match moves as slowly as lag 1 grows both are followed: h to first order around the manifold, with its factor Ω, and θ with the "
                "loss to third order (`onset.theory.laws.planar`)",
            ),
        ),
        checks=[
            Check(
                "planar",
                "the drive off the manifold: its value and slopes there, and its zero at Ω = 0, symbolically",
                _planar,
            ),
            Check("antiderivative", "d/dE of the logarithmic integral with T/(η E² h), symbolically", _antiderivative),
            Check(
                "first-order",
                "delay with the second-order expansion of a solved linear model, symbolically",
                _first_order,
            ),
            Check(
                "second-order",
                "what a start's distance adds in second order, one mode solved exactly, symbolically",
                _second_order,
            ),
        ],
    )


def _antiderivative() -> Outcome:
    slope = sp.expand_log(sp.diff(leading, E), force=True)
    return Outcome.identity(slope - T / (eta * E**2 * sp.expand_log(drive, force=True)))


def _planar() -> Outcome:
    there = {C: C_star, Omega: Omega_star}
    slopes = (sp.diff(planar, C).subs(there) - h_C, sp.diff(planar, Omega).subs(there) - h_Omega)
    return Outcome.identity(planar.subs(there) - h, *slopes, planar.subs(Omega, 0))


def _first_order() -> Outcome:
    """θ' = -K (θ - c v), v' = f θ/θ*: after the transient the exact θ is c v - c v'/K, so that dt = dv/f + dθ*/(K θ*)."""
    K, c, f, v, rate = sp.symbols("K c f v rate", positive=True)
    behind = c * v - c * rate / K
    exact = sp.series(1 / (f * behind / (c * v)), rate, 0, 2).removeO()
    predicted = 1 / f + sp.diff(c * v, v) / (K * c * v) * rate / f
    return Outcome.identity(exact - predicted)


def _second_order() -> Outcome:
    """One mode x' = -κ x - β x²/2, h = h* + p x + q x²/2: ∫ (1 - h/h*) dt to second order in x₀, by its exact solution."""
    kappa, beta, p, q, first = sp.symbols("kappa beta p q x_0", positive=True)
    t = sp.Symbol("t", positive=True)
    leading_part = first * sp.exp(-kappa * t)
    second_part = beta * first**2 / (2 * kappa) * (sp.exp(-2 * kappa * t) - sp.exp(-kappa * t))
    residual = sp.diff(second_part, t) + kappa * second_part + beta * leading_part**2 / 2
    lost = sp.integrate(p * (leading_part + second_part) + q * leading_part**2 / 2, (t, 0, sp.oo))
    spread = first**2 / (2 * kappa)  # of κX + Xκ = x₀²
    claimed = p * first / kappa + (q - p * beta / kappa) * spread / 2
    return Outcome.identity(residual, sp.expand(lost - claimed))

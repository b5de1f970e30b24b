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

import numpy as np
import sympy as sp

from theory.derivations.derivation import Check, Derivation, Outcome, Step

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
            "To second order in t_delay/t_slow; where that exceeds 0.7, `theory.laws.planar` integrates match and lag 1 together. The start must lie where the loss is about "
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
                "loss to third order (`theory.laws.planar`)",
            ),
        ),
        checks=[
            Check(
                "planar",
                "the drive off the manifold: its value and slopes there, and its zero at Ω = 0, symbolically",
                _planar,
            ),
            Check(
                "match-limited",
                "the planar law with the integrated mean field, k = 3 and 8, T = 100, rates of the match from 6 to 100/T²",
                _match_limited,
            ),
            Check("antiderivative", "d/dE of the logarithmic integral with T/(η E² h), symbolically", _antiderivative),
            Check(
                "first-order",
                "delay with the second-order expansion of a solved linear model, symbolically",
                _first_order,
            ),
            Check("plateau-constants", "A from the growth of h with ln T with its integral over the prior", _constants),
            Check(
                "frozen-limit",
                "the law's slow time with the logarithmic integral, T = 2^10 … 2^18: falls like ln T³/T",
                _frozen,
            ),
            Check(
                "start",
                "the start's delay to second order with the relaxation integrated, k = 2 and 3, T = 128 and 1024, C_0 = 1",
                _start,
            ),
            Check(
                "second-order",
                "what a start's distance adds in second order, one mode solved exactly, symbolically",
                _second_order,
            ),
            Check("mean-field", "law with the integrated mean field, k = 2, T = 200 … 1600", _mean_field),
        ],
    )


def _antiderivative() -> Outcome:
    slope = sp.expand_log(sp.diff(leading, E), force=True)
    return Outcome.identity(slope - T / (eta * E**2 * sp.expand_log(drive, force=True)))


def _planar() -> Outcome:
    there = {C: C_star, Omega: Omega_star}
    slopes = (sp.diff(planar, C).subs(there) - h_C, sp.diff(planar, Omega).subs(there) - h_Omega)
    return Outcome.identity(planar.subs(there) - h, *slopes, planar.subs(Omega, 0))


def _match_limited() -> Outcome:
    """The largest error in units of twice the law's own interval."""
    from theory.flow import flow
    from theory.laws.plateau_law import law
    from theory.mean_fields.linear import LinearMeanField
    from theory.setting import Setting

    worst, rtol = 0.0, 1e-4
    for states, rate in ((8, 1e-2), (3, 2.5e-3), (3, 6e-4)):
        setting = Setting.of("linear", states=states, context=100, learning_rate={"match": rate}, steps=10000)
        field = LinearMeanField(setting, count=128, generator=np.random.default_rng(0))
        integrated, predicted = flow(field, setting, rtol=rtol).transitions()[1].step, law(setting).transitions()[1]
        if integrated is None or predicted.step is None or predicted.low is None:
            return Outcome(np.nan, 1.0, "both must find the head forming")
        allowed = 2 * (predicted.step - predicted.low) + 100 * rtol * predicted.step
        worst = max(worst, abs(predicted.step - integrated) / allowed)
    return Outcome(
        worst, 1.0, "twice the law's own interval, and the solver's relative error 1e-4 for each of about 100 steps"
    )


def _first_order() -> Outcome:
    """θ' = -K (θ - c v), v' = f θ/θ*: after the transient the exact θ is c v - c v'/K, so that dt = dv/f + dθ*/(K θ*)."""
    K, c, f, v, rate = sp.symbols("K c f v rate", positive=True)
    behind = c * v - c * rate / K
    exact = sp.series(1 / (f * behind / (c * v)), rate, 0, 2).removeO()
    predicted = 1 / f + sp.diff(c * v, v) / (K * c * v) * rate / f
    return Outcome.identity(exact - predicted)


def _constants() -> Outcome:
    from theory.laws.escape import NODES, manifold
    from theory.laws.plateau import plateau
    from theory.priors import Dirichlet

    prior, contexts = Dirichlet(2), (2**18, 2**20)
    first, last = (manifold(prior, t).force[0] for t in contexts)
    found = (last - first) / np.log(contexts[1] / contexts[0])
    residual = abs(found / plateau(prior, NODES).drives[1] - 1)
    size = float(np.log(contexts[0]) ** 2 / contexts[0])
    return Outcome(
        float(residual),
        10 * size,
        f"finite T shifts the plateau by a relative O(ln T²/T) = {size:.1g}, allowed 10 times",
    )


def _frozen() -> Outcome:
    from theory.laws.plateau import plateau
    from theory.laws.plateau_law import path
    from theory.priors import Dirichlet
    from theory.setting import Setting

    prior, contexts, level = Dirichlet(2), 2 ** np.arange(10, 20, 2), 0.1
    strength, offset = float(plateau(prior).drives[1]), plateau(prior).offset
    closed = sp.lambdify((T, eta, A, B, E), leading, "mpmath")
    errors = []
    for t in contexts:
        found = path(Setting.of("linear", prior=prior, context=int(t)))
        end = level * t / (1 - level)
        slow_time = np.interp(np.log(end), found.log_e, found.slow)
        errors.append(abs(float(closed(int(t), 1.0, strength, offset, end)) / slow_time - 1))
    slope = np.polyfit(np.log(contexts), np.log(errors) - 3 * np.log(np.log(contexts)), 1)[0]
    return Outcome(
        float(abs(slope + 1)), 0.2, "slope -1 of error/ln T³ against T; the next logarithm changes it by 3/ln T = 0.2"
    )


def _start() -> Outcome:
    """The error of the start's delay over half of its second order, which is the law's own doubt of it."""
    from theory.laws.plateau_law import relaxation_delay, start_delay
    from theory.setting import Setting

    worst = 0.0
    for states, t in ((2, 128), (2, 1024), (3, 128), (3, 1024)):
        setting = Setting.of("linear", states=states, context=t, initialization={"match": 1 / t})
        first, second, _ = start_delay(setting)
        worst = max(worst, abs(first + second - relaxation_delay(setting)) / abs(second / 2))
    return Outcome(worst, 2.0, "twice half of the second order: 95%, the half being one deviation")


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


def _mean_field() -> Outcome:
    """The largest error in units of what the law neglects: its own doubt, and one step of the solver's error."""
    from theory.flow import flow
    from theory.laws.plateau_law import law
    from theory.mean_fields.linear import LinearMeanField
    from theory.setting import Setting

    worst, rtol = 0.0, 1e-4
    for t in (200, 400, 1600):
        setting = Setting.of("linear", states=2, context=t, initialization={"match": 1 / t})
        integrated = flow(LinearMeanField(setting), setting, rtol=rtol).transitions()[1].step
        predicted = law(setting).transitions()[1]
        if integrated is None or predicted.step is None or predicted.low is None:
            return Outcome(np.nan, 1.0, "both must find the head forming")
        allowed = 2 * (predicted.step - predicted.low) + 100 * rtol * predicted.step
        worst = max(worst, abs(predicted.step - integrated) / allowed)
    return Outcome(
        worst, 1.0, "twice the law's own interval, and the solver's relative error 1e-4 for each of about 100 steps"
    )

r"""The plateau law of the linear family under SGD: from the mean field to a number of steps.

Lag 1 grows as dv/dstep = η (E/T) h(E; θ) with E = e^v, while the match θ = (C, Ω) relaxes to the minimum θ*(E) of the
loss, dθ/dstep = -K (θ - θ*), K = M H. With θ* moving slowly,

    θ = θ* - K⁻¹ dθ*/dstep + …,        1/h(θ) = (1/h)(1 + (∂ ln h/∂θ) K⁻¹ dθ*/dstep + …),

so that the time to E is the slow time, T/η ∫ dE/(E² h), plus a delay, ∫ (∂ ln h/∂θ) K⁻¹ dθ*. The start's distance from
the plateau enters in the same way. At small q = E/T, h = A (ln(T/E) + B), and the slow time is a logarithmic integral.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from onset.theory.derivations.derivation import Identities, check, numerical
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = [
    "T",
    "by_slow",
    "delay_by_shift",
    "derive",
    "leading",
    "mobility",
    "mobility_at",
    "neglected",
    "planar_bend",
    "planar_drive",
    "resummed",
    "steps_and_neglected",
]

T, eta, E, A = sp.symbols("T eta E A", positive=True)
B = sp.symbols("B", real=True)
k, eta_W = sp.symbols("k eta_W", positive=True)
slow = sp.Symbol("t_slow", positive=True)
delay = sp.Symbol("t_delay", real=True)
steps, epsilon, kappa = sp.symbols("t epsilon kappa", positive=True)

drive = A * (sp.log(T / E) + B)
"""h on the frozen plateau, at E ≪ T."""

leading = sp.exp(-B) / (eta * A) * (sp.li(T * sp.exp(B)) - sp.li(T * sp.exp(B) / E))
"""The slow time to E on the frozen plateau."""

resummed = slow + slow * delay / (slow + sp.Abs(delay))
"""Slow time and delay, resummed: to first order their sum, above zero and below twice the slow time."""

neglected = delay**2 / (slow + sp.Abs(delay))
"""What resummation takes off the first order: the size of the second."""

h, C, Omega, C_star, Omega_star, h_C, h_Omega = sp.symbols("h C Omega C_* Omega_* h_C h_Omega", real=True)
H_CC, H_CO, H_OO, dC, dOmega = sp.symbols("H_CC H_COmega H_OmegaOmega dC_* dOmega_*", real=True)

mobility = eta_W * T**2 / (k * (k - 1)) * sp.Matrix([[1, -1], [-1, k]])
"""M in d(C, Ω)/dstep = -M ∂L/∂(C, Ω): k entries of W hold C + Ω and k(k - 1) hold C, all at the rate η_W."""

mobility_at = numerical((k, T, eta_W), mobility.tolist(), "math")
"""`mobility` as nested lists, as a function of k, T and η_W."""

_relaxation = mobility * sp.Matrix([[H_CC, H_CO], [H_CO, H_OO]])
shifted = sp.simplify((sp.Matrix([[h_C, h_Omega]]) * _relaxation.inv() * sp.Matrix([dC, dOmega]))[0] / h)
"""(∂ ln h/∂θ) (M H)⁻¹ dθ*: steps by which a shift of the target delays lag 1, to first order."""

delay_by_shift = numerical((h, h_C, h_Omega, H_CC, H_CO, H_OO, k, T, eta_W, dC, dOmega), shifted)
"""`shifted` as a function of h, its slopes, the Hessian, k, T, η_W and the shift (dC*, dΩ*)."""

planar = Omega / Omega_star * (h + h_C * (C - C_star) + (h_Omega - h / Omega_star) * (Omega - Omega_star))
"""Drive of lag 1 off the slow manifold, with h and its slopes by C and Ω there: no match, no drive."""

planar_drive = numerical((h, C_star, Omega_star, h_C, h_Omega, C, Omega), planar, "math")
"""`planar` as a function of h, C*, Ω*, h_C, h_Ω, C and Ω."""

_second = sp.hessian(planar, (C, Omega)).applyfunc(sp.simplify)
planar_bend = numerical((h, Omega_star, h_C, h_Omega), _second.tolist(), "math")
"""Second derivatives Q of `planar` by (C, Ω), 2 × 2, as a function of h, Ω*, h_C and h_Ω."""

steps_and_neglected = numerical((slow, delay), (resummed, neglected))
"""(t, size of the neglected second order) from the slow time and the delay."""

by_slow = numerical((slow, delay), slow * sp.simplify(sp.diff(resummed, slow)))
"""t_slow ∂t/∂t_slow; with t_delay ∂t/∂t_delay it adds up to t."""


@derives("plateau-law")
def derive() -> Expressions:
    r"""Steps that the linear family waits on its unigram plateau (SGD)

    Symbols
    -------
    t : steps until lag 1 has weight $E$, that is $v_1 = \ln E$
    t_slow : slow time, $T/\eta \int dE/(E^2 h)$, with the match on its slow manifold; steps
    t_delay : delay, $(\partial \ln h/\partial\theta) K^{-1} d\theta_*$ of the start and of shifts of $\theta_*$; steps
    E : weight $e^{v_1}$ of lag 1
    v_1 : lag logit of lag 1
    h : drive of lag 1 on the slow manifold, nats per token
    A : drive per unit of the logarithm, nats per token
    B : constant beside the logarithm
    theta : $(C, \Omega)$; $\theta_*$ minimises the loss at the present $E$
    C_* : $C$ on the slow manifold
    Omega_* : $\Omega$ on the slow manifold
    dC_* : shift of $C_*$; of the start, $C_* - C$
    dOmega_* : shift of $\Omega_*$ likewise
    h_C : slope of the drive by $C$ there
    h_Omega : slope of the drive by $\Omega$ there
    W : the match's matrix, $(C + \Omega)/T$ on the diagonal and $C/T$ off it
    eta_W : learning rate of $W$
    M : mobility, rates of $C$ and $\Omega$
    H : second derivatives of the loss
    H_CC : its entry by $C$ twice
    H_COmega : its entry by $C$ and $\Omega$
    H_OmegaOmega : its entry by $\Omega$ twice
    K : $M H$, rates of relaxation
    X : solves $K X + X K^\top = \delta \delta^\top$
    delta : distance of the start, $\theta - \theta_*$
    delta t : what resummation takes off the first order, steps
    kappa : $(\partial \ln h/\partial\theta) K^{-1} d\theta_*/dt$
    epsilon : ratio of the two time scales
    Q : second derivatives of the drive off the manifold
    D : third derivatives of the loss
    q : $E/T$
    C, Omega, T, eta, k, u

    Assumptions
    -----------
    - mean field: $T \to \infty$ at fixed $q$, early sources summed one by one
    - exchangeable prior with a unique plateau $(C_*, \Omega_*)$ that drives lag 1 upwards, $A > 0$
    - SGD as gradient flow; the rates enter through $\eta$ and $M$ alone

    Steps
    -----
    - frozen plateau: expand $\ln(1 + u/q) - u/(q + u)$ at small $q$ and average: $A$ and $B$ are its moments
      [frozen]
    - logarithmic integral: substitute $T/E$ in $T/\eta \int dE/(E^2 h)$ from $E = 1$; $T/(\eta A \ln T)$ for large $T$
      [slow]
    - moving match: to first order in $\epsilon$ the time is that of the slow manifold times this [moving]
    - delay: by the shift $d\theta_*$ of the target, with $M$ from the entries of $W$ that hold $C$ and $C + \Omega$;
      integrated along the manifold, and of the start $\theta_* - \theta$, whose second order is $-(1/h)(Q/2 -
      \partial h K^{-1} M D/2) : X$ [shift]
    - resummation: on each piece of the way the [1/1] Padé approximant, which agrees with the first order and stays
      positive and below twice the slow time; what it takes off is the size of the second order [resummation]
    - planar: where the match moves as slowly as lag 1 grows both are followed: the drive to first order around the
      manifold, with its factor $\Omega$, and $\theta$ with the loss to third order (`onset.theory.laws.planar`)
      [planar]

    Validity
    --------
    To first order in $t_{\mathrm{delay}}/t_{\mathrm{slow}}$; where the second is not small, `onset.theory.laws.planar`
    integrates match and lag 1 together. The start must lie where the loss is about cubic in $\theta$. The other lags
    follow lag 1 by their ratio of drives.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(steps, resummed),
        "frozen": equation(h, drive),
        "slow": equation(slow, leading),
        "moving": sp.series(1 / (1 - epsilon * kappa), epsilon, 0, 2),
        "shift": equation(delay, shifted),
        "resummation": equation(sp.Symbol("delta t"), neglected),
        "planar": planar,
    }


@check(r"the drive off the manifold: its value and slopes there, and its zero at $\Omega = 0$, symbolically")
def _planar(planar: Any) -> Identities:
    manifold = {C: C_star, Omega: Omega_star}
    slopes = (sp.diff(planar, C).subs(manifold) - h_C, sp.diff(planar, Omega).subs(manifold) - h_Omega)
    return (planar.subs(manifold) - h, *slopes, planar.subs(Omega, 0))


@check(r"derivative of the logarithmic integral by $E$ with $T/(\eta E^2 h)$, and its zero at $E = 1$, symbolically")
def _antiderivative(frozen: Any, slow: Any) -> Identities:
    slope = sp.expand_log(sp.diff(slow.rhs, E), force=True)
    return (slope - T / (eta * E**2 * sp.expand_log(frozen.rhs, force=True)), slow.rhs.subs(E, 1))


@check("delay with the first-order expansion of a solved linear model, symbolically")
def _first_order(moving: Any) -> Identities:
    """θ' = -K (θ - c v), v' = f θ/θ*: after the transient the exact θ is c v - c v'/K, and dt = dv/f + dθ*/(K θ*)."""
    K, c, f, v, rate = sp.symbols("K c f v rate", positive=True)
    behind = c * v - c * rate / K
    exact = sp.series(1 / (f * behind / (c * v)), rate, 0, 2).removeO()
    late = sp.diff(c * v, v) / (K * c * v)
    return (exact - moving.removeO().subs({kappa: late, epsilon: rate}) / f,)


@check("the mobility with gradient descent on the entries of $W$, $k = 2$ and 5, symbolically")
def _mobility() -> Identities:
    """A loss linear in C = T × the mean off the diagonal and in C + Ω = T × the mean on it."""
    by_c, by_omega = sp.symbols("g_C g_Omega")
    for states in (2, 5):
        entries = sp.Matrix(states, states, lambda i, j: sp.Symbol(f"w_{i}{j}"))
        off = T * (sum(entries.flat()) - entries.trace()) / (states * (states - 1))
        loss = by_c * off + by_omega * (T * entries.trace() / states - off)
        moved = entries.applyfunc(lambda w, loss=loss: -eta_W * sp.diff(loss, w))
        step = -mobility.subs(k, states) * sp.Matrix([by_c, by_omega])
        yield from (T * moved[0, 1] - step[0], T * (moved[0, 0] - moved[0, 1]) - step[1])


@check(r"the delay by a shift with the lag $X$ that it leaves, $K X = d\theta_*$, symbolically")
def _shift(shift: Any) -> Identities:
    lag = sp.Matrix(sp.symbols("X_C X_Omega", real=True))
    by_shift = dict(zip((dC, dOmega), _relaxation * lag, strict=True))
    return (shift.rhs.subs(by_shift, simultaneous=True) - (h_C * lag[0] + h_Omega * lag[1]) / h,)


@check(
    "the resummed time: first order in the delay, limits 0 and twice the slow time, and what it takes off, symbolically"
)
def _resummed(statement: Any, resummation: Any) -> Identities:
    ratio = sp.Symbol("r", positive=True)
    for sign in (1, -1):
        time, off = (sp.simplify(side.rhs.subs(delay, sign * ratio * slow) / slow) for side in (statement, resummation))
        yield sp.series(time, ratio, 0, 2).removeO() - (1 + sign * ratio)
        yield sp.limit(time, ratio, sp.oo) - (1 + sign)
        yield sp.simplify(sp.Abs(1 + sign * ratio - time) - off)


@check("what a start's distance adds in second order, one mode solved exactly, symbolically")
def _second_order() -> Identities:
    """One mode x' = -λ x - β x²/2, h = h* + p x + q x²/2: ∫ (1 - h/h*) dt to second order in x₀, solved exactly."""
    rate, beta, p, q, start = sp.symbols("lambda beta p q x_0", positive=True)
    t = sp.Symbol("t", positive=True)
    first = start * sp.exp(-rate * t)
    second = beta * start**2 / (2 * rate) * (sp.exp(-2 * rate * t) - sp.exp(-rate * t))
    residual = sp.diff(second, t) + rate * second + beta * first**2 / 2
    lost = sp.integrate(p * (first + second) + q * first**2 / 2, (t, 0, sp.oo))
    spread = start**2 / (2 * rate)  # solves λX + Xλ = x₀²
    predicted = p * start / rate + (q - p * beta / rate) * spread / 2
    return (residual, sp.expand(lost - predicted))

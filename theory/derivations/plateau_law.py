r"""The plateau law of the linear family under SGD: from the mean field to a number of steps.

Lag 1 grows as dv/dstep = η (E/T) h(E; θ) with E = e^v, while the match θ = (C, Ω) relaxes to the minimum θ*(E) of the
loss, dθ/dstep = -K (θ - θ*), K = M H. With θ* moving slowly,

    θ = θ* - K⁻¹ dθ*/dstep + …,        1/h(θ) = (1/h)(1 + (∂ ln h/∂θ) K⁻¹ dθ*/dstep + …),

so that the time to E is the slow time, T/η ∫ dE/(E² h), plus a delay that no longer contains h: ∫ (∂ ln h/∂θ) K⁻¹ dθ*.
The start's distance from the plateau enters in the same way. At small q = E/T, h = A (ln(T/E) + B), and the slow time
is a logarithmic integral.
"""

from __future__ import annotations

import sympy as sp

from onset.theory.derivations.derivation import Identities, check, numerical
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["T", "derive", "doubt", "leading", "planar_bend", "planar_drive", "resummed", "steps_and_doubt"]

T, eta, E, A = sp.symbols("T eta E A", positive=True)
B = sp.symbols("B", real=True)
slow, delay = sp.symbols("t_slow t_delay", positive=True)
bend = sp.Symbol("t_bend", real=True)
steps, epsilon, kappa = sp.symbols("t epsilon kappa", positive=True)

drive = A * (sp.log(T / E) + B)
"""h on the frozen plateau, at E ≪ T."""

leading = sp.exp(-B) / (eta * A) * (sp.li(T * sp.exp(B)) - sp.li(T * sp.exp(B) / E))
"""The slow time to E on the frozen plateau."""

resummed = slow + slow * delay / (slow + delay)
doubt = delay**2 / (slow + delay) / 2 + sp.Abs(bend) / 2
"""Half of what resummation takes off slow + delay, and half of what the start's distance adds in second order."""

X_C, X_Omega = sp.symbols("X_C X_Omega", real=True)
h, C, Omega, C_star, Omega_star, h_C, h_Omega = sp.symbols("h C Omega C_* Omega_* h_C h_Omega", real=True)
planar = Omega / Omega_star * (h + h_C * (C - C_star) + (h_Omega - h / Omega_star) * (Omega - Omega_star))
"""Drive of lag 1 off the slow manifold, with h and its slopes by C and Ω there: no match, no drive."""

planar_drive = numerical((h, C_star, Omega_star, h_C, h_Omega, C, Omega), planar, "math")
"""`planar` as a function of h, C*, Ω*, h_C, h_Ω, C and Ω."""

_second = sp.hessian(planar, (C, Omega)).applyfunc(sp.simplify)
planar_bend = numerical((h, Omega_star, h_C, h_Omega), _second.tolist(), "math")
"""Second derivatives Q of `planar` by (C, Ω), 2 × 2, as a function of h, Ω*, h_C and h_Ω."""

steps_and_doubt = numerical((slow, delay, bend), (resummed, doubt))
"""(t, half-width of its interval) from the slow time, the delay and the second order of the start's part."""


@derives("plateau-law")
def derive() -> Expressions:
    r"""Steps that the linear family waits on its unigram plateau (SGD)

    Symbols
    -------
    t : steps until lag 1 has weight $E$, that is $v_1 = \ln E$
    t_slow : slow time, $T/\eta \int dE/(E^2 h)$, with the match on its slow manifold; steps
    t_delay : delay, $(\partial \ln h/\partial\theta) K^{-1} (\theta_* - \theta)$ of the start and shifts of $\theta_*$;
        steps
    E : weight $e^{v_1}$ of lag 1
    v_1 : lag logit of lag 1
    h : drive of lag 1 on the slow manifold, nats per token
    A : drive per unit of the logarithm, nats per token
    B : constant beside the logarithm
    theta : $(C, \Omega)$; $\theta_*$ minimises the loss at the present $E$
    C_* : $C$ on the slow manifold
    Omega_* : $\Omega$ on the slow manifold
    h_C : slope of the drive by $C$ there
    h_Omega : slope of the drive by $\Omega$ there
    M : mobility, rates of $C$ and $\Omega$
    H : second derivatives of the loss
    K : $M H$, rates of relaxation
    X_C : component of $X$, to first order $K^{-1} \delta$
    X_Omega : the other component
    delta : distance of the start, $\theta - \theta_*$
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
      [plateau-constants]
    - logarithmic integral: substitute $T/E$ in $T/\eta \int dE/(E^2 h)$ from $E = 1$; $T/(\eta A \ln T)$ for large $T$
      [antiderivative, frozen-limit]
    - moving match: to first order in $\epsilon$ the time is that of the slow manifold times this [first-order]
    - resummation: the [1/1] Padé approximant agrees with the first order and stays below twice the slow time
      [match-limited, mean-field]
    - start: printed is the first order, $X = K^{-1} \delta$; to second order $-(1/h)(Q/2 - \partial h K^{-1} M D/2) :
      X$ with $K X + X K^\top = \delta \delta^\top$ [second-order, start]
    - planar: where the match moves as slowly as lag 1 grows both are followed: the drive to first order around the
      manifold, with its factor $\Omega$, and $\theta$ with the loss to third order (`onset.theory.laws.planar`)
      [planar]

    Validity
    --------
    To second order in $t_{\mathrm{delay}}/t_{\mathrm{slow}}$; where that exceeds 0.7, `onset.theory.laws.planar`
    integrates match and lag 1 together. The start must lie where the loss is about cubic in $\theta$. The other lags
    follow lag 1 by their ratio of drives.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return (
        equation(steps, resummed),
        equation(h, drive),
        equation(slow, leading),
        sp.series(1 / (1 - epsilon * kappa), epsilon, 0, 2),
        sp.series(resummed.subs(delay, epsilon * slow), epsilon, 0, 3),
        -(h_C * X_C + h_Omega * X_Omega) / h,
        planar,
    )


@check(r"the drive off the manifold: its value and slopes there, and its zero at $\Omega = 0$, symbolically")
def _planar() -> Identities:
    manifold = {C: C_star, Omega: Omega_star}
    slopes = (sp.diff(planar, C).subs(manifold) - h_C, sp.diff(planar, Omega).subs(manifold) - h_Omega)
    return (planar.subs(manifold) - h, *slopes, planar.subs(Omega, 0))


@check(r"derivative of the logarithmic integral by $E$ with $T/(\eta E^2 h)$, symbolically")
def _antiderivative() -> Identities:
    slope = sp.expand_log(sp.diff(leading, E), force=True)
    return (slope - T / (eta * E**2 * sp.expand_log(drive, force=True)),)


@check("delay with the second-order expansion of a solved linear model, symbolically")
def _first_order() -> Identities:
    """θ' = -K (θ - c v), v' = f θ/θ*: after the transient the exact θ is c v - c v'/K, and dt = dv/f + dθ*/(K θ*)."""
    K, c, f, v, rate = sp.symbols("K c f v rate", positive=True)
    behind = c * v - c * rate / K
    exact = sp.series(1 / (f * behind / (c * v)), rate, 0, 2).removeO()
    predicted = 1 / f + sp.diff(c * v, v) / (K * c * v) * rate / f
    return (exact - predicted,)


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

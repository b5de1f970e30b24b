r"""The wait of the softmax family on its plateau, in closed form: escape from a saddle, with growth that speeds up.

To first order in the match ω, L = L₀(μ) - ω G(v; μ). With lag 1 alone and its drive D frozen, G = g + D(e^v - 1), so
that with a = η_W/(k-1), b = η_v

    dω/dstep = a (g + D (e^v - 1)),    dv/dstep = b D ω e^v.

Eliminating time, ω dω/dv = (a/b) G/(∂G/∂v), which has the first integral ω²/2 = ω₀²/2 + (a/b) [v + (γ - 1)(1 -
e^{-v})], γ = g/D. One quadrature gives the wait. Its integrand falls like e^{-v}: nearly all of the wait is spent at v
of order one, and how far the head is to grow hardly counts. `onset.theory.laws.softmax` follows the same equations with
all tracked lags, the read-out, and the second order in ω.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np
import sympy as sp
from scipy.integrate import quad, solve_ivp
from sympy.codegen.cfunctions import expm1

from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.quadrature import evaluated
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["T", "derive", "drive_limit", "frozen", "quadrature", "wait"]

a, b, D, X = sp.symbols("a b D X", positive=True)
T, n, m = sp.symbols("T n m", integer=True, positive=True)
gamma, kappa, end = sp.symbols("gamma kappa v_1", nonnegative=True)
omega, kick = sp.symbols("omega omega_0", real=True)
x, v = sp.symbols("x v", positive=True)
mu, S1 = sp.symbols("mu S_1", positive=True)

energy = kick**2 / 2 + a / b * (v + (gamma - 1) * (1 - sp.exp(-v)))
"""ω²/2 at v."""

integrand = sp.exp(-x) / sp.sqrt(kappa + x + (gamma - 1) * (1 - sp.exp(-x)))
frozen = sp.Integral(integrand, (x, 0, end)) / (D * sp.sqrt(2 * a * b))

small = 2 * sp.sqrt(2) * sp.asinh(sp.sqrt(X / (2 * gamma)))
"""∫₀^X dx/√(γx + x²/2): the wait while v ≪ 1, in units of 1/(D √(2ab))."""

fast = 2 / sp.sqrt(gamma)
"""J at γ → ∞ and ω₀ = 0."""

recovery = -kick / (a * gamma * D)
"""Steps that the push needs to undo a kick downwards, before v has moved."""

drive_limit = mu * S1 / (2 * T) * (sp.harmonic(T) ** 2 - sp.harmonic(T, 2))
"""D at long contexts: (μ S₁/T) Σ_s (1/s) Σ_{t>s} 1/t, every pair of positions once, up to order ln T/T."""


@derives("softmax-law")
def derive() -> Expressions:
    r"""Steps that the softmax family waits on its unigram plateau (SGD)

    Symbols
    -------
    t : steps until lag 1 has $v_1$, from where the read-out has settled
    a : $\eta_W/(k-1)$: an entry's rate for $\omega$
    b : $\eta_v$, rate of the lag logits
    D : drive of lag 1, $-\partial^2 L/\partial\omega\,\partial v$ on the plateau; nats per token
    gamma : $g/D$
    g : push, $-\partial L/\partial\omega$ on the plateau; nats per token
    kappa : $b\,\omega_0^2/(2a)$
    omega_0 : match at the start: its initial value or the kick that it gets while the read-out rises
    v_1 : lag logit of lag 1 at the end
    v : lag logit of lag 1
    x : variable of integration, $v$
    X : its upper limit
    J : the integral of the statement
    S_1 : signal of lag 1, $\mathbb{E} \sum_i \pi_i^2 \sum_j (P_{ij} - \sigma_j)(P_{ij} - \pi_j)$
    sigma_j : what the model predicts
    A : constant of derivation trapped-basin
    B : constant of derivation trapped-basin
    omega, mu, T, s, W, U, k, eta, L, P, pi

    Assumptions
    -----------
    - the read-out has settled; first order in $\omega$, six lags or fewer than $T$ moved
    - frozen form: lag 1 alone grows and takes as much per unit of $e^v$ as it does at the start

    Steps
    -----
    - first integral: $\omega\,d\omega/dv = (a/b) (\gamma + e^v - 1) e^{-v}$: the loss to first order in $\omega$ is a
      product of two growing quantities [energy]
    - one quadrature: $dv/(b D \omega e^v)$ is the time in which $v$ grows by $dv$; the statement
    - small push: at $v \ll 1$ the bracket is $\gamma x + x^2/2$: growth by e-folds of $1/(D \sqrt{ab})$,
      $\ln(1/\gamma)$ of them [small]
    - large push: the bracket is $\gamma(1 - e^{-x})$: the wait is $\sqrt{2/(ab g D)}$, which knows no amplification
      [large]
    - drive at long contexts: $(1/T) \sum_t (1/t) \sum_{s \le t} 1/s$ of the signal $S_1$: $\ln^2 T/(2T)$ [drive]
    - push at long contexts: from trapped-basin: the same $\ln^2 T/(2T)$, less $B \ln T/T$ from counts that fluctuate
      together

    Validity
    --------
    $g > 0$. Below, lag 1 loses its attention (trapped-basin) unless $\kappa$ outweighs: $\kappa > 1 - \gamma +
    \ln\gamma + \dots$ where the bracket has its minimum. $D$ really falls with $v$ like $(\ln(T/e^v)/\ln T)^2$, the
    other lags move and $\omega$ is bent down in second order: `onset.theory.laws.softmax` has all three. The exponents
    of $t$ in $\eta_W$ and $\eta_v$ are $-1/2$ at fixed $\kappa$; the kick goes as $\eta_W/\eta_U$, so that $\kappa$
    goes as $\eta_W \eta_v/\eta_U^2$. With settling and kick the three exponents sum to $-1$. Start: a match $\omega_0$
    common to no entry counts as a logarithm, $t$ falling by $\ln(\omega_0)/(D \sqrt{ab})$ per e-fold, until the push
    hides it at $\kappa$ of order $\gamma^2/2$; what is common to all entries of $U$, $W$ or $v$ drops out. As $T \to
    \infty$ both $g$ and $D$ go as $\ln^2 T/(2T)$ (the mean over positions; the last position alone has $\ln T/T$), so
    that $\gamma$ tends to $A/S_1$ and $t$ to order $T/\ln^2 T$. As $T$ falls, $B$ takes from $g$: $\gamma \to 0$ and
    the wait diverges like $\ln(1/\gamma)$. In between lies a shortest wait.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(sp.Symbol("t", positive=True), frozen),
        "energy": equation(omega**2 / 2, energy),
        "small": small,
        "large": fast,
        "drive": drive_limit,
    }


@cache
def _integrand() -> Any:
    y, minus = sp.Symbol("y", positive=True), cast(Any, expm1)
    # expm1 does not cancel at the start, and in y = √x the root there is no longer singular.
    safe: Any = integrand.subs(1 - sp.exp(-x), -minus(-x))
    return sp.lambdify((y, gamma, kappa), (safe * 2 * y).subs(x, y**2), "math")


def quadrature(push: float, start: float, to: float) -> float:
    """J: the statement's integral for γ = `push` and κ = `start`, to v_1 = `to`."""
    # The rule has no point at the ends.
    return float(quad(lambda y: _integrand()(y, push, start), 0.0, np.sqrt(to), limit=200)[0])


_unit = numerical((a, b, D), frozen / sp.Integral(integrand, (x, 0, end)), "math")
_level = numerical((a, b, kick), b * kick**2 / (2 * a), "math")
_recovery = numerical((a, gamma, D, kick), recovery, "math")


def wait(match_rate: float, lag_rate: float, drive: float, push: float, start: float, to: float) -> float:
    """The statement as a function of a, b, D, γ > 0, ω₀ and v_1, steps; a kick ω₀ < 0 adds the steps of `recovery`."""
    late = _recovery(match_rate, push, drive, start) if start < 0 else 0.0
    integral = quadrature(push, _level(match_rate, lag_rate, max(start, 0.0)), to)
    return late + _unit(match_rate, lag_rate, drive) * integral


@check(r"$d\omega/dv$ by the first integral with that of push and drive, and its start, symbolically")
def _energy(energy: Any) -> Identities:
    speed = a * (gamma * D + D * (sp.exp(v) - 1)) / (b * D * omega * sp.exp(v))
    return (
        sp.diff(energy.lhs, omega) * speed - sp.diff(energy.rhs, v),
        energy.lhs.subs(omega, kick) - energy.rhs.subs(v, 0),
    )


@check(r"the statement, and `wait`, with both equations stepped in time, five settings of $\gamma$ and $\kappa$")
def _stepped(statement: Any) -> Residual:
    largest, to, rtol = 0.0, 3.0, 1e-9
    match_rate, lag_rate, drive = 0.5, 2.0, 0.03

    def velocity(_: float, state: np.ndarray, push: float) -> list[float]:
        return [match_rate * drive * (push + np.expm1(state[1])), lag_rate * drive * state[0] * np.exp(state[1])]

    def reached(_: float, state: np.ndarray, push: float) -> float:
        return state[1] - to

    reached.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    for push, start in ((0.01, 0.0), (0.2, 0.0), (5.0, 0.0), (0.0, 0.3), (0.2, 0.1)):
        solution = solve_ivp(
            velocity, (0, 1e5), [start, 0.0], events=reached, args=(push,), rtol=rtol, atol=rtol**1.5, method="DOP853"
        )
        level = lag_rate * start**2 / (2 * match_rate)
        known = {a: match_rate, b: lag_rate, D: drive, gamma: push, kappa: level, end: to}
        computed = float(evaluated(statement.rhs, known)), wait(match_rate, lag_rate, drive, push, start, to)
        largest = worst(largest, *(abs(solution.t[-1] / steps - 1) for steps in computed))
    return Residual(float(largest), 1000 * rtol, "the stepper's relative error 1e-9 for each of at most 1000 steps")


@check(r"slope of the wait at small push by $X$ with the integrand at $v \ll 1$, and its start, symbolically")
def _early(small: Any) -> Identities:
    return (sp.diff(small, X) - 1 / sp.sqrt(gamma * X + X**2 / 2), small.subs(X, 0))


@check(r"$J$ less the wait at small push, $\gamma \to 0$: tends to a constant like $\gamma \ln\gamma$")
def _small(small: Any) -> Residual:
    pushes = 10.0 ** -np.arange(2, 7)
    closed = sp.lambdify((gamma, X), small)(pushes, 1.0)
    constants = np.array([quadrature(push, 0.0, 30.0) for push in pushes]) - closed
    changes = np.abs(np.diff(constants)) / np.log(1 / pushes[1:])
    slope = np.polyfit(np.log(pushes[1:]), np.log(changes), 1)[0]
    because = r"slope 1 against $\gamma$; the constant beside $\ln\gamma$ shifts it by $1/\ln\gamma$, below 0.1"
    return Residual(float(abs(slope - 1)), 0.1, because)


@check(r"$J \sqrt{\gamma}$ at $\gamma \to \infty$ tends to 2 like $1/\gamma$")
def _large(large: Any) -> Residual:
    pushes = np.array([1e2, 1e3, 1e4])
    closed = sp.lambdify(gamma, large, "numpy")(pushes)
    errors = [abs(quadrature(push, 0.0, 40.0) / form - 1) for push, form in zip(pushes, closed, strict=True)]
    slope = np.polyfit(np.log(pushes), np.log(errors), 1)[0]
    because = r"slope $-1$ against $\gamma$; the next order is $1/\gamma$, at most 0.01, allowed twice"
    return Residual(float(abs(slope + 1)), 0.02, because)


@check(r"$\sum_t (1/t) \sum_{s<t} 1/s$ with the statement of the drive, exactly, $T = 1, \dots, 12$")
def _pairs(drive: Any) -> Identities:
    pairs = sp.Sum(sp.Sum(1 / m, (m, 1, n - 1)) / n, (n, 1, T))
    stated = drive * T / (mu * S1)
    return (pairs.subs(T, t).doit() - stated.subs(T, t) for t in range(1, 13))

r"""The wait of the softmax family on its plateau, in closed form: a saddle that a small push leaves, with growth that speeds up.

To first order in the match ω, L = L₀(μ) - ω G(v; μ). With lag 1 alone and its drive D frozen, G = g + D(e^v - 1), so that with a = η_W/(k-1), b = η_v

    dω/dstep = a (g + D (e^v - 1)),    dv/dstep = b D ω e^v.

Eliminating time, ω dω/dv = (a/b) G/∂G/∂v, which has the first integral ω²/2 = ω₀²/2 + (a/b) [v + (γ - 1)(1 - e^{-v})], γ = g/D. One
quadrature gives the wait. Its integrand falls like e^{-v}: nearly all of the wait is spent at v of order one, and how far the head is to
grow hardly counts. `onset.theory.laws.softmax` follows the same equations with all tracked lags, the read-out, and the second order in ω.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
import sympy as sp
from scipy.integrate import quad, solve_ivp
from sympy.codegen.cfunctions import expm1 as cautious

from onset.theory.derivations import trapped
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step

__all__ = ["T", "derive", "drive_limit", "frozen", "quadrature", "wait"]

a, b, D, X = sp.symbols("a b D X", positive=True)
T, n, m = sp.symbols("T n m", integer=True, positive=True)
gamma, kappa, end = sp.symbols("gamma kappa v_1", nonnegative=True)
kick = sp.Symbol("omega_0", real=True)
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

repair = -kick / (a * gamma * D)
"""Steps in which the push makes good a kick downwards, before v has moved."""

drive_limit = mu * S1 / (2 * T) * (sp.harmonic(T) ** 2 - sp.harmonic(T, 2))
"""D likewise: (μ S₁/T) Σ_s (1/s) Σ_{t>s} 1/t, every pair of positions once; what takes from it is of order ln T/T."""


def derive() -> Derivation:
    """t = (1/(D √(2ab))) ∫₀^{v_1} e^{-x} dx/√(κ + x + (γ - 1)(1 - e^{-x}))."""
    t, omega = sp.Symbol("t", positive=True), sp.Symbol("omega")
    return Derivation(
        name="softmax-law",
        title="Steps that the softmax family waits on its unigram plateau (SGD)",
        statement=sp.Eq(t, frozen, evaluate=False),
        symbols={
            t: "steps until lag 1 has v_1, from where the read-out has settled",
            a: "η_W/(k-1): an entry's rate for ω, W = ωI + c·11ᵀ",
            b: "η_v",
            D: "drive of lag 1, -∂²L/∂ω∂v_1 on the plateau; nats per token",
            gamma: "g/D, with the push g = -∂L/∂ω on the plateau",
            kappa: "b ω₀²/(2a), with ω₀ the match at the start: its own or the kick that it gets while the read-out rises",
        },
        assumptions=(
            "the read-out has settled; first order in ω, six lags or fewer than T moved",
            "frozen form: lag 1 alone grows and takes as much per unit of e^v as it does at the start",
        ),
        validity=(
            "g > 0. Below, lag 1 loses its attention (trapped-basin) unless κ outweighs: κ > 1 - γ + ln(γ) + … where the bracket has its "
            "minimum. D really falls with v like (ln(T/e^v)/ln T)², the other lags move and ω is bent down by K: `onset.theory.laws.softmax` "
            "has all three. Exponents: d ln t/d ln η_W = d ln t/d ln η_v = -1/2 at fixed κ; the kick goes as η_W/η_U, so that κ goes as "
            "η_W η_v/η_U². With settling and kick the three exponents sum to -1. Start: a match ω₀ common to no entry counts as a logarithm, "
            "t falling by ln(ω₀)/(D √(ab)) per e-fold, until the push hides it at κ of order γ²/2; what is common to all entries of U, W or v drops out. "
            "As T → ∞ both g and D go as ln²T/(2T) (the mean over positions; the last position alone has ln T/T), so that γ tends to A/S₁, "
            "t to T/ln²T. As T falls, B takes from g: γ → 0 and the wait diverges like ln(1/γ). In between lies a shortest wait."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step(
                "first integral",
                sp.Eq(omega**2 / 2, energy, evaluate=False),
                "ω dω/dv = (a/b) (γ + e^v - 1) e^{-v}: the loss to first order in ω is a product of two growing quantities",
                ("energy",),
            ),
            Step("one quadrature", frozen, "dstep = dv/(b D ω e^v)", ("stepped",)),
            Step(
                "small push",
                small,
                "at v ≪ 1 the bracket is γx + x²/2: growth by e-folds of 1/(D √(ab)), ln(1/γ) of them",
                ("small",),
            ),
            Step(
                "large push",
                fast,
                "the bracket is γ(1 - e^{-x}): the wait is √(2/(ab g D)), which knows no amplification",
                ("large",),
            ),
            Step(
                "drive at long contexts",
                drive_limit,
                "(1/T) Σ_t (1/t) Σ_{s≤t} 1/s of the signal S₁ = E Σ_i π_i² Σ_j (P_ij - σ_j)(P_ij - π_j): ln²T/(2T)",
                ("drive", "pairs"),
            ),
            Step(
                "push at long contexts",
                trapped.asymptotic,
                "from trapped-basin: the same ln²T/(2T), less B ln T/T from counts that fluctuate together",
                (),
            ),
        ),
        checks=[
            Check("energy", "d(ω²/2)/dv of the first integral with (a/b) G/(∂G/∂v), symbolically", _energy),
            Check(
                "stepped",
                "the quadrature with both equations stepped in time, five settings of γ and κ: 1e-6",
                _stepped,
            ),
            Check("small", "J at γ → 0: its growth over a decade of γ tends to √2 ln 10 like γ ln γ", _small),
            Check("large", "J √γ at γ → ∞ tends to 2 like 1/γ", _large),
            Check("pairs", "Σ_t (1/t) Σ_{s<t} 1/s with the statement of the drive, exactly, T = 1 … 12", _pairs),
        ],
    )


@cache
def _integrand() -> Any:
    y, minus = sp.Symbol("y", positive=True), cast(Any, cautious)
    # expm1 does not cancel at the start, and in y = √x the root there is no longer singular.
    safe: Any = integrand.subs(1 - sp.exp(-x), -minus(-x))
    return sp.lambdify((y, gamma, kappa), (safe * 2 * y).subs(x, y**2), "math")


def quadrature(push: float, start: float, to: float) -> float:
    """J: the statement's integral for γ = `push` and κ = `start`, to v_1 = `to`."""

    def safe(y: float) -> float:
        return _integrand()(y, push, start) if y > 0 else (0.0 if start > 0 else 2 / np.sqrt(push))

    return float(quad(safe, 0.0, np.sqrt(to), limit=200, points=None)[0])


@cache
def wait() -> Callable[[float, float, float, float, float, float], float]:
    """The statement as a function of a, b, D, γ > 0, ω₀ and v_1, steps; a kick ω₀ < 0 counts as the steps of `repair`."""
    unit = sp.lambdify((a, b, D), frozen / sp.Integral(integrand, (x, 0, end)), "math")
    level = sp.lambdify((a, b, kick), b * kick**2 / (2 * a), "math")
    lost = sp.lambdify((a, gamma, D, kick), repair, "math")

    def steps(mobile: float, rate: float, gain: float, push: float, start: float, to: float) -> float:
        late = lost(mobile, push, gain, start) if start < 0 else 0.0
        return late + unit(mobile, rate, gain) * quadrature(push, level(mobile, rate, max(start, 0.0)), to)

    return steps


def _energy() -> Outcome:
    shown = gamma * D + D * (sp.exp(v) - 1)
    return Outcome.identity(sp.diff(energy, v) - a / b * shown / sp.diff(shown, v), energy.subs(v, 0) - kick**2 / 2)


def _stepped() -> Outcome:
    worst, to, rtol = 0.0, 3.0, 1e-9
    mobile, rate, gain = 0.5, 2.0, 0.03

    def velocity(_: float, state: np.ndarray, push: float) -> list[float]:
        return [mobile * gain * (push + np.expm1(state[1])), rate * gain * state[0] * np.exp(state[1])]

    def reached(_: float, state: np.ndarray, push: float) -> float:
        return state[1] - to

    reached.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    for push, start in ((0.01, 0.0), (0.2, 0.0), (5.0, 0.0), (0.0, 0.3), (0.2, 0.1)):
        way = solve_ivp(
            velocity, (0, 1e5), [start, 0.0], events=reached, args=(push,), rtol=rtol, atol=rtol**1.5, method="DOP853"
        )
        closed = quadrature(push, rate * start**2 / (2 * mobile), to) / (gain * np.sqrt(2 * mobile * rate))
        worst = max(worst, abs(way.t[-1] / closed - 1))
    return Outcome(float(worst), 1000 * rtol, "the stepper's relative error 1e-9 for each of at most 1000 steps")


def _small() -> Outcome:
    """J(γ) - √2 ln(1/γ) settles: what a decade changes of it falls like γ ln γ."""
    pushes = 10.0 ** -np.arange(1, 6)
    off = np.array([quadrature(g, 0.0, 30.0) + np.sqrt(2) * np.log(g) for g in pushes])
    moved = np.abs(np.diff(off)) / np.log(1 / pushes[1:])
    slope = np.polyfit(np.log(pushes[1:]), np.log(moved), 1)[0]
    return Outcome(
        float(abs(slope - 1)), 0.1, "slope 1 against γ; the constant beside ln γ shifts it by 1/ln γ, below 0.1"
    )


def _large() -> Outcome:
    pushes = np.array([1e2, 1e3, 1e4])
    closed = sp.lambdify(gamma, fast, "numpy")(pushes)
    errors = [abs(quadrature(g, 0.0, 40.0) / f - 1) for g, f in zip(pushes, closed, strict=True)]
    slope = np.polyfit(np.log(pushes), np.log(errors), 1)[0]
    return Outcome(
        float(abs(slope + 1)), 0.02, "slope -1 against γ; the next order is 1/γ, at most 0.01, allowed twice"
    )


def _pairs() -> Outcome:
    pairs = sp.Sum(sp.Sum(1 / m, (m, 1, n - 1)) / n, (n, 1, T))
    return Outcome.identity(*(pairs.subs(T, t).doit() - (drive_limit * T / (mu * S1)).subs(T, t) for t in range(1, 13)))

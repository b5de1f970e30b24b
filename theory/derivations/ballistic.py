r"""Wait of the linear family where there is no unigram plateau: match and lag 1 raise each other from zero.

Where all stationary laws are uniform, as for doubly stochastic chains, counts say nothing and the match has no signal
of its own. At small logits the loss is -Σ_r S_r ℓ_r Ω e^{v_r}/T in the match Ω and the weights of lags, with the
signals S_r and ℓ_r = ln T + γ - 1 - H_r, so that with the mobility M of Ω

    Ω' = (M/T) Σ_r S_r ℓ_r e^{v_r},    v_r' = (η/T) S_r ℓ_r Ω e^{v_r}.

Ω²/(2M) - Σ_r v_r/η is conserved: lags that grow carry the match with them, and the time is ballistic, about T/ln T, not
the plateau's T/(η A ln T) with a match that waits.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sympy as sp
from scipy.integrate import quad, solve_ivp
from sympy.codegen.cfunctions import expm1, log1p

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.quadrature import evaluated
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["derive", "waiting"]

T, M, eta, S1, v, w, rho = sp.symbols("T M eta S_1 v w rho", positive=True)
total = sp.Function("Sigma")
steps = sp.Symbol("t", positive=True)

follower = -sp.log(1 - rho * (1 - sp.exp(-v)))
"""v_r when lag 1 has v, ρ = S_r ℓ_r/(S_1 ℓ_1)."""

logarithm = sp.log(T) + sp.EulerGamma - 2 - w
"""ℓ_1, less what the growth of lag 1 takes from it."""

waiting_time = T / (S1 * sp.sqrt(2 * M * eta)) * sp.Integral(sp.exp(-w) / (logarithm * sp.sqrt(total(w))), (w, 0, v))


@derives("ballistic-growth")
def derive() -> Expressions:
    r"""Growth of lag 1 without a unigram plateau

    Symbols
    -------
    t : optimiser steps until lag 1 has lag logit $v$
    v : lag logit of lag 1; $v_r$ is that of lag $r$
    w : variable of integration, the lag logit of lag 1
    S_1 : signal of lag 1, $\mathbb{E} \sum_i \pi_i^2 \sum_j (P_{ij} - 1/k)^2$; $S_r$ is that of lag $r$
    M : mobility of $\Omega$: rate of the match times $T^2/(k - 1)$
    eta : rate of the lag logits
    Sigma(w) : $\sum_r v_r$ over the lags with a positive signal; $w$ for lag 1 alone
    rho : $S_r \ell_r/(S_1 \ell_1)$ of lag $r$
    ell_r : $\ln T + \gamma - 1 - H_r$
    T, s, Omega, P, pi, k, r, gamma, H_n

    Assumptions
    -----------
    - doubly stochastic prior, linear family, SGD as gradient flow, from $\Omega = 0$ and $v = 0$
    - small logits: the model still predicts $1/k$

    Steps
    -----
    - a lag beside lag 1: $v_r$ at $v$: $dv_r/dv = \rho e^{v_r - v}$, $\Omega$ drops out [follower]
    - logarithm of the drive: the sum of $(T + 1 - s)/(T s)$ over positions $s > 1$ of sources is $\ln T + \gamma - 2$;
      as lag 1 grows $s - 1 + e^w$ stands for $s$ [logarithm]
    - one lag, long contexts: $\Sigma(w) = w$ and a constant logarithm: this factor [one_lag]

    Validity
    --------
    Relative error $O(1/\ln T)$: at $v = 2$ it is too early by 22% at $T = 400$, by 12% at $T = 1600$ and by 5% at $T =
    102400$ ($k = 2$, against the mean field). For one lag and long contexts $t = \sqrt{\pi/2}\,T/(S_1 \sqrt{M\eta} \ln
    T)$, with the number $\pi$.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    one_lag = sp.Integral(sp.exp(-w) / sp.sqrt(w), (w, 0, sp.oo))
    return {
        "statement": equation(steps, waiting_time),
        "follower": follower,
        "logarithm": logarithm,
        "one_lag": equation(one_lag, one_lag.doit()),
    }


_rise, _drive = numerical((v, rho), follower), numerical((w, T), logarithm)


def waiting(context: int, logit: float, signals: dict[int, float], mobility: float, rate: float) -> float:
    """Steps until lag 1 has the lag logit `logit`, from the positive `signals` by lag (which hold lag 1)."""
    ell = {r: np.log(context) + np.euler_gamma - 1 - float(sp.harmonic(r)) for r in signals}
    if min(ell.values()) <= 0 or ell[1] <= logit:
        raise ValueError(
            f"context = {context}: expected one whose logarithm exceeds that of the lags and of lag 1's weight; "
            "use the mean field."
        )
    ratios = np.array([signals[r] * ell[r] / (signals[1] * ell[1]) for r in signals])

    def integrand(root: float) -> float:
        # In √(1 - e^{-w}) the start is regular.
        climbed = -np.log1p(-(root**2))
        return 2 * root / (_drive(climbed, context) * np.sqrt(_rise(climbed, ratios).sum()))

    integral = quad(integrand, 0.0, np.sqrt(-np.expm1(-logit)), epsabs=0.0, epsrel=1e-8)[0]
    return float(context / (signals[1] * np.sqrt(2 * mobility * rate)) * integral)


@check(r"$d/dt$ of $\Omega^2/(2M) - \sum_r v_r/\eta$ along the flow, three lags, symbolically")
def _conserved() -> Identities:
    match, ell = sp.symbols("Omega ell", positive=True)
    logits, signals = sp.symbols("v_1 v_3 v_5", real=True), sp.symbols("S_1 S_3 S_5", positive=True)
    drives = [ell * signal * sp.exp(logit) / T for logit, signal in zip(logits, signals, strict=True)]
    energy = match**2 / (2 * M) - sum(logits) / eta
    change = sp.diff(energy, match) * M * sum(drives)
    change += sum(sp.diff(energy, logit) * eta * match * f for logit, f in zip(logits, drives, strict=True))
    return (change,)


@check(r"$dv_r/dv$ with $\rho e^{v_r - v}$, $v_r = 0$ at $v = 0$ and $v_r = v$ at $\rho = 1$, symbolically")
def _follower(follower: Any) -> Identities:
    return (sp.diff(follower, v) - rho * sp.exp(follower - v), follower.subs(v, 0), follower.subs(rho, 1) - v)


@check("the statement, and `waiting`, with the flow of match and two lags stepped in time")
def _stepped(statement: Any) -> Residual:
    context, to, strengths, mobility, rate, rtol = 10_000, 2.0, {1: 0.1, 3: 0.04}, 30.0, 0.5, 1e-9
    ell = {r: np.log(context) + np.euler_gamma - 1 - float(sp.harmonic(r)) for r in strengths}
    share = strengths[3] * ell[3] / (strengths[1] * ell[1])

    def velocity(_: float, state: Array) -> Array:
        match, logits = state[0], state[1:]
        drives = np.array([1.0, share]) * strengths[1] * (ell[1] - logits[0]) * np.exp(logits) / context
        return np.append(mobility * drives.sum(), rate * match * drives)

    def reached(_: float, state: Array) -> float:
        return state[1] - to

    reached.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    solution = solve_ivp(velocity, (0, 1e5), np.zeros(3), events=reached, rtol=rtol, atol=rtol**1.5, method="DOP853")
    known = {T: context, S1: strengths[1], M: mobility, eta: rate, v: to}
    less = cast(Any, expm1)(-w)
    lags = sum(-cast(Any, log1p)(ratio * less) for ratio in (1, share))  # positive at the start, too
    computed = (
        float(evaluated(statement.rhs.subs(total(w), lags), known)),
        waiting(context, to, strengths, mobility, rate),
    )
    largest = worst(*(abs(steps / solution.t[-1] - 1) for steps in computed))
    return Residual(largest, 1000 * rtol, "the stepper's relative error 1e-9 for each of at most 1000 steps")


@check(r"logarithm of the drive with the sum over sources, $w = 0$, and its fall from $w = 5$ to 6, $T = 10^6$")
def _logarithm(logarithm: Any) -> Residual:
    context = 10**6
    sources = np.arange(2.0, context + 1)
    sums = [((context + 1 - sources) / context / (sources - 1 + np.exp(at))).sum() for at in (0, 5, 6)]
    closed = sp.lambdify((T, w), logarithm)(context, np.array([0.0, 5.0, 6.0]))
    errors = abs(closed[0] - sums[0]), abs((closed[2] - closed[1]) - (sums[2] - sums[1]))
    return Residual(worst(*errors), float(np.exp(-5)), "$e^{-w}$, by which $\\ln(s - 1 + e^w)$ differs at $s = 2$")


@check("the factor of one lag by tanh-sinh quadrature")
def _one_lag(one_lag: Any) -> Residual:
    difference = abs(float(evaluated(one_lag.lhs - one_lag.rhs, digits=40)))
    return Residual(difference, 1e-16, r"the integrand's $1/\sqrt{w}$ leaves half of 40 digits")

r"""How long the linear family waits where there is no unigram plateau: match and lag 1 pull each other up from nothing.

Where all stationary laws are uniform, as for doubly stochastic chains, counts say nothing and the match has no signal of its own. At
small logits the loss is -Σ_r s_r ℓ_r Ω e^{v_r}/T in the match Ω and the weights of lags, ℓ_r = ln T + γ - 1 - H_r, so that with M the mobility of Ω

    Ω' = (M/T) Σ_r s_r ℓ_r e^{v_r},    v_r' = (η/T) s_r ℓ_r Ω e^{v_r}.

Ω²/(2M) - Σ_r v_r/η is conserved: lags that grow carry the match with them, and the time is ballistic, about T/ln T, not the
plateau's T/(η A ln T) with a match that waits.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import quad

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step

__all__ = ["derive", "waiting"]

T, M, eta, s1, v, w, x, rho = sp.symbols("T M eta s_1 v w x rho", positive=True)
total = sp.Function("Sigma")
steps = sp.Symbol("t", positive=True)

follower = -sp.log(1 - rho * (1 - sp.exp(-v)))
"""v_r once lag 1 has v, ρ = s_r ℓ_r/(s_1 ℓ_1)."""

logarithm = sp.log(T) + sp.EulerGamma - 2 - w
"""ℓ_1, less what its own growth takes."""

waiting_time = T / (s1 * sp.sqrt(2 * M * eta)) * sp.Integral(sp.exp(-w) / (logarithm * sp.sqrt(total(w))), (w, 0, v))


def derive() -> Derivation:
    """t = T/(s_1 √(2Mη)) ∫ e^{-w} dw / ((ln T + γ - 2 - w) √Σ(w))."""
    return Derivation(
        name="ballistic-growth",
        title="Growth of lag 1 without a unigram plateau",
        statement=sp.Eq(steps, waiting_time, evaluate=False),
        symbols={
            steps: "optimiser steps until lag 1 has lag logit v",
            v: "lag logit of lag 1",
            s1: "signal of lag 1, E Σ_i π_i² Σ_j (P_ij - 1/k)(P_ij - 1/k)",
            M: "mobility of Ω = Tω: rate of the match times T²/(k - 1)",
            eta: "rate of the lag logits",
            T: "context, in tokens",
            total(w): "Σ_r v_r over the lags with a positive signal, each by `follower`; w for one lag alone",
        },
        assumptions=(
            "doubly stochastic prior, linear family, SGD as gradient flow, from Ω = 0 and v = 0",
            "small logits: the model still predicts 1/k",
        ),
        validity=(
            "Relative error O(1/ln T): 10% too early at T = 1600, 4% at T = 10⁵ (k = 2, against the mean field), 17 to 22% at T = 400. "
            "For one lag and long contexts t = √(π/2) T/(s_1 √(Mη) ln T)."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step("a lag beside lag 1", follower, "dv_r/dv = ρ e^{v_r - v}, Ω drops out"),
            Step("logarithm of the drive", logarithm, "Σ_s (T + 1 - s)/(T s) over s > 1 is ln T + γ - 2"),
            Step(
                "one lag, long contexts",
                sp.integrate(sp.exp(-w) / sp.sqrt(w), (w, 0, sp.oo)),
                "Σ = w and a constant logarithm: the factor √π",
            ),
        ),
        checks=[
            Check("conserved", "d/dt of Ω²/(2M) - Σ v_r/η along the flow, three lags, symbolically", _conserved),
            Check("follower", "dv_r/dv with ρ e^{v_r - v}, and v_r = v at ρ = 1, symbolically", _follower),
        ],
    )


@cache
def _parts() -> tuple[Any, Any]:
    return sp.lambdify((v, rho), follower, "numpy"), sp.lambdify((w, T), logarithm, "numpy")


def waiting(context: int, logit: float, signals: dict[int, float], mobility: float, rate: float) -> float:
    """Steps until lag 1 has the lag logit `logit`, from the positive `signals` by lag (which hold lag 1)."""
    rise, drive = _parts()
    harmonic = {r: float(sp.harmonic(r)) for r in signals}
    ell = {r: np.log(context) + np.euler_gamma - 1 - h for r, h in harmonic.items()}
    if min(ell.values()) <= 0 or ell[1] <= logit:
        raise ValueError(
            f"context = {context}: expected one whose logarithm exceeds that of the lags and of lag 1's weight; use the mean field."
        )
    ratios = np.array([signals[r] * ell[r] / (signals[1] * ell[1]) for r in signals])

    def integrand(root: float) -> float:
        # In √(1 - e^{-w}) the start is regular.
        at = -np.log1p(-(root**2))
        return 2 * root / (drive(at, context) * np.sqrt(rise(at, ratios).sum()))

    integral = quad(integrand, 0.0, np.sqrt(-np.expm1(-logit)), epsabs=0.0, epsrel=1e-8)[0]
    return float(context / (signals[1] * np.sqrt(2 * mobility * rate)) * integral)


def _conserved() -> Outcome:
    match, ell = sp.symbols("Omega ell", positive=True)
    logits, drives = sp.symbols("v_1 v_3 v_5", real=True), sp.symbols("s_1 s_3 s_5", positive=True)
    force = [ell * s * sp.exp(one) / T for one, s in zip(logits, drives, strict=True)]
    energy = match**2 / (2 * M) - sum(logits) / eta
    along = sp.diff(energy, match) * M * sum(force)
    along += sum(sp.diff(energy, one) * eta * match * f for one, f in zip(logits, force, strict=True))
    return Outcome.identity(along)


def _follower() -> Outcome:
    return Outcome.identity(sp.diff(follower, v) - rho * sp.exp(follower - v), follower.subs(rho, 1) - v)

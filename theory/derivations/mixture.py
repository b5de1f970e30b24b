r"""Where the match rests when unigram chains are mixed with doubly stochastic ones, and when that holds lag 1 back.

With no lag grown the loss of a share w of doubly stochastic chains is -w g Ω to first order in Ω, since their counts say nothing and what lifts Ω is
the mean of all lags; that of a share 1 - w of unigram chains is (1 - w) H (Ω - Ω_u)²/2 once C has followed. Their minimum is the plateau.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step

__all__ = ["critical_weight", "derive", "push", "resting_match"]

w, g, H, b = sp.symbols("w g H b", positive=True)
Omega, own = sp.symbols("Omega Omega_u", real=True)
T, r = sp.symbols("T r", integer=True, nonnegative=True)
source = sp.Symbol("s", integer=True, positive=True)

loss = -w * g * Omega + (1 - w) * H * (Omega - own) ** 2 / 2
resting = own + w * g / ((1 - w) * H)
critical = b / (b + g)
"""Where the match rests at zero, with b = ∂L_u/∂Ω > 0 of the unigram chains there: exact, b being -H Ω_u only to first order in Ω_u."""

lag_push = ((T + 1) * (sp.harmonic(T) - sp.harmonic(r)) - (T - r)) / T**2
"""What lag r adds to g per unit of its signal s_r: Σ_{s>r} (T + 1 - s)/(T² s)."""


def derive() -> Derivation:
    """Ω = Ω_u + (w/(1 - w)) g/H."""
    return Derivation(
        name="mixture-delay",
        title="The match on the plateau of doubly stochastic chains mixed with unigram ones",
        statement=sp.Eq(Omega, resting, evaluate=False),
        symbols={
            Omega: "match where it rests, Ω = Tω, W = ωI + c·11ᵀ",
            own: "best match of unigram chains alone, below zero from four states on",
            w: "share of doubly stochastic chains",
            g: "push Σ_r s_r ((T + 1)(H_T - H_r) - T + r)/T² of their signals s_r, reference 'uniform'; nats per token",
            H: "second derivative of the unigram chains' loss by Ω, C following; nats per token",
        },
        assumptions=(
            "linear family, mean field, SGD as gradient flow; no lag grown",
            "Ω small enough for the loss to be quadratic, as it is where it changes sign",
        ),
        validity=(
            "Ω where it is small; w_c, where it changes sign and with it lag 1's drive, is exact in the mean field. Delays counted in doubly "
            "stochastic sequences, k = 4, default rates, from W = 0, integrated in the mean field: at w = 3/4 0.91 at T = 100, 1.3 at 400, 3.4 at 1600; "
            "at w = 1/2 1.6 at T = 100. The published factor, of a transformer under AdamW at w = 3/4 and T = 100, is about 1.7 (arXiv 2402.11004): the toy "
            "families do not show it there. Finite context, formation of the head: linear SGD 0.96, linear Adam 0.60, softmax Adam 0.78, softmax SGD from "
            "zero 0.19, since there unigram chains lift the read-out that the others need."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step("loss", loss, "first order in Ω for the one, second for the other"),
            Step("push of a lag", lag_push, "Σ_t Σ_{s≤t} (1/s)/T² over the sources that have the lag: ln T/T"),
            Step(
                "critical weight",
                critical,
                "where the match rests at zero, b = ∂L/∂Ω of the unigram chains there: 1 - w_c goes as ln T/T",
            ),
        ),
        checks=[
            Check("minimum", "dL/dΩ at the statement, and its zero at w_c, symbolically", _minimum),
            Check("sum", "the push of a lag with its sum over sources, exactly, T = 1 … 8", _sum),
        ],
    )


@cache
def push() -> Any:
    """`lag_push` of T and r."""
    # The printer of harmonic numbers loses a pair of brackets behind a minus sign.
    return sp.lambdify((T, r), lag_push.rewrite(sp.polygamma), "scipy")


@cache
def resting_match() -> Any:
    """The statement of g, Ω_u, H and w."""
    return sp.lambdify((g, own, H, w), resting, "math")


@cache
def critical_weight() -> Any:
    """w_c of g and b."""
    return sp.lambdify((g, b), critical, "math")


def _minimum() -> Outcome:
    at_zero = resting.subs(w, critical).subs(b, -H * own)
    return Outcome.identity(sp.diff(loss, Omega).subs(Omega, resting), at_zero)


def _sum() -> Outcome:
    differences = []
    for context in range(1, 9):
        for lag in range(context):
            summed = sum(sp.Rational(context + 1 - s, context**2 * s) for s in range(lag + 1, context + 1))
            differences.append(summed - lag_push.subs({T: context, r: lag}))
    return Outcome.identity(*differences)

r"""Where the match rests when unigram chains are mixed with doubly stochastic ones, and when that holds lag 1 back.

With no lag grown the loss of a share w of doubly stochastic chains is -w g Ω to first order in Ω, since their counts
say nothing and what raises Ω is the mean of all lags; that of a share 1 - w of unigram chains is (1 - w) h (Ω - Ω_u)²/2
once C has followed. Their minimum is the plateau.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from onset.theory.derivations.derivation import Identities, check, numerical
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["critical_weight", "derive", "push", "resting_match"]

w, g, h, b = sp.symbols("w g h b", positive=True)
Omega, Omega_u = sp.symbols("Omega Omega_u", real=True)
T, r = sp.symbols("T r", integer=True, nonnegative=True)

loss = -w * g * Omega + (1 - w) * h * (Omega - Omega_u) ** 2 / 2
resting = Omega_u + w * g / ((1 - w) * h)
critical = b / (b + g)
"""Share at which the match rests at zero, b = ∂L_u/∂Ω > 0 there: exact, where -h Ω_u is b to first order in Ω_u."""

lag_push = ((T + 1) * (sp.harmonic(T) - sp.harmonic(r)) - (T - r)) / T**2
"""Contribution of lag r to g per unit of its signal S_r: Σ_{s>r} (T + 1 - s)/(T² s)."""

push = numerical((T, r), lag_push, "scipy")
"""`lag_push` as a function of T and r."""

resting_match = numerical((g, Omega_u, h, w), resting, "math")
"""The statement as a function of g, Ω_u, h and w."""

critical_weight = numerical((g, b), critical, "math")
"""w_c as a function of g and b."""


@derives("mixture-delay")
def derive() -> Expressions:
    r"""The match on the plateau of doubly stochastic chains mixed with unigram ones

    Symbols
    -------
    Omega : match where it rests, $\Omega = T\omega$
    Omega_u : best match of unigram chains alone, below zero from four states on
    w : share of doubly stochastic chains
    w_c : share at which the match rests at zero
    g : push of their signals $S_r$, reference 'uniform', each times its `lag_push`; nats per token
    h : second derivative of the unigram chains' loss by $\Omega$, $C$ following; nats per token
    b : slope $\partial L/\partial\Omega$ of the unigram chains' loss at $\Omega = 0$; nats per token
    S_r : signal of lag $r$
    T, r, s, t, omega, C, W, k, L

    Assumptions
    -----------
    - linear family, mean field, SGD as gradient flow; no lag grown
    - $\Omega$ small enough for the loss to be quadratic, as it is where it changes sign

    Steps
    -----
    - loss: first order in $\Omega$ for the doubly stochastic chains, second for the others [loss]
    - push of a lag: $\sum_t \sum_{s \le t} (1/s)/T^2$ over the sources that have the lag: of order $\ln T/T$ [push]
    - critical share: $w_c$, where the match rests at zero: $1 - w_c$ goes as $\ln T/T$ [critical]

    Validity
    --------
    $\Omega$ where it is small; $w_c$, where it changes sign and with it lag 1's drive, is exact in the mean field.
    Delays counted in doubly stochastic sequences, $k = 4$, default rates, from $W = 0$, integrated in the mean field:
    at $w = 3/4$ 0.91 at $T = 100$, 1.3 at 400, 3.4 at 1600; at $w = 1/2$ 1.6 at $T = 100$. The published factor, of a
    transformer under AdamW at $w = 3/4$ and $T = 100$, is about 1.7 (arXiv 2402.11004): the toy families do not show it
    there. Finite context, formation of the head: linear SGD 0.96, linear Adam 0.60, softmax Adam 0.78, softmax SGD from
    zero 0.19, since there unigram chains raise the read-out that the others need.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(Omega, resting),
        "loss": loss,
        "push": lag_push,
        "critical": equation("w_c", critical),
    }


@check(r"the loss: its slope at $\Omega = 0$ by either share of chains, and its curvature, symbolically")
def _loss(loss: Any) -> Identities:
    """The doubly stochastic chains' slope is -g; the others' vanishes at Ω_u, and its slope is h."""
    mixed, unigram = loss.subs(w, 1), loss.subs(w, 0)
    return (
        loss - w * mixed - (1 - w) * unigram,
        sp.diff(mixed, Omega) + g,
        mixed.subs(Omega, 0),
        sp.diff(unigram, Omega) - h * (Omega - Omega_u),
        unigram.subs(Omega, Omega_u),
    )


@check(r"$\partial/\partial\Omega$ of the loss at the statement, and its zero at $w_c$, symbolically")
def _minimum(statement: Any, loss: Any, critical: Any) -> Identities:
    at_zero = statement.rhs.subs(w, critical.rhs).subs(b, -h * Omega_u)
    return (sp.diff(loss, Omega).subs(Omega, statement.rhs), at_zero)


@check(r"the push of a lag with its sum over sources, exactly, $T = 1, \dots, 8$")
def _sum(push: Any) -> Identities:
    for context in range(1, 9):
        for lag in range(context):
            total = sum(sp.Rational(context + 1 - s, context**2 * s) for s in range(lag + 1, context + 1))
            yield total - push.subs({T: context, r: lag})

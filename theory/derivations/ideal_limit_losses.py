r"""Two states, flat rows: what the bigram and the unigram strategy reach as T → ∞, in π and ln 2.

Both expectations over (a, b), uniform on the unit square, become single integrals, of products of at most two logarithms
with polynomials, and these fall to integration by parts and four values of the dilogarithm. The single integrals are also
given for any concentration, where they hold hypergeometric functions and are left to quadrature.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.derivations.two_state_chain import a, b
from onset.theory.markov.ideal import limit_loss
from onset.theory.markov.priors import Dirichlet

__all__ = ["alpha", "bigram", "conditional", "derive", "general_bigram", "general_unigram", "h", "r", "unigram"]

r, alpha = sp.symbols("r alpha", positive=True)


def h(p: sp.Expr) -> sp.Expr:
    """Entropy of (p, 1-p), nats."""
    return -p * sp.log(p) - (1 - p) * sp.log(1 - p)


conditional = 1 - a * (sp.log(1 + a) - sp.log(a))
"""E[π_0 | a] for flat rows: b/(a+b) averaged over b."""

spread = sp.log(1 + r) - r / (1 + r) * sp.log(r)
"""Entropy of a stationary law whose entries have the ratio r."""

_beta = sp.gamma(alpha) ** 2 / sp.gamma(2 * alpha)
_row = a ** (alpha - 1) * (1 - a) ** (alpha - 1) / _beta
_ratio = sp.gamma(alpha) * sp.gamma(2 * alpha) / sp.gamma(3 * alpha) / _beta**2

general_bigram = _row * h(a) / a * sp.hyper((1, alpha + 1), (2 * alpha + 1,), -1 / a)
"""For any α, E Σ_i π_i H(P_i) = ∫₀¹ of this over a: 2 E[π_0 | a] h(a) times the density of a."""

general_unigram = 2 * _ratio * r ** (alpha - 1) * sp.hyper((1 - alpha, 2 * alpha), (3 * alpha,), r) * spread
"""For any α, E H(π) = ∫₀¹ of this over r: twice, for r ↔ 1/r, the density of r = a/b below 1 times the entropy."""


def _moment(power: int, log: sp.Expr) -> sp.Expr:
    """∫₀¹ a^power log da, `log` that of a, 1 + a or 1 - a; a pole is power -1, at the zero of the other factor."""
    return sp.integrate(a**power * log, (a, 0, 1))


_poles: dict[tuple[sp.Expr, sp.Expr], sp.Expr] = {
    (sp.log(1 + a), a): -sp.polylog(2, -1),
    (sp.log(a), 1 - a): -sp.polylog(2, 1),
    (sp.log(1 - a), a): -sp.polylog(2, 1),
    (sp.log(1 - a), 1 + a): -sp.polylog(2, sp.Rational(1, 2)),
    (sp.log(a), 1 + a): sp.polylog(2, -1),
}
"""∫₀¹ log/pole da: expand 1/pole in powers of the logarithm's argument (or the reverse) and sum Σ xⁿ/n² = Li₂(x)."""


def _single(rational: sp.Expr, log: sp.Expr) -> sp.Expr:
    """∫₀¹ rational · log da, the rational function a polynomial and at most one simple pole."""
    numerator, denominator = sp.fraction(sp.cancel(rational))
    if not denominator.has(a):
        polynomial, rest, pole = sp.Poly(rational, a), sp.Integer(0), a
    else:
        pole = next(known for _, known in _poles if sp.rem(denominator, known, a) == 0)
        quotient, remainder = sp.div(numerator, denominator, a)
        polynomial, rest = sp.Poly(quotient, a), remainder / sp.cancel(denominator / pole)
    value = sp.Add(*(c * _moment(n, log) for (n,), c in polynomial.terms() if c != 0))
    return value + (rest * _poles[log, pole] if rest != 0 else 0)


def _double(polynomial: sp.Expr, one: sp.Expr, other: sp.Expr, zero: int) -> sp.Expr:
    """∫₀¹ polynomial · one · other da by parts, the polynomial's integral U vanishing at `zero`, so that U·one·other does at 0 and 1."""
    upper = sp.integrate(polynomial, a)
    upper = sp.factor(upper - upper.subs(a, zero))
    return -_single(sp.cancel(upper * sp.diff(one, a)), other) - _single(sp.cancel(upper * sp.diff(other, a)), one)


def _bigram() -> tuple[sp.Expr, sp.Expr]:
    """∫ a h(a) ln(1 + 1/a) da in closed form, and with it 2 ∫ h(a) E[π_0 | a] da."""
    low, high, plus = sp.log(a), sp.log(1 - a), sp.log(1 + a)
    product = (
        _double(-(a**2), low, plus, -1)
        + _double(-a * (1 - a), high, plus, 1)
        + _double(a**2, low, low, 0)
        + _double(a * (1 - a), high, low, 0)
    )
    return sp.expand(product), sp.expand(2 * sp.integrate(sp.expand(h(a)), (a, 0, 1)) - 2 * product)


crossed, bigram = _bigram()
unigram = sp.expand(_moment(0, sp.log(1 + a)) - _moment(0, sp.log(a)) + _poles[sp.log(a), 1 + a])

integrals = sp.Integral(2 * h(a) * conditional, (a, 0, 1)), sp.Integral(spread, (r, 0, 1))
"""Losses of bigram and unigram, before integration."""


def derive() -> Derivation:
    """E Σ_i π_i H(P_i) and E H(π) for k = 2, flat Dirichlet rows."""
    return Derivation(
        name="ideal-limit-losses",
        title="Two states, flat rows: losses of bigram and unigram as T → ∞",
        statement=sp.Eq(sp.ImmutableMatrix(integrals), sp.ImmutableMatrix([bigram, unigram]), evaluate=False),
        symbols={
            a: "probability of leaving state 0, uniform on [0, 1]",
            r: "ratio a/b of the probabilities of leaving, folded to r < 1",
        },
        assumptions=(
            "a and b independent and uniform",
            "counts have concentrated: bigram predicts P_i and unigram predicts π",
        ),
        validity="k = 2, concentration 1, T → ∞; nats per token; first entry bigram, second unigram.",
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step(
                "bigram",
                (b * h(a) + a * h(b)) / (a + b),
                "the entropy rate Σ_i π_i H(P_i), to be averaged over a and b",
            ),
            Step("average over b", conditional, "the terms i = 0 and 1 have equal means; this is ∫₀¹ b/(a+b) db"),
            Step(
                "by parts",
                sp.Eq(sp.Integral(a * h(a) * sp.log(1 + 1 / a), (a, 0, 1)), crossed),
                "four products of logarithms",
            ),
            Step("bigram's loss", bigram, "2 ∫ h(a) da = 1, less twice that"),
            Step(
                "unigram: put a = r b",
                spread,
                "∫₀¹ b db = 1/2 is the density of r < 1; r > 1 contributes as much again",
            ),
            Step("unigram's loss", unigram, "∫₀¹ ln(1+r) - ln r + ln(r)/(1+r) dr, the last Li₂(-1)"),
        ),
        checks=[
            Check("average", "∫ b/(a+b) db and the split of h(r/(1+r)) with the steps, symbolically", _steps),
            Check(
                "thirty-digits",
                "closed forms with the integrals of the statement, by tanh-sinh quadrature",
                _thirty_digits,
            ),
            Check("general", "integrals for any concentration, at α = 1, with the closed forms", _flat),
            Check("quadrature", "integrals for α = 1/2 and 2 with onset.theory.markov.ideal.limit_loss", _limit_loss),
        ],
    )


def _steps() -> Outcome:
    average = sp.diff(b - a * sp.log(a + b), b) - b / (a + b)
    ends = (b - a * sp.log(a + b)).subs(b, 1) - (b - a * sp.log(a + b)).subs(b, 0) - conditional
    split = (
        sp.expand_log(sp.together(h(r / (1 + r)).replace(sp.log, lambda p: sp.log(sp.together(p)))), force=True)
        - spread
    )
    return Outcome.identity(average, ends, split)


def _thirty_digits() -> Outcome:
    with mpmath.workdps(40):
        worst = mpmath.mpf(0)
        for integral, closed in zip(integrals, (bigram, unigram), strict=True):
            value = _quadrature(integral.function)  # pyright: ignore[reportArgumentType]
            worst = max(worst, abs(value - mpmath.mpf(sp.N(closed, 40))))
    return Outcome(float(worst), 1e-30, "thirty decimals; computed with forty")


def _quadrature(integrand: sp.Expr) -> Any:
    (variable,) = integrand.free_symbols
    return mpmath.quad(sp.lambdify(variable, integrand, "mpmath"), [0, 0.5, 1])


def general(concentration: float) -> tuple[float, float]:
    """(bigram, unigram) losses as T → ∞ for two states and Dirichlet rows of any `concentration`, nats per token."""
    bigram, unigram = (
        _quadrature(g.subs(alpha, sp.nsimplify(concentration))) for g in (general_bigram, general_unigram)
    )
    return float(bigram), float(unigram)


def _flat() -> Outcome:
    differences = np.subtract(general(1.0), [float(bigram), float(unigram)])
    return Outcome(
        float(np.abs(differences).max()), 1e-14, "mpmath's default 15 digits of numbers below 1, and their sum"
    )


def _limit_loss() -> Outcome:
    worst = 0.0
    for concentration in (0.5, 2.0):
        for strategy, value in zip(("bigram", "unigram"), general(concentration), strict=True):
            found = limit_loss(Dirichlet(2, concentration), strategy, tolerance=1e-4)
            worst = max(worst, abs(found.value - value) / found.error)
    return Outcome(
        worst, 1.0, "the cubature's own error estimates, at most 1e-4 nats; the residual is in units of them"
    )

r"""Losses of the bigram and the unigram strategy as T → ∞, two states with flat rows, in closed form.

Both expectations over (a, b), uniform on the unit square, become single integrals of products of at most two logarithms
with polynomials. Integration by parts and four values of the dilogarithm solve them. The single integrals are also
given for any concentration, where they hold hypergeometric functions and are left to quadrature.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.quadrature import evaluated
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.derivations.two_state_chain import a, b, entropy_rate
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
    """∫₀¹ a^power log da by parts, `log` that of a, 1 + a or 1 - a, whose zero is one of the integral of a^power."""
    (zero,) = sp.roots(log.args[0], a)
    integral = (a ** (power + 1) - zero ** (power + 1)) / (power + 1)
    boundary = integral.subs(a, 1) * sp.log(2) if zero == -1 else 0  # the other two vanish at 0 and at 1
    return boundary - sp.integrate(sp.cancel(integral * sp.diff(log, a)), (a, 0, 1))


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


def _double(polynomial: sp.Expr, first: sp.Expr, second: sp.Expr, zero: int) -> sp.Expr:
    """∫₀¹ polynomial · first · second da by parts.

    The polynomial's integral vanishes at `zero`, so that its product with both logarithms vanishes at 0 and 1.
    """
    integral = sp.integrate(polynomial, a)
    integral = sp.factor(integral - integral.subs(a, zero))
    return -sp.Add(
        _single(sp.cancel(integral * sp.diff(first, a)), second),
        _single(sp.cancel(integral * sp.diff(second, a)), first),
    )


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


@derives("ideal-limit-losses")
def derive() -> Expressions:
    r"""Two states, flat rows: losses of bigram and unigram as $T \to \infty$

    Symbols
    -------
    a : probability of leaving state 0, uniform on $[0, 1]$
    b : probability of leaving state 1, likewise
    r : ratio $a/b$, folded to $r < 1$
    h : entropy of two outcomes as a function of the probability of one
    P, pi, H, k, T

    Assumptions
    -----------
    - $a$ and $b$ independent and uniform
    - counts have concentrated: bigram predicts $P_i$ and unigram predicts $\pi$

    Steps
    -----
    - bigram: the entropy rate $\sum_i \pi_i H(P_i)$, to be averaged over $a$ and $b$ [rate]
    - average over $b$: the terms $i = 0$ and 1 have equal means; this is $\int_0^1 b/(a+b)\,db$ [conditional]
    - by parts: four products of logarithms [by_parts]
    - bigram's loss: $2 \int_0^1 h(a)\,da = 1$, less twice that
    - unigram, with $a = r b$: $\int_0^1 b\,db = 1/2$ is the density of $r < 1$; $r > 1$ contributes as much again
      [spread]
    - unigram's loss: $\int_0^1 [\ln(1+r) - \ln r + \ln(r)/(1+r)]\,dr$, the last $\operatorname{Li}_2(-1)$

    Validity
    --------
    $k = 2$, concentration 1, $T \to \infty$; nats per token; the first entry is bigram's loss, the second unigram's.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(sp.Matrix(integrals), sp.ImmutableMatrix([bigram, unigram])),
        "rate": (b * h(a) + a * h(b)) / (a + b),
        "conditional": conditional,
        "by_parts": equation(sp.Integral(a * h(a) * sp.log(1 + 1 / a), (a, 0, 1)), crossed),
        "spread": spread,
    }


@check("$\\sum_i \\pi_i H(P_i)$ with the entropy rate of derivation two-state-chain, symbolically")
def _entropy_rate(rate: Any) -> Identities:
    return (sp.expand_log(rate - entropy_rate, force=True),)


@check(r"$\int b/(a+b)\,db$ and the split of $h(r/(1+r))$ with the steps, symbolically")
def _average(conditional: Any, spread: Any) -> Identities:
    integral = b - a * sp.log(a + b)
    entropy = h(r / (1 + r)).replace(sp.log, lambda p: sp.log(sp.together(p)))
    return (
        sp.diff(integral, b) - b / (a + b),
        integral.subs(b, 1) - integral.subs(b, 0) - conditional,
        sp.expand_log(sp.together(entropy), force=True) - spread,
    )


@check("closed forms with the integrals of the statement, by tanh-sinh quadrature")
def _thirty_digits(statement: Any) -> Residual:
    return _to_thirty_digits(zip(statement.lhs, statement.rhs, strict=True))


@check("the integral by parts by tanh-sinh quadrature")
def _by_parts(by_parts: Any) -> Residual:
    return _to_thirty_digits([by_parts.args])


def _to_thirty_digits(pairs: Iterable[tuple[Any, Any]]) -> Residual:
    """Largest difference between expressions of integrals and closed forms."""
    differences = [abs(evaluated(integrals - closed, digits=40)) for integrals, closed in pairs]
    return Residual(float(worst(*differences)), 1e-30, "thirty decimals; computed with forty")


def general(concentration: float) -> tuple[float, float]:
    """(bigram, unigram) losses as T → ∞ for two states and Dirichlet rows of any `concentration`, nats per token.

    Below 1/2 unigram's integrand grows like (1-r)^{2α-1} as r → 1, where Euler's transformation of the hypergeometric
    function and Gauss's value of it at 1 give the factor; this power is integrated on its own.
    """
    value = sp.nsimplify(concentration)
    power, power_integral = (1 - r) ** (2 * alpha - 1), 1 / (2 * alpha)
    at_one = sp.gamma(3 * alpha) * sp.gamma(1 - 2 * alpha) / sp.gamma(2 * alpha) / sp.gamma(1 - alpha)
    part = 2 * _ratio * at_one * sp.log(2) if value < sp.Rational(1, 2) else sp.Integer(0)
    bigram = sp.Integral(general_bigram, (a, 0, 1))
    unigram = sp.Integral(general_unigram - part * power, (r, 0, 1)) + part * power_integral
    return float(evaluated(bigram, {alpha: value})), float(evaluated(unigram, {alpha: value}))


@check("integrals for any concentration, at concentration 1, with the closed forms")
def _general() -> Residual:
    differences = np.subtract(general(1.0), [float(bigram), float(unigram)])
    because = "mpmath's default 15 digits of numbers below 1, and their sum"
    return Residual(float(np.abs(differences).max()), 1e-14, because)


@check("integrals for concentrations .001, .1, 1/2 and 2 with `onset.theory.markov.ideal.limit_loss`")
def _quadrature() -> Residual:
    largest = 0.0
    for concentration in (0.001, 0.1, 0.5, 2.0):
        for strategy, value in zip(("bigram", "unigram"), general(concentration), strict=True):
            loss = limit_loss(Dirichlet(2, concentration), strategy, tolerance=1e-4)
            largest = worst(largest, abs(loss.value - value) / loss.error)
    because = "the cubature's own error estimates, at most 1e-4 nats; the residual is in units of them"
    return Residual(largest, 1.0, because)

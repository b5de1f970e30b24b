r"""Two states at finite T: evidence and classes of sequences, behind the exact losses of unigram, bigram and Bayes.

`onset.theory.markov.bayes` sums over classes of sequences; its two formulas stand here as sympy expressions, against
which it is checked. The Bayes losses sum to the entropy of the whole sequence, which ties them to the limits: the
bigram strategy's excess over Bayes is bounded in total, by the information that the first token holds on P.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from scipy.special import entr

from onset.theory.arrays import Array
from onset.theory.derivations import ideal_limit_losses
from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.derivations.two_state_chain import a, b
from onset.theory.markov.bayes import PositionLosses, class_evidence, class_sizes, position_losses
from onset.theory.markov.ideal import finite_loss
from onset.theory.markov.priors import Dirichlet

__all__ = ["FLAT_CONTEXT", "alpha", "derive", "evidence", "first_token", "flat_losses", "other", "same"]

c, alpha = sp.symbols("c alpha", positive=True)
y = sp.Symbol("y", real=True)
m = sp.Symbol("m", integer=True, positive=True)
n00, n11, back = sp.symbols("n_00 n_11 n_10", integer=True, nonnegative=True)
z = c + sp.I * y


split = sp.gamma(z) * sp.gamma(1 - z) * a**-z * b ** (z - 1) / (2 * sp.pi)
"""1/(a+b) is the integral of this over y, z = c + iy, 0 < c < 1."""

evidence = (
    sp.gamma(z) * sp.gamma(1 - z) * sp.beta(m + alpha - z, n00 + alpha) * sp.beta(back + alpha + z, n11 + alpha)
) / (2 * sp.pi * sp.beta(alpha, alpha) ** 2)
"""Z of a class with m moves 0 → 1 is the integral of this over y, 0 < c < min(1, α)."""

same = sp.binomial(n00 + m, m) * sp.binomial(n11 + m - 1, m - 1)
other = sp.binomial(n00 + m - 1, m - 1) * sp.binomial(n11 + m - 1, m - 1)
"""Number of sequences in a class that starts in 0 and ends in 0, or in 1."""

_contour = (y, -sp.oo, sp.oo)

first_token = sp.log(2) - ideal_limit_losses.unigram
"""ln 2 - E H(π) for flat rows: information of a stationary first token on P, nats."""


@derives("ideal-finite-losses")
def derive() -> Expressions:
    r"""Two states, finite context: probability of a sequence under the prior

    Symbols
    -------
    Z(m, n_10, n_00, n_11) : probability of one sequence from $x_1 = 0$, expected over the prior and the stationary
        start
    m : moves $0 \to 1$
    n_10 : moves $1 \to 0$: $m$ if the last token is 0, $m - 1$ if it is 1
    n_00 : repetitions of 0
    n_11 : repetitions of 1
    a : probability of $0 \to 1$
    b : probability of $1 \to 0$
    c : real part of the path of integration
    y : imaginary part on the path of integration
    z : $c + iy$
    alpha, x_t, P, pi, H, T

    Assumptions
    -----------
    - two independent Dirichlet rows
    - first token from the stationary law

    Steps
    -----
    - Mellin-Barnes: residues at $z = 0, -1, \dots$ sum the geometric series in $a/b$ [split]
    - evidence: $\mathbb{E} (1-a)^{n_{00}} a^m b^{n_{10}} (1-b)^{n_{11}} b/(a+b)$: $a$ and $b$ separate, which gives the
      statement
    - class ending in 0: $m + 1$ runs of 0 share $n_{00}$ repetitions, $m$ runs of 1 share $n_{11}$ [same]
    - class ending in 1: $m$ runs of each [other]
    - bigram less Bayes, summed over positions as $T \to \infty$, flat rows: bigram is Bayes for a first token without
      information; the rest is $\mathbb{E} \ln(\pi_{x_1}/(1/2)) = \ln 2 - \mathbb{E} H(\pi)$ [first_token]

    Validity
    --------
    $0 < c < \min(1, \alpha)$; any length. Bayes predicts $Z$ of one token more over $Z$.

    Source
    ------
    derived here; number of sequences in a class: Whittle, J. R. Stat. Soc. B 17 (1955), 235-242

    References
    ----------
    whittle1955some, trefethen2014exponentially
    """
    Z = sp.Function("Z")(m, back, n00, n11)
    return {
        "statement": equation(Z, sp.Integral(evidence, _contour)),
        "split": equation(1 / (a + b), sp.Integral(split, _contour)),
        "same": same,
        "other": other,
        "first_token": first_token,
    }


@check("class sizes with Whittle's cofactor formula, symbolically")
def _whittle(same: Any, other: Any) -> Identities:
    def arrangements(repeats: sp.Expr, leaves: sp.Expr) -> sp.Expr:
        return sp.gamma(repeats + leaves + 1) / sp.gamma(repeats + 1) / sp.gamma(leaves + 1)

    for leaves, cofactor, size in ((m, m / (m + n11), same), (m - 1, m / (m + n00), other)):
        formula = arrangements(n00, m) * arrangements(n11, leaves) * cofactor
        yield sp.gammasimp((size - formula).rewrite(sp.gamma) / formula)


@check("class sizes, and `onset.theory.markov.bayes.class_sizes`, with a count of all sequences of 12 tokens")
def _enumeration(same: Any, other: Any) -> Residual:
    length = 12
    tokens = (np.arange(2 ** (length - 1))[:, None] >> np.arange(length - 1)) & 1
    tokens = np.hstack([np.zeros((len(tokens), 1), dtype=int), tokens])
    moves, stays = (np.sum((tokens[:, :-1] == 0) & (tokens[:, 1:] == j), axis=1) for j in (1, 0))
    wrong = 0.0
    for last, (sizes, printed) in enumerate(zip(class_sizes(length), (same, other), strict=True)):
        counted = np.zeros_like(sizes)
        np.add.at(counted, (moves[tokens[:, -1] == last], stays[tokens[:, -1] == last]), 1)
        wrong += np.abs(counted - sizes).sum()
        moved, stayed = np.nonzero(counted)
        known = moved > 0  # without a move there is one sequence, and no class
        rest = length - 1 - 2 * moved + last - stayed
        by_formula = sp.lambdify((m, n00, n11), printed, "scipy")(moved[known], stayed[known], rest[known])
        wrong += np.abs(counted[moved[known], stayed[known]] - by_formula).sum()
    return Residual(float(wrong), 0.0, "whole numbers")


ROUNDING = 1e-12
"""Largest relative error of an evidence: a dozen log-Gammas of up to T ln T ≈ 1,000, each rounded to 1e-16 of that."""

LOG_GAMMA = "rounding of log-Gamma functions in `onset.theory.markov.bayes`"


def _valued(expression: Any, along: Callable[[Any], float]) -> float:
    """Value of an expression of contour integrals, each of whose integrands `along` integrates over y."""
    return float(expression.subs({c: sp.Float(along(c.function), 30) for c in expression.atoms(sp.Integral)}))


def _along(integrand: Any) -> Any:
    """By tanh-sinh quadrature at 30 digits; the integrand, conjugate in y, falls like e^{-π|y|}."""
    with mpmath.workdps(30):
        function = sp.lambdify(y, integrand, "mpmath")
        return 2 * mpmath.quad(lambda x: function(x).real, [0, 1, 4, 10, 25])  # pyright: ignore[reportArgumentType]


def _quickly(integrand: Any) -> float:
    """By the trapezoidal rule, whose error is e^{-2πd/h}, d the distance of the poles from the path: to rounding."""
    at = np.arange(-480, 481) / 32
    return float(sp.lambdify(y, integrand.rewrite(sp.gamma), "scipy")(at).real.sum() / 32)


def _by_gauss(moves: int, returns: int, stay: int, rest: int) -> float:
    """Evidence under flat rows by Gauss quadrature over a < b and b < a.

    With r = a/b the integrand is polynomial in b, in r over 1 + r: 40 Gauss points are off by (3 + √8)^{-60}.
    """
    ratio, large, weights = _squares()
    return sum(
        float(np.sum(weights * p**moves * (1 - p) ** stay * q**returns * (1 - q) ** rest * q / (p + q)))
        for p, q in ((ratio * large, large), (large, ratio * large))
    )


@cache
def _squares() -> tuple[Array, Array, Array]:
    node, weight = np.polynomial.legendre.leggauss(40)
    ratio, large = np.meshgrid((node + 1) / 2, (node + 1) / 2)
    return ratio, large, np.outer(weight, weight) / 4 * large


@check("contour integral of the first step with $1/(a+b)$, $a/b = 1/20$, 1 and 20")
def _split(split: Any) -> Residual:
    largest = 0.0
    for ratio in (sp.Rational(1, 20), sp.Integer(1), sp.Integer(20)):
        known = {a: ratio, b: sp.Integer(2), c: sp.Rational(1, 2)}
        largest = worst(largest, abs(_valued((split.rhs / split.lhs).subs(known), _quickly) - 1))
    return Residual(largest, 1e-13, "a thousand roundings of 1e-16 in the trapezoidal rule")


@check("the statement with Gauss quadrature over $a < b$ and $b < a$, classes of 4 tokens, three paths")
def _short(statement: Any) -> Residual:
    largest = 0.0
    cases = ((0, 1, 1), (1, 1, 1), (0, 1, 0), (1, 2, 0))
    for (last, moves, stay), real in zip(cases, (0.2, 0.5, 0.7, 0.5), strict=True):
        returns, rest = moves - last, 3 - 2 * moves + last - stay
        known = {m: moves, n00: stay, back: returns, n11: rest, alpha: 1, c: real}
        exact = _by_gauss(moves, returns, stay, rest)
        largest = worst(largest, abs(_valued(statement.rhs.subs(known), _quickly) / exact - 1))
    return Residual(largest, 1e-13, "a thousand roundings of 1e-16 in either rule")


@check("the statement at 30 digits with `onset.theory.markov.bayes.class_evidence`")
def _evidence(statement: Any) -> Residual:
    length, largest = 60, 0.0
    for value in (sp.Rational(1, 2), sp.Integer(3)):
        computed = class_evidence(Dirichlet(2, float(value)), length)
        for last, moves, stay in ((0, 29, 1), (1, 12, 20)):
            counts = {m: moves, n00: stay, back: moves - last, n11: length - 1 - 2 * moves + last - stay}
            known = {alpha: value, c: sp.Min(value, 1) / 2, **counts}
            exact = _valued(statement.rhs.subs(known), _along)
            largest = worst(largest, abs(float(computed[last][moves, stay]) / exact - 1))
    return Residual(largest, ROUNDING, LOG_GAMMA)


@check("`class_evidence` with Gauss quadrature over $a < b$ and $b < a$, all classes of 12 tokens")
def _fold() -> Residual:
    length, prior, largest = 12, Dirichlet(2), 0.0
    for last, (computed, sizes) in enumerate(zip(class_evidence(prior, length), class_sizes(length), strict=True)):
        for moves, stay in zip(*np.nonzero(sizes), strict=True):
            exact = _by_gauss(moves, moves - last, stay, length - 1 - 2 * moves + last - stay)
            largest = worst(largest, abs(computed[moves, stay] / exact - 1))
    return Residual(float(largest), ROUNDING, LOG_GAMMA)


@check("sum of sizes times evidence with 1/2, 201 tokens, concentrations 1/2, 1 and 3")
def _total() -> Residual:
    largest = 0.0
    for value in (0.5, 1.0, 3.0):
        pairs = zip(class_sizes(201), class_evidence(Dirichlet(2, value), 201), strict=True)
        largest = worst(largest, abs(sum(float(np.sum(sizes * computed)) for sizes, computed in pairs) - 0.5))
    return Residual(largest, ROUNDING, LOG_GAMMA)


@check("sum of the Bayes losses with the entropy of 101 tokens less that of one")
def _chain_rule() -> Residual:
    pairs = zip(class_sizes(101), class_evidence(Dirichlet(2), 101), strict=True)
    entropy = 2 * sum(float(np.sum(sizes * entr(computed))) for sizes, computed in pairs)
    difference = abs(float(entropy - np.log(2) - position_losses(Dirichlet(2), 100).bayes.sum()))
    return Residual(difference, 100 * ROUNDING, "100 losses, each below ln 2, with the evidence's rounding")


@check("means over 40 positions with `onset.theory.markov.ideal.finite_loss`")
def _finite_loss() -> Residual:
    largest = 0.0
    for prior in (Dirichlet(2), Dirichlet(2, 0.5)):
        exact = position_losses(prior, 40)
        for strategy, losses in (("unigram", exact.unigram), ("bigram", exact.bigram)):
            loss = finite_loss(prior, strategy, 40, tolerance=1e-6)
            largest = worst(largest, abs(loss.value - losses.mean()) / (loss.error + ROUNDING))
    because = "the cubature's own error estimates, at most 1e-6 nats; the residual is in units of them"
    return Residual(float(largest), 1.0, because)


FLAT_CONTEXT = 256
"""Context up to which the losses of two states are summed."""


@cache
def flat_losses() -> PositionLosses:
    """Losses of two states, flat rows, at positions 1 … `FLAT_CONTEXT`."""
    return position_losses(Dirichlet(2), FLAT_CONTEXT)


@check(r"sum of bigram less Bayes, flat rows, extrapolated to $T \to \infty$, with $\ln 2 - \mathbb{E} H(\pi)$")
def _first_token(first_token: Any) -> Residual:
    """The limit through T, T/2, T/4 and T/8 by 1, 1/T, ln(T)/T² and 1/T²."""
    total = np.cumsum(flat_losses().bigram - flat_losses().bayes)
    t = FLAT_CONTEXT / 2.0 ** np.arange(4)
    powers = np.stack([np.ones(4), 1 / t, np.log(t) / t**2, 1 / t**2], axis=1)
    values = total[t.astype(int) - 1]
    fewer, more = (np.linalg.solve(powers[:terms, :terms], values[:terms])[0] for terms in (3, 4))
    return Residual(
        abs(float(more) - float(first_token)),
        abs(float(more - fewer)),
        f"change by the last term of the fit; limit {more:.6f}, and {total[-1]:.6f} at $T = {FLAT_CONTEXT}$",
    )

r"""Two states at finite T: evidence and classes of sequences, behind the exact losses of unigram, bigram and Bayes.

`onset.theory.markov.bayes` sums over classes of sequences; its two formulas are here as sympy expressions, against which it is checked.
The Bayes losses sum to the entropy of the whole sequence, which ties them to the limits: what the bigram strategy
loses against Bayes is bounded in total, by the information that the first token holds on P.
"""

from __future__ import annotations

from functools import cache

import mpmath
import numpy as np
import sympy as sp
from scipy.special import entr

from onset.theory.derivations import ideal_limit_losses
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.derivations.two_state_chain import a, b
from onset.theory.markov.bayes import PositionLosses, class_evidence, class_sizes, position_losses
from onset.theory.markov.ideal import finite_loss
from onset.theory.markov.priors import Dirichlet

__all__ = ["LONGEST", "alpha", "derive", "evidence", "first_token", "flat_losses", "other", "same"]

c, alpha = sp.symbols("c alpha", positive=True)
w = sp.Symbol("omega", real=True)
m = sp.Symbol("m", integer=True, positive=True)
n00, n11, back = sp.symbols("n_00 n_11 n_10", integer=True, nonnegative=True)
z = c + sp.I * w


def _beta(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    return sp.gamma(x) * sp.gamma(y) / sp.gamma(x + y)


split = sp.gamma(z) * sp.gamma(1 - z) * a**-z * b ** (z - 1) / (2 * sp.pi)
"""1/(a+b) is the integral of this over ω, z = c + iω, 0 < c < 1."""

evidence = (
    sp.gamma(z) * sp.gamma(1 - z) * _beta(m + alpha - z, n00 + alpha) * _beta(back + alpha + z, n11 + alpha)
) / (2 * sp.pi * _beta(alpha, alpha) ** 2)
"""Z of a class with m moves 0 → 1 is the integral of this over ω, 0 < c < min(1, α)."""

same = sp.binomial(n00 + m, m) * sp.binomial(n11 + m - 1, m - 1)
other = sp.binomial(n00 + m - 1, m - 1) * sp.binomial(n11 + m - 1, m - 1)
"""Sequences in a class that starts in 0 and ends in 0, or in 1."""


_contour = (w, -sp.oo, sp.oo)

first_token = sp.log(2) - ideal_limit_losses.unigram
"""ln 2 - E H(π) for flat rows: information of a stationary first token on P, nats."""


def derive() -> Derivation:
    """Evidence of a sequence from a stationary start, and what sums over sequences become."""
    name = sp.Function("Z")(m, back, n00, n11)
    return Derivation(
        name="ideal-finite-losses",
        title="Two states, finite context: probability of a sequence under the prior",
        statement=sp.Eq(name, sp.Integral(evidence, _contour), evaluate=False),
        symbols={
            name: "probability of one sequence from x_1 = 0, as expected over the prior and the stationary start",
            m: "moves 0 → 1",
            back: "moves 1 → 0: m if the last token is 0, m - 1 if it is 1",
            n00: "repetitions of 0",
            n11: "repetitions of 1",
            alpha: "Dirichlet concentration per entry",
            c: "real part of the path of integration",
        },
        assumptions=("two independent Dirichlet rows", "first token from the stationary law"),
        validity="0 < c < min(1, α); any length. Bayes predicts Z(one token more)/Z.",
        source="derived here; number of sequences in a class: Whittle, J. R. Stat. Soc. B 17 (1955), 235-242",
        references=("whittle1955some", "trefethen2014exponentially"),
        steps=(
            Step(
                "Mellin-Barnes",
                sp.Eq(1 / (a + b), sp.Integral(split, _contour)),
                "residues at z = 0, -1, … sum the geometric series in a/b",
            ),
            Step(
                "evidence", sp.Integral(evidence, _contour), "E (1-a)^n00 a^m b^n10 (1-b)^n11 b/(a+b): a and b separate"
            ),
            Step("class ending in 0", same, "m + 1 runs of 0 share n_00 repetitions, m runs of 1 share n_11"),
            Step("class ending in 1", other, "m runs of each"),
            Step(
                "Σ_t (bigram - Bayes) as T → ∞, flat",
                first_token,
                "bigram is Bayes for a first token without information; the rest is E ln(π_{x_1}/(1/2)) = ln 2 - E H(π)",
            ),
        ),
        checks=[
            Check(
                "split", "contour integral of the first step with 1/(a+b), a/b = 1/20, 1 and 20, at 30 digits", _split
            ),
            Check("whittle", "class sizes with Whittle's cofactor formula, symbolically", _whittle),
            Check(
                "enumeration",
                "onset.theory.markov.bayes.class_sizes with a count of all sequences of 12 tokens",
                _enumeration,
            ),
            Check("evidence", "the statement at 30 digits with onset.theory.markov.bayes.class_evidence", _evidence),
            Check(
                "fold",
                "onset.theory.markov.bayes.class_evidence with Gauss quadrature over a < b and b < a, all classes of 12 tokens",
                _fold,
            ),
            Check("total", "Σ sizes × evidence with 1/2, 201 tokens, α = 1/2, 1 and 3", _total),
            Check("chain-rule", "Σ_t Bayes losses with the entropy of 101 tokens less that of one", _chain_rule),
            Check("finite-loss", "means over 40 positions with onset.theory.markov.ideal.finite_loss", _finite_loss),
            Check("first-token", "Σ_t (bigram - Bayes), flat, extrapolated to T → ∞, with ln 2 - E H(π)", _bounded),
        ],
    )


def _whittle() -> Outcome:
    def arrangements(repeats: sp.Expr, leaves: sp.Expr) -> sp.Expr:
        return sp.gamma(repeats + leaves + 1) / sp.gamma(repeats + 1) / sp.gamma(leaves + 1)

    differences = []
    for leaves, cofactor, mine in ((m, m / (m + n11), same), (m - 1, m / (m + n00), other)):
        formula = arrangements(n00, m) * arrangements(n11, leaves) * cofactor
        differences.append(sp.gammasimp((mine - formula).rewrite(sp.gamma) / formula))
    return Outcome.identity(*differences)


def _enumeration() -> Outcome:
    length = 12
    tokens = (np.arange(2 ** (length - 1))[:, None] >> np.arange(length - 1)) & 1
    tokens = np.hstack([np.zeros((len(tokens), 1), dtype=int), tokens])
    out, stay = (np.sum((tokens[:, :-1] == 0) & (tokens[:, 1:] == j), axis=1) for j in (1, 0))
    missed = 0.0
    for last, sizes in enumerate(class_sizes(length)):
        counted = np.zeros_like(sizes)
        np.add.at(counted, (out[tokens[:, -1] == last], stay[tokens[:, -1] == last]), 1)
        missed += np.abs(counted - sizes).sum()
    return Outcome(float(missed), 0.0, "whole numbers")


ROUNDING = 1e-12
"""Largest relative error of an evidence: a dozen log-Gammas of up to T ln T ≈ 1,000, each with a rounding error of 1e-16 of that."""


def _along(integrand: sp.Expr) -> float:
    """Integral over ω by tanh-sinh quadrature at 30 digits; the integrand falls like e^{-π|ω|} and is conjugate in ω."""
    with mpmath.workdps(30):
        function = sp.lambdify(w, integrand, "mpmath")
        return float(2 * mpmath.quad(lambda x: function(x).real, [0, 1, 4, 10, 25]))  # pyright: ignore[reportArgumentType]


def _split() -> Outcome:
    worst = 0.0
    for ratio in (sp.Rational(1, 20), sp.Integer(1), sp.Integer(20)):
        found = _along(split.subs({a: ratio, b: 1, c: sp.Rational(1, 2)}))
        worst = max(worst, abs(found * float(1 + ratio) - 1))
    return Outcome(worst, 1e-15, "a few roundings of the comparison in doubles; the integral has 30 digits")


def _evidence() -> Outcome:
    length, worst = 60, 0.0
    for value in (sp.Rational(1, 2), sp.Integer(3)):
        found = class_evidence(Dirichlet(2, float(value)), length)
        for last, moves, stay in ((0, 29, 1), (1, 12, 20)):
            counts = {m: moves, n00: stay, back: moves - last, n11: length - 1 - 2 * moves + last - stay}
            exact = _along(evidence.subs({alpha: value, c: sp.Min(value, 1) / 2, **counts}))
            worst = max(worst, abs(float(found[last][moves, stay]) / exact - 1))
    return Outcome(worst, ROUNDING, "rounding of log-Gamma functions in onset.theory.markov.bayes")


def _fold() -> Outcome:
    """With a = ρb the integrand is a polynomial in b and one in ρ over 1 + ρ: 40 Gauss points err by (3 + √8)^{-60}."""
    length, prior = 12, Dirichlet(2)
    x, w = np.polynomial.legendre.leggauss(40)
    ratio, large = np.meshgrid((x + 1) / 2, (x + 1) / 2)
    weights = np.outer(w, w) / 4 * large
    worst = 0.0
    for last, (found, sizes) in enumerate(zip(class_evidence(prior, length), class_sizes(length), strict=True)):
        for moves, stay in zip(*np.nonzero(sizes), strict=True):
            returns, rest = moves - last, length - 1 - 2 * moves + last - stay
            exact = sum(
                np.sum(weights * p**moves * (1 - p) ** stay * q**returns * (1 - q) ** rest * q / (p + q))
                for p, q in ((ratio * large, large), (large, ratio * large))
            )
            worst = max(worst, abs(found[moves, stay] / exact - 1))
    return Outcome(float(worst), ROUNDING, "rounding of log-Gamma functions in onset.theory.markov.bayes")


def _total() -> Outcome:
    worst = 0.0
    for value in (0.5, 1.0, 3.0):
        pairs = zip(class_sizes(201), class_evidence(Dirichlet(2, value), 201), strict=True)
        worst = max(worst, abs(sum(float(np.sum(sizes * found)) for sizes, found in pairs) - 0.5))
    return Outcome(worst, ROUNDING, "rounding of log-Gamma functions in onset.theory.markov.bayes")


def _chain_rule() -> Outcome:
    pairs = zip(class_sizes(101), class_evidence(Dirichlet(2), 101), strict=True)
    entropy = 2 * sum(float(np.sum(sizes * entr(found))) for sizes, found in pairs)
    found = position_losses(Dirichlet(2), 100).bayes.sum()
    return Outcome(
        abs(float(entropy - np.log(2) - found)),
        100 * ROUNDING,
        "100 losses, each below ln 2, with the evidence's rounding",
    )


def _finite_loss() -> Outcome:
    worst = 0.0
    for prior in (Dirichlet(2), Dirichlet(2, 0.5)):
        exact = position_losses(prior, 40)
        for strategy, losses in (("unigram", exact.unigram), ("bigram", exact.bigram)):
            found = finite_loss(prior, strategy, 40, tolerance=1e-6)
            worst = max(worst, abs(found.value - losses.mean()) / (found.error + ROUNDING))
    return Outcome(
        float(worst), 1.0, "the cubature's own error estimates, at most 1e-6 nats; the residual is in units of them"
    )


LONGEST = 256
"""Context up to which the losses of two states are summed."""


@cache
def flat_losses() -> PositionLosses:
    """Losses of two states, flat rows, at positions 1 … `LONGEST`."""
    return position_losses(Dirichlet(2), LONGEST)


def _bounded() -> Outcome:
    """The limit through T, T/2, T/4 and T/8 by 1, 1/T, ln(T)/T² and 1/T²."""
    total = np.cumsum(flat_losses().bigram - flat_losses().bayes)
    t = LONGEST / 2.0 ** np.arange(4)
    powers = np.stack([np.ones(4), 1 / t, np.log(t) / t**2, 1 / t**2], axis=1)
    values = total[t.astype(int) - 1]
    fewer, more = (np.linalg.solve(powers[:terms, :terms], values[:terms])[0] for terms in (3, 4))
    return Outcome(
        abs(float(more) - float(first_token)),
        abs(float(more - fewer)),
        f"change by the last term of the fit; found {more:.6f}, and {total[-1]:.6f} at T = {LONGEST}",
    )

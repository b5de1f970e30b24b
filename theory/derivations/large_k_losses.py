r"""Losses of the bigram and the unigram strategy as T → ∞ for many states, in powers of 1/k.

The stationary law is nearly uniform: kπ = 1 + δ with δ = 1ᵀ(X + X² + …), X = P - 1/k, whose terms δ₁, δ₂, … are of size
(kα)^{-1/2}, (kα)^{-1}, …. To the order kept, π is distributed like one Dirichlet draw of concentration kα per entry, so
that both losses have one form, the entropy of a Dirichlet draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, cast

import mpmath
import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Identities, Residual, check, worst
from onset.theory.derivations.quadrature import mean_over_entry
from onset.theory.derivations.scores import all_zero, score_limit
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.expectation import Expectation
from onset.theory.markov.chains import entropy, stationary
from onset.theory.markov.expectations import RANDOMISATIONS, expectation
from onset.theory.markov.ideal import limit_loss
from onset.theory.markov.priors import Dirichlet

__all__ = ["alpha", "bigram", "cube", "derive", "draw", "k", "loss", "square", "unigram"]

k, alpha, epsilon = sp.symbols("k alpha epsilon", positive=True)


def draw(per_entry: sp.Expr) -> sp.Expr:
    """Expected entropy of a Dirichlet draw of k entries, nats."""
    return sp.digamma(k * per_entry + 1) - sp.digamma(per_entry + 1)


bigram = draw(alpha) - 1 / (alpha**2 * k**3) + (alpha - 2) / (alpha**3 * k**4)
unigram = draw(k * alpha)


def _factored(expression: sp.Basic) -> sp.Expr:
    return cast(sp.Expr, sp.factor(expression))


def _moment(power: int) -> sp.Expr:
    """E (P_ij - 1/k)^power of one entry of a Dirichlet row."""
    terms = (
        sp.binomial(power, n) * sp.rf(alpha, n) / sp.rf(k * alpha, n) * (-1 / k) ** (power - n)
        for n in range(power + 1)
    )
    return _factored(sp.Add(*(sp.expand_func(term) for term in terms)))


second, third = _factored(k * _moment(2)), _factored(k * _moment(3))
"""E δ₁² and E δ₁³: δ₁ sums k independent entries, one of each row."""


def _covariance_of_power(power: int) -> sp.Expr:
    """Cov(P_ii^n, H(P_i)): weighted by P_ii^n, the row is Dirichlet with α + n in place i."""
    total = k * alpha + power
    first, others = (alpha + power) / total, (k - 1) * alpha / total
    weighted = sp.digamma(total + 1) - first * sp.digamma(alpha + power + 1) - others * sp.digamma(alpha + 1)
    weight = sp.expand_func(sp.rf(alpha, power) / sp.rf(k * alpha, power))
    return _factored(sp.simplify(weight * sp.expand_func(weighted - draw(alpha))))


square = _covariance_of_power(2)
cube = _factored(_covariance_of_power(3) - 3 / k * square)
"""Cov(δ₂, H) and Cov(δ₃, H) of one state, exactly: only (P_ii - 1/k)² and (P_ii - 1/k)³ matter, as Cov(P_ii, H) = 0."""


_spread = sp.log(k) - (second + second**2) / 2 + third / 6 - 3 * second**2 / 12
"""ln k - E[δ²/2 - δ³/6 + δ⁴/12] with E δ² = E δ₁² + E δ₂², E δ₂² = (E δ₁²)², E δ⁴ = 3 (E δ₁²)²."""


@derives("large-k-losses")
def derive() -> Expressions:
    r"""Many states: losses of bigram and unigram as $T \to \infty$

    Symbols
    -------
    L_2(k, alpha) : bigram: $\mathbb{E} \sum_i \pi_i H(P_i)$, nats per token
    L_1(k, alpha) : unigram: $\mathbb{E} H(\pi)$, nats per token
    X : $P - 1/k$
    delta : entry of $k\pi - 1 = \mathbf{1}^\top (X + X^2 + \dots)$; $\delta_n$ is its term with $X^n$
    k, alpha, n, T, P, pi, H

    Assumptions
    -----------
    - independent Dirichlet rows
    - $T \to \infty$ first, so that counts have concentrated; then $k$ large

    Steps
    -----
    - entropy of a row: $-\mathbb{E} \sum_j P_{ij} \ln P_{ij}$ of a Dirichlet draw, exact [row]
    - $\delta_1$ squared: $k$ rows, independent: $k \operatorname{Var} P_{ij}$ [second]
    - $\delta_1$ cubed: likewise; $\mathbb{E} \delta_1 \delta_2 = 0$, since entries of a row are exchangeable and sum to
      a constant [third]
    - entropy of $\pi$: $H(\pi) = \ln k - (1/k) \sum_j$ of this at $\delta_j$ with $\sum_j \delta_j = 0$; $\delta_2$
      adds $(\mathbb{E} \delta_1^2)^2$ to $\mathbb{E} \delta^2$, $\delta_1 \delta_3$ and $\delta_1^2 \delta_2$ add
      nothing at this order [series]
    - collect: equals unigram's loss, $\psi(k^2\alpha + 1) - \psi(k\alpha + 1)$, up to $O(k^{-3})$ [unigram]
    - covariance of $\delta_2$ with $H(P_i)$: $\delta_1$ has none, as $\sum_j \operatorname{Cov}(P_{ij}, H(P_i)) = 0$;
      from $\delta_2$ only $(P_{ii} - 1/k)^2$ contributes [square]
    - covariance of $\delta_3$ with $H(P_i)$: likewise only $(P_{ii} - 1/k)^3$ [cube]
    - covariance of $\delta_4$: the leading part: $\sum_j X_{ij}^2 X_{ji}^2$ over $j \ne i$ is $X_{ii}^2$ times $k
      \operatorname{Var} P_{ji}$ on average; the rest is $O(k^{-5})$ [fourth]
    - collect: bigram's loss less $\mathbb{E} H(P_i)$: the three covariances in powers of $1/k$ [bigram]

    Validity
    --------
    Errors $O(k^{-5})$ for bigram, $O(k^{-3})$ for unigram; $k\alpha$ well above 1, so that $X$ has norm below 1.

    Source
    ------
    derived here
    """
    loss_2, loss_1 = sp.Function("L_2")(k, alpha), sp.Function("L_1")(k, alpha)
    delta = sp.Symbol("delta")
    return {
        "statement": equation(sp.ImmutableMatrix([loss_2, loss_1]), sp.ImmutableMatrix([bigram, unigram])),
        "row": draw(alpha),
        "second": second,
        "third": third,
        "series": sp.series((1 + delta) * sp.log(1 + delta), delta, 0, 5),
        "unigram": _spread,
        "square": square,
        "cube": cube,
        "fourth": square * second,
        "bigram": bigram - draw(alpha),
    }


def _terms(matrices: Array) -> tuple[Array, Array, Array, Array]:
    """δ₁, δ₂, δ₃ and δ, arrays (n, k)."""
    excess = matrices - 1 / matrices.shape[-1]
    delta_1 = excess.sum(axis=1)
    delta_2 = np.einsum("ni,nij->nj", delta_1, excess)
    delta_3 = np.einsum("ni,nij->nj", delta_2, excess)
    return delta_1, delta_2, delta_3, matrices.shape[-1] * stationary(matrices) - 1


def _at(expression: sp.Expr, prior: Dirichlet) -> float:
    return float(expression.subs({k: prior.states, alpha: sp.nsimplify(prior.concentration)}).evalf())


@cache
def loss(strategy: str, prior: Dirichlet, tolerance: float) -> Expectation:
    """Loss as T → ∞, nats, by QMC of what is left after every term of known mean is taken off."""
    row = _at(draw(alpha), prior)

    def beyond_bigram(matrices: Array) -> Array:
        delta_1, delta_2, delta_3, delta = _terms(matrices)
        return ((delta - delta_1 - delta_2 - delta_3) * (entropy(matrices) - row)).mean(axis=1)

    def beyond_unigram(matrices: Array) -> Array:
        delta_1, delta_2, _, delta = _terms(matrices)
        known = delta + delta_1**2 / 2 + delta_1 * delta_2 - delta_1**3 / 6
        return (known - (1 + delta) * np.log1p(delta)).mean(axis=1)

    beyond, known = {
        "bigram": (beyond_bigram, draw(alpha) + square + cube),
        "unigram": (beyond_unigram, sp.log(k) - second / 2 + third / 6),
    }[strategy]
    mean = expectation(prior, beyond, tolerance=tolerance)
    return Expectation(mean.value + _at(known, prior), mean.error)


CASES = tuple(Dirichlet(states, concentration) for states in (3, 8, 16) for concentration in (0.5, 1.0))
"""Priors at which exact expressions are compared with quadrature."""


def _largest(pairs: Iterable[tuple[Any, Callable[[Dirichlet], float]]]) -> Residual:
    """Largest relative difference between expressions and numbers by prior."""
    differences = [abs(_at(expression, p) / by_prior(p) - 1) for expression, by_prior in pairs for p in CASES]
    return Residual(
        worst(*differences), 1e-11, "quadrature to 15 digits of numbers that cancel to covariances of $10^{-4}$"
    )


def _mean(prior: Dirichlet, function: Callable[[Any], Any]) -> float:
    return mean_over_entry(prior.states, prior.concentration, function)


@check("expected entropy of a row with quadrature over one entry")
def _row(row: Any) -> Residual:
    return _largest([(row, lambda prior: _mean(prior, lambda p: -prior.states * p * mpmath.log(p)))])


@check(r"$\mathbb{E} \delta_1^2$ and $\mathbb{E} \delta_1^3$ with quadrature over one entry")
def _moments(second: Any, third: Any) -> Residual:
    def moment(power: int) -> Callable[[Dirichlet], float]:
        return lambda prior: prior.states * _mean(prior, lambda p: (p - 1 / prior.states) ** power)

    return _largest([(second, moment(2)), (third, moment(3))])


@check("the series with its coefficients, $(-1)^n/(n(n-1))$, symbolically")
def _series(series: Any) -> Identities:
    delta = sp.Symbol("delta")
    known = delta + sum((-delta) ** n / (n * (n - 1)) for n in range(2, 5))
    return (series.removeO() - known, sp.Integer(series.getO() != sp.Order(delta**5)))


@check("entropy of $\\pi$ with the mean of the series, term by term, symbolically")
def _spread_of_series(second: Any, third: Any, series: Any, unigram: Any) -> Identities:
    squared, cubed, fourth = second + second**2, third, 3 * second**2
    coefficients = sp.Poly(series.removeO(), sp.Symbol("delta")).coeffs()[::-1]
    mean = sum(c * m for c, m in zip(coefficients[1:], (squared, cubed, fourth), strict=True))
    return (unigram - sp.log(k) + mean,)


@check("covariances of $(P_{ii} - 1/k)^2$ and $(P_{ii} - 1/k)^3$ with $H(P_i)$ with quadrature over $P_{ii}$")
def _weighted(square: Any, cube: Any) -> Residual:
    """The other entries of the row are a Dirichlet draw of k - 1 entries, scaled by 1 - p."""

    def covariance(power: int) -> Callable[[Dirichlet], float]:
        def by_prior(prior: Dirichlet) -> float:
            others = _at(draw(alpha), Dirichlet(prior.states - 1, prior.concentration))
            mean = _at(draw(alpha), prior)

            def product(p: Any) -> Any:
                given = -p * mpmath.log(p) - (1 - p) * mpmath.log(1 - p) + (1 - p) * others
                return (p - 1 / prior.states) ** power * (given - mean)

            return _mean(prior, product)

        return by_prior

    return _largest([(square, covariance(2)), (cube, covariance(3))])


@check("the three covariances with bigram's loss, and the parts of that with the statement, symbolically")
def _collected(statement: Any, row: Any, second: Any, square: Any, fourth: Any, bigram: Any) -> Identities:
    return (fourth - square * second, statement.rhs[0] - row - bigram)


@check("powers of $1/k$ with which steps differ from the statement: at least 5 for bigram, 3 for unigram, $k = 2^{20}$")
def _orders(statement: Any, row: Any, unigram: Any, square: Any, cube: Any, fourth: Any) -> Residual:
    powers = []
    for left in (row + square + cube + fourth - statement.rhs[0], unigram - statement.rhs[1]):
        with mpmath.workdps(60):
            remainder = sp.lambdify((k, alpha), left, "mpmath")
            near, far = (remainder(mpmath.mpf(2) ** n, mpmath.mpf(1.5)) for n in (20, 21))
            powers.append(float(mpmath.log(abs(near / far), 2)))
    return Residual(
        float(np.subtract((5, 3), powers).max()),
        2.0**-16,
        "the next order is $1/k$, here at most $2^{-20}$ times a few",
    )


@check(
    r"$\operatorname{Cov}(\delta_2, H)$ and $\operatorname{Cov}(\delta_3, H)$ by QMC with those of powers of $P_{ii}$, "
    "$z$ at $k = 3$ and 6"
)
def _covariance(square: Any, cube: Any) -> Residual:
    def product(order: int) -> Callable[[Array], Array]:
        return lambda m: (_terms(m)[order - 1] * entropy(m)).mean(axis=1)

    scores = []
    for states in (3, 6):
        for order, form in ((2, square), (3, cube)):
            prior = Dirichlet(states)
            mean = expectation(prior, product(order), tolerance=0.03 / states ** (order + 1))
            scores.append((mean.value - _at(form, prior)) / mean.error)
    return all_zero(scores, RANDOMISATIONS - 1)


@check("loss by QMC with `onset.theory.markov.ideal.limit_loss`, $z$ at $k = 4$ and 8")
def _limit_loss() -> Residual:
    scores = []
    for states in (4, 8):
        for strategy in ("bigram", "unigram"):
            prior = Dirichlet(states)
            direct, reduced = limit_loss(prior, strategy, tolerance=4e-4), loss(strategy, prior, 1e-4)
            scores.append((direct.value - reduced.value) / np.hypot(direct.error, reduced.error))
    return all_zero(scores, RANDOMISATIONS - 1)


def _rate(strategy: str, power: int, statement: Any) -> Residual:
    factor, formula = (0.5, statement.rhs[0]) if strategy == "bigram" else (0.03, statement.rhs[1])
    remainders = []
    for prior in (Dirichlet(6), Dirichlet(12)):
        mean = loss(strategy, prior, factor / prior.states**power)
        remainders.append(Expectation(mean.value - _at(formula, prior), mean.error))
    near, far = remainders
    measured = float(np.log2(near.value / far.value))
    error = float(np.hypot(near.error / near.value, far.error / far.value) / np.log(2))
    because = f"powers are whole numbers, so half decides; measured {measured:.3f} ± {error:.3f}"
    return Residual(float(abs(measured - power)) + score_limit(freedom=RANDOMISATIONS - 1) * error, 0.5, because)


_rate_checks = tuple(
    Check(
        f"{strategy}-rate",
        f"power of $1/k$ with which the loss of {strategy} by QMC nears the statement from $k = 6$ to 12, with {power}",
        partial(_rate, strategy, power),
    )
    for strategy, power in (("bigram", 5), ("unigram", 3))
)

r"""Many states: what the bigram and the unigram strategy reach as T → ∞, in powers of 1/k.

The stationary law is nearly uniform: kπ = 1 + δ with δ = 1ᵀ(E + E² + …), E = P - 1/k, whose terms δ₁, δ₂, … are of size
(kα)^{-1/2}, (kα)^{-1}, …. To the order kept, π is spread like one Dirichlet draw of concentration kα per entry, so that
both losses have one form, the entropy of a Dirichlet draw.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import sympy as sp
from scipy.stats import t as student

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.expectation import Expectation
from onset.theory.markov.chains import entropy, stationary
from onset.theory.markov.expectations import RANDOMISATIONS, expectation
from onset.theory.markov.ideal import limit_loss
from onset.theory.markov.priors import Dirichlet

__all__ = ["alpha", "bigram", "cube", "derive", "draw", "k", "remainder", "square", "unigram"]

k, alpha, epsilon = sp.symbols("k alpha epsilon", positive=True)


def draw(per_entry: sp.Expr) -> sp.Expr:
    """Expected entropy of a Dirichlet draw of k entries, nats."""
    return sp.digamma(k * per_entry + 1) - sp.digamma(per_entry + 1)


bigram = draw(alpha) - 1 / (alpha**2 * k**3) + (alpha - 2) / (alpha**3 * k**4)
unigram = draw(k * alpha)


def _moment(power: int) -> sp.Expr:
    """E (P_ij - 1/k)^power of one entry of a Dirichlet row."""
    terms = (
        sp.binomial(power, n) * sp.rf(alpha, n) / sp.rf(k * alpha, n) * (-1 / k) ** (power - n)
        for n in range(power + 1)
    )
    return sp.factor(sp.Add(*(sp.expand_func(term) for term in terms)))


second, third = sp.factor(k * _moment(2)), sp.factor(k * _moment(3))
"""E δ₁² and E δ₁³: δ₁ sums k independent entries, one of each row."""


def _covariance_of_power(power: int) -> sp.Expr:
    """Cov(P_ii^n, H(P_i)): weighted by P_ii^n, the row is Dirichlet with α + n in place i."""
    total = k * alpha + power
    own, others = (alpha + power) / total, (k - 1) * alpha / total
    entropy_then = sp.digamma(total + 1) - own * sp.digamma(alpha + power + 1) - others * sp.digamma(alpha + 1)
    weight = sp.expand_func(sp.rf(alpha, power) / sp.rf(k * alpha, power))
    return sp.factor(sp.simplify(weight * sp.expand_func(entropy_then - draw(alpha))))


square = _covariance_of_power(2)
cube = sp.factor(_covariance_of_power(3) - 3 / k * square)
"""Cov(δ₂, H) and Cov(δ₃, H) of one state, exactly: only (P_ii - 1/k)² and (P_ii - 1/k)³ survive, and Cov(P_ii, H) = 0."""


def _expanded(expression: sp.Expr, order: int) -> sp.Expr:
    """Powers of ε = 1/k below `order`."""
    return sp.series(expression.subs(k, 1 / epsilon), epsilon, 0, order).removeO()


def _digamma(argument: sp.Expr) -> sp.Expr:
    """ψ(x + 1) for large x, up to x^{-3}."""
    x = sp.Symbol("x", positive=True)
    psi = sp.series(sp.digamma(x), x, sp.oo, 4).removeO()  # pyright: ignore[reportArgumentType]
    return sp.expand_log((psi + 1 / x).subs(x, argument), force=True)


_spread = sp.log(k) - (second + second**2) / 2 + third / 6 - 3 * second**2 / 12
"""ln k - E[δ²/2 - δ³/6 + δ⁴/12], with E δ² = E δ₁² + E δ₂², E δ₂² = (E δ₁²)² and E δ⁴ = 3 (E δ₁²)² to this order."""


def derive() -> Derivation:
    """E Σ_i π_i H(P_i) and E H(π) for many states."""
    loss_2, loss_1 = sp.Function("L_2")(k, alpha), sp.Function("L_1")(k, alpha)
    delta = sp.Symbol("delta")
    return Derivation(
        name="large-k-losses",
        title="Many states: losses of bigram and unigram as T → ∞",
        statement=sp.Eq(sp.ImmutableMatrix([loss_2, loss_1]), sp.ImmutableMatrix([bigram, unigram]), evaluate=False),
        symbols={
            k: "number of states",
            alpha: "Dirichlet concentration per entry of a row",
            loss_2: "bigram: E Σ_i π_i H(P_i), nats per token",
            loss_1: "unigram: E H(π), nats per token",
        },
        assumptions=("independent Dirichlet rows", "T → ∞ first, so that counts have concentrated; then k large"),
        validity="Errors O(k^-5) for bigram, O(k^-3) for unigram; kα well above 1, so that E has norm below 1.",
        source="derived here",
        steps=(
            Step("entropy of a row", draw(alpha), "E of -Σ p ln p under a Dirichlet draw, exact"),
            Step("δ₁ squared", second, "k rows, independent: k Var P_ij"),
            Step(
                "δ₁ cubed", third, "likewise; E δ₁δ₂ = 0, since entries of a row are exchangeable and sum to a constant"
            ),
            Step(
                "entropy of π",
                sp.series((1 + delta) * sp.log(1 + delta), delta, 0, 5),
                "H(π) = ln k - (1/k) Σ_j of this at δ_j; Σ_j δ_j = 0; δ₂ adds (E δ₁²)² to E δ², δ₁δ₃ and δ₁²δ₂ nothing at this order",
            ),
            Step("collect", _spread, "equals unigram's loss, ψ(k²α+1) - ψ(kα+1), up to O(k^-3)"),
            Step(
                "covariance of δ₂ with H(P_i)",
                square,
                "δ₁ has none, as Σ_j Cov(P_ij, H(P_i)) = 0; from δ₂ only (P_ii - 1/k)² survives",
            ),
            Step("covariance of δ₃ with H(P_i)", cube, "likewise only (P_ii - 1/k)³"),
            Step(
                "covariance of δ₄",
                square * second,
                "the leading part: Σ_x E_ix² E_xi², x ≠ i, is E_ii² times k Var P_xi on average; the rest is O(k^-5)",
            ),
            Step(
                "collect", (bigram - draw(alpha)), "bigram's loss less E H(row): the three covariances in powers of 1/k"
            ),
        ),
        checks=[
            Check("row", "expected entropy of a row with the mean of QMC, z at k = 3 … 16", _row),
            Check("orders", "both expansions in 1/k with those of the statement, symbolically", _orders),
            Check(
                "covariance",
                "Cov(δ₂, H) and Cov(δ₃, H) by QMC with those of powers of P_ii, z at k = 3 and 6",
                _covariances,
            ),
            Check(
                "limit-loss",
                "statement and remainder with onset.theory.markov.ideal.limit_loss, z at k = 4 and 8",
                _limit_loss,
            ),
            *(
                Check(
                    f"{strategy}-rate",
                    f"power of 1/k with which the remainder of {strategy} falls from k = 6 to 12, with {power}",
                    lambda strategy=strategy, power=power: _rate(strategy, power),
                )
                for strategy, power in (("bigram", 5), ("unigram", 3))
            ),
        ],
    )


def _orders() -> Outcome:
    spread = _expanded(_spread - sp.log(k), 3)
    dirichlet = sp.expand(_digamma(k**2 * alpha) - _digamma(k * alpha) - sp.log(k)).subs(k, 1 / epsilon)
    correction = (bigram - draw(alpha)).subs(k, 1 / epsilon)
    return Outcome.identity(
        spread - sp.series(dirichlet, epsilon, 0, 3).removeO(),
        _expanded(square * (1 + second) + cube, 5) - correction,
    )


def _terms(matrices: Array) -> tuple[Array, Array, Array, Array]:
    """δ₁, δ₂, δ₃ and δ, arrays (n, k)."""
    excess = matrices - 1 / matrices.shape[-1]
    one = excess.sum(axis=1)
    two = np.einsum("ni,nij->nj", one, excess)
    three = np.einsum("ni,nij->nj", two, excess)
    return one, two, three, matrices.shape[-1] * stationary(matrices) - 1


def _at(expression: sp.Expr, prior: Dirichlet) -> float:
    return float(expression.subs({k: prior.states, alpha: sp.nsimplify(prior.concentration)}).evalf())


@cache
def remainder(strategy: str, prior: Dirichlet, tolerance: float) -> Expectation:
    """Loss as T → ∞ less the statement's, nats, by QMC of what is left after every term of known mean is taken off."""
    row = _at(draw(alpha), prior)

    def beyond_bigram(matrices: Array) -> Array:
        one, two, three, delta = _terms(matrices)
        return ((delta - one - two - three) * (entropy(matrices) - row)).mean(axis=1)

    def beyond_unigram(matrices: Array) -> Array:
        one, two, _, delta = _terms(matrices)
        known = delta + one**2 / 2 + one * two - one**3 / 6
        return (known - (1 + delta) * np.log1p(delta)).mean(axis=1)

    beyond, known = {
        "bigram": (beyond_bigram, draw(alpha) + square + cube - bigram),
        "unigram": (beyond_unigram, sp.log(k) - second / 2 + third / 6 - unigram),
    }[strategy]
    found = expectation(prior, beyond, tolerance=tolerance)
    return Expectation(found.value + _at(known, prior), found.error)


FALSE_ALARM = 1e-4
"""Probability that one of the statistical checks below fails by chance."""


def _limit(count: int) -> float:
    """What the largest of `count` |z| exceeds with probability `FALSE_ALARM`, standard errors being those of a few scramblings."""
    return float(student.isf(FALSE_ALARM / 2 / count, RANDOMISATIONS - 1))


def _largest(zs: list[float]) -> Outcome:
    return Outcome(float(np.abs(zs).max()), _limit(len(zs)), f"largest of {len(zs)} |z|, false alarm {FALSE_ALARM}")


def _against(prior: Dirichlet, function: Callable[[Array], Array], expected: sp.Expr, tolerance: float) -> float:
    found = expectation(prior, function, tolerance=tolerance)
    return (found.value - _at(expected, prior)) / found.error


def _row() -> Outcome:
    priors = [Dirichlet(states, c) for states in (3, 8, 16) for c in (0.5, 1.0)]
    return _largest([_against(p, lambda m: entropy(m).mean(axis=1), draw(alpha), 1e-3) for p in priors])


def _covariances() -> Outcome:
    def product(order: int) -> Callable[[Array], Array]:
        return lambda m: (_terms(m)[order - 1] * entropy(m)).mean(axis=1)

    cases = [(n, order, value) for n in (3, 6) for order, value in ((2, square), (3, cube))]
    return _largest(
        [_against(Dirichlet(n), product(order), value, 0.03 / n ** (order + 1)) for n, order, value in cases]
    )


def _limit_loss() -> Outcome:
    zs = []
    for states in (4, 8):
        for strategy, formula in (("bigram", bigram), ("unigram", unigram)):
            prior = Dirichlet(states)
            plain, beyond = limit_loss(prior, strategy, tolerance=4e-4), remainder(strategy, prior, 1e-4)
            zs.append((plain.value - _at(formula, prior) - beyond.value) / np.hypot(plain.error, beyond.error))
    return _largest(zs)


def _rate(strategy: str, power: int) -> Outcome:
    near, far = (
        remainder(strategy, Dirichlet(n), 0.5 / n**power if strategy == "bigram" else 0.03 / n**power) for n in (6, 12)
    )
    found = float(np.log2(near.value / far.value))
    error = float(np.hypot(near.error / near.value, far.error / far.value) / np.log(2))
    return Outcome(
        float(abs(found - power)) + _limit(1) * error,
        0.5,
        f"powers are whole numbers, so half decides; found {found:.3f} ± {error:.3f}",
    )

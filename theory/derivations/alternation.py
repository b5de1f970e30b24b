r"""Why odd lags come first: the signals of two-state priors in closed form.

On the unigram plateau the gradient of lag logit v_m is proportional to the signal

    S_m = E Σ_i π_i² Σ_j (P_ij - π_j) ((P^m)_ij - π_j)

(`onset.theory.derivations.signals`). With two states every chain is reversible, P^m - 1π = ρ^m (I - 1π), and with w =
π_0 π_1 a chain's part is 4 w² ρ^{m+1}: a square for odd m, of the sign of ρ for even m. A Dirichlet prior does not
change when the columns of P are exchanged, which reverses ρ; folding the two halves upon each other gives signs and
closed forms.

At a uniform start the residual is P_ij - 1/k instead, which adds ρ^m w (1 - 4w).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations import two_state_chain as chain
from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.scores import all_positive, standard_scores
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.markov import expectations, priors
from onset.theory.markov.chains import lag_matrices, stationary

__all__ = [
    "REFERENCES",
    "chain_part",
    "chain_signals",
    "closed_form",
    "derive",
    "doubly_stochastic",
    "flat_rule",
    "moment",
]

m = sp.Symbol("m", integer=True, nonnegative=True)
w, rho, x, y = sp.symbols("w rho x y", positive=True)
a, b = chain.a, chain.b
S: Any = sp.IndexedBase("S")  # sympy's types know no index

chain_part = {
    "unigram": 4 * w**2 * rho ** (m + 1),
    "uniform": 4 * w**2 * rho ** (m + 1) + rho**m * w * (1 - 4 * w),
}
"""A two-state chain's part of S_m, by what the model predicts: the stationary law, or 1/k."""

REFERENCES = tuple(chain_part)
eigenvalue, overlap = 1 - a - b, a * b / (a + b) ** 2
reflected = overlap.subs({a: 1 - a, b: 1 - b}, simultaneous=True)


def chain_signals(transition: Array, lags: int, reference: str = "unigram") -> Array:
    """Each chain's part of S_0 … S_{lags-1}, shape (n, lags), for chains of any number of states, shape (n, k, k)."""
    law = stationary(transition)
    arguments.one_of("reference", reference, REFERENCES)
    predicted = law[:, None, :] if reference == "unigram" else 1 / transition.shape[-1]
    return np.einsum(
        "ni,nij,mnij->nm", law**2, transition - predicted, lag_matrices(transition, lags) - law[:, None, :]
    )


def _tail(n: sp.Expr, power: int) -> tuple[sp.Expr, sp.Expr]:
    """A, B of ∫₀¹ yⁿ/(1+y)^power dy = A β(n) + B with β(n) = ∫₀¹ yⁿ/(1+y) dy, by parts and by β(n-1) = 1/n - β(n)."""
    factor, rest = sp.Integer(1), sp.Integer(0)
    for p in range(1, power):
        j = n - power + 1 + p
        factor, rest = -factor, rest + factor / j
    for p in range(1, power):
        j = n - power + 1 + p
        factor, rest = j * factor / p, (j * rest - sp.Integer(2) ** -p) / p
    return factor, rest


def _beta(n: sp.Expr) -> sp.Expr:
    return (sp.digamma(n / 2 + 1) - sp.digamma((n + 1) / 2)) / 2


def _integrated(polynomial: sp.Expr) -> sp.Poly:
    """∫₀¹ dx of a polynomial in x and y, termwise, as a polynomial in y."""
    terms: dict[tuple[int], sp.Expr] = {}
    for (power, e), c in sp.Poly(polynomial, x, y).terms():
        terms[e,] = terms.get((e,), sp.Integer(0)) + c / (power + 1)
    return sp.Poly(terms, y)


def moment(polynomial: Callable[[sp.Expr], sp.Expr], n: sp.Expr, concentration: int = 1) -> sp.Expr:
    r"""E[ρⁿ polynomial(w)] for two states, Dirichlet rows of whole `concentration`, n symbolic.

    For ρ = y > 0 put a = (1-y)x, b = (1-y)(1-x): then w = x(1-x). Exchanging columns maps y to -y and w to
    (1-a)(1-b)/(1+y)², and keeps the density. x is integrated as a polynomial, y termwise.
    """
    first = sp.expand(x * (1 - x))
    second = sp.expand((1 - (1 - y) * x) * (1 - (1 - y) * (1 - x)))
    norm = sp.gamma(2 * concentration) ** 2 / sp.gamma(concentration) ** 4
    density = norm * (1 - y) ** (2 * concentration - 1) * (first * second) ** (concentration - 1)
    powers = sp.Poly(polynomial(w), w)
    degree = int(powers.degree())
    over = sum(c * second**e * (1 + y) ** (2 * (degree - e)) for (e,), c in powers.terms())  # (1+y)^2·degree times it
    halves = [_integrated(density * part) for part in (polynomial(first), over)]
    positive = sum(c / (n + e + 1) for (e,), c in halves[0].terms())
    factor, rest = sp.Integer(0), sp.Integer(0)
    for (e,), c in halves[1].compose(sp.Poly(y - 1, y)).terms():  # powers of 1 + y
        power = 2 * degree - e
        if power > 0:
            inner = _tail(n, power)
            factor, rest = factor + c * inner[0], rest + c * inner[1]
        else:
            rest += c * sum(sp.binomial(-power, j) / (n + j + 1) for j in range(1 - power))
    factor, rest, positive = (sp.factor(sp.cancel(part)) for part in (factor, rest, positive))
    return positive + (-1) ** n * (rest + factor * _beta(n))


@cache
def closed_form(reference: str = "unigram", concentration: int = 1) -> sp.Expr:
    """S_m of two states with Dirichlet rows of whole `concentration`, as an expression in m."""
    arguments.one_of("reference", reference, REFERENCES)
    concentration = arguments.integer("concentration", concentration, least=1)
    value = moment(lambda z: 4 * z**2, m + 1, concentration)
    return value if reference == "unigram" else value + moment(lambda z: z * (1 - 4 * z), m, concentration)


@cache
def doubly_stochastic() -> sp.Expr:
    """S_m of the doubly stochastic prior with two states, by either reference: w = 1/4 and ρ is uniform on [-1, 1]."""
    half = sp.integrate(chain_part["unigram"].subs(w, sp.Rational(1, 4)), (rho, 0, 1))
    return sp.simplify((half - (-1) ** m * half) / 2)


def flat_rule(points: int) -> tuple[Array, Array]:
    """Chains (n, 2, 2) and weights (n,) for flat rows: Gauss-Legendre in b and a/b, over a < b by symmetry."""
    node, weight = np.polynomial.legendre.leggauss(points)
    ratio, leave = ((g + 1) / 2 for g in np.meshgrid(node, node, indexing="ij"))
    first = ratio * leave
    matrices = np.stack([1 - first, first, leave, 1 - leave], axis=-1).reshape(-1, 2, 2)
    return matrices, (np.outer(weight, weight) / 2 * leave).ravel()


@derives("alternation")
def derive() -> Expressions:
    r"""Odd lags before even lags

    Symbols
    -------
    S[m] : signal of lag $m$ on the unigram plateau, two states, flat Dirichlet rows
    m : lag, in tokens
    w : $\pi_0 \pi_1$
    rho : second eigenvalue, $1 - a - b$
    beta : $\beta(n) = \int_0^1 y^n/(1+y)\,dy$ at $n$, with the variable of integration $y$
    n : argument of $\beta$
    y : variable of integration
    a, b, k, T, P, pi

    Assumptions
    -----------
    - two states, the rows of $P$ independent and uniform on the simplex (`closed_form` has Dirichlet rows of any whole
      concentration)
    - the model predicts the stationary law (reference 'unigram') or $1/k$ ('uniform')

    Steps
    -----
    - one chain: $\sum_i \pi_i^2 \sum_j (P_{ij} - \pi_j)((P^m)_{ij} - \pi_j) = 4 w^2 \rho^{m+1}$ [chain]
    - neighbours: their mean less $\rho^{m+1}$ is for $\rho > 0$ not negative; for $\rho < 0$ even lags are negative:
      (1), chain by chain [neighbours]
    - exchange the columns: $a \to 1-a$, $b \to 1-b$ maps $\rho$ to $-\rho$; $w$ grows by this, where $\rho > 0$: (2),
      pair of chains by pair [exchange]
    - fold $\rho < 0$ upon $\rho > 0$ and integrate: $\beta$ is a difference of digammas, in the statement
    - $S_0, \dots, S_3$: rational numbers and rational multiples of $\ln 2$ [first]
    - doubly stochastic: $w = 1/4$, $\rho$ uniform on $[-1, 1]$: $1/(4(m+2))$ for odd $m$, else 0 [doubly_stochastic]

    Validity
    --------
    Exact for every $m \ge 0$; the terms cancel to order $m^3$ times their size, so evaluate with mpmath at large $m$.
    Theorem for two states: (1) for even $m \ge 2$, $|S_m|$ is at most the mean of $S_{m-1}$ and $S_{m+1}$, under every
    prior; (2) if exchanging the columns of $P$ keeps the prior, $S_m \le 0$ for even $m$ and $S_m \ge 0$ for odd $m$,
    and even signals vanish if and only if $\pi$ is uniform or $\rho = 0$ for almost every chain (doubly stochastic).
    Any number of states: $S_1 > 0$ unless rows repeat $\pi$; $S_0 = S_2 = 0$ for doubly stochastic priors that
    exchanging columns keeps; $S_3$ and beyond may have any sign chain by chain where chains are not reversible (a
    rotation of three states has $S_3 < 0$). At the uniform start (2) does not hold.

    Source
    ------
    derived here; observed in arXiv 2402.11004 as an asymmetry of the positional weights

    References
    ----------
    edelman2024evolution
    """
    closed = closed_form()
    return {
        "statement": equation(S[m], closed),
        "chain": sp.factor(_form()),
        "neighbours": sp.factor((rho**m + rho ** (m + 2)) / 2 - rho ** (m + 1)),
        "exchange": sp.factor(reflected - overlap),
        "first": sp.Tuple(*(exact(closed, lag) for lag in range(4))),
        "doubly_stochastic": doubly_stochastic(),
    }


def exact(expression: sp.Expr, lag: int) -> sp.Expr:
    """A closed form at a whole lag, as a rational number plus a rational multiple of ln 2."""
    return sp.collect(sp.expand(sp.expand_func(expression.subs(m, lag))), sp.log(2))


def _form(reference: str = "unigram") -> sp.Expr:
    law = chain.stationary
    power, matrix = chain.power.subs(chain.r, m), chain.transition
    predicted = law if reference == "unigram" else sp.ones(1, 2) / 2
    terms = (
        law[i] ** 2 * (matrix[i, j] - predicted[j]) * (power[i, j] - law[j])
        for i, j in itertools.product(range(2), repeat=2)
    )
    return sp.simplify(sp.Add(*terms))


@check(r"both references from powers of $P$ with the expressions in $w$ and $\rho$, symbolically")
def _chain(chain: Any) -> Identities:
    known = {w: overlap, rho: eigenvalue}
    forms = {"unigram": chain, "uniform": _form("uniform")}
    return (forms[name] - chain_part[name].subs(known) for name in REFERENCES)


@check(r"mean of neighbours less $\rho^{m+1}$ with $\rho^m (1 - \rho)^2/2$, symbolically")
def _neighbours(neighbours: Any) -> Identities:
    return (neighbours - rho**m * (1 - rho) ** 2 / 2,)


@check(r"growth of $w$ with $\rho (a-b)^2/((a+b)^2 (2-a-b)^2)$, symbolically")
def _exchange(exchange: Any) -> Identities:
    return (
        reflected - overlap - exchange,
        exchange - eigenvalue * (a - b) ** 2 / ((a + b) ** 2 * (2 - a - b) ** 2),
        eigenvalue.subs({a: 1 - a, b: 1 - b}, simultaneous=True) + eigenvalue,
    )


@check("$S_0$, $S_2$ of a generic doubly stochastic $P$, $k = 3$, averaged over exchanges of columns, with 0")
def _columns() -> Identities:
    entries = sp.symbols("p:2:2")
    corner = sp.Matrix(2, 2, entries)
    rows = corner.row_join(sp.ones(2, 1) - corner * sp.ones(2, 1))
    matrix = rows.col_join(sp.ones(1, 3) - sp.ones(1, 2) * rows)
    flat = sp.ones(3, 3) / 3
    zeroth, first, second = sp.Integer(0), sp.Integer(0), sp.Integer(0)
    for order in itertools.permutations(range(3)):
        deviation = matrix[:, list(order)] - flat
        zeroth += (deviation.T * (sp.eye(3) - flat)).trace()
        first += (deviation.T * deviation).trace()
        second += (deviation.T * deviation**2).trace()
    vanished = sp.Integer(sp.expand(first) == 0)  # an average of nothing would show nothing
    return (sp.expand(zeroth), sp.expand(second), vanished)


@check("the statement and its first values with Gauss-Legendre in other coordinates")
def _flat(statement: Any, first: Any) -> Residual:
    return _by_quadrature([(1, "unigram", _values(statement.rhs)), (1, "unigram", list(map(float, first)))])


@check("closed forms, concentration 1 and 2, both references, with Gauss-Legendre in other coordinates")
def _quadrature() -> Residual:
    cases = itertools.product((1, 2), REFERENCES)
    return _by_quadrature((c, name, _values(closed_form(name, c))) for c, name in cases)


def _values(closed: Any, lags: int = 9) -> list[float]:
    return [float(closed.subs(m, lag).evalf(17)) for lag in range(lags)]


def _by_quadrature(cases: Iterable[tuple[int, str, list[float]]]) -> Residual:
    """Largest difference between the first signals, by concentration and reference, and their quadrature."""
    largest = 0.0
    for concentration, reference, values in cases:
        few, many = (_by_rule(points, concentration, reference, len(values)) for points in (24, 48))
        terms = 48**2 * np.finfo(float).eps
        allowed = np.abs(many - few) + terms * np.abs(values).max()
        largest = worst(largest, float((np.abs(values - many) / allowed).max()))
    because = "difference between 24 and 48 nodes a side, plus $48^2$ rounding errors of the largest signal"
    return Residual(largest, 1.0, because)


def _by_rule(points: int, concentration: int, reference: str, lags: int) -> Array:
    matrices, weights = flat_rule(points)
    density = np.prod(matrices, axis=(1, 2)) ** (concentration - 1) * weights
    return density @ chain_signals(matrices, lags, reference) / density.sum()


@check(r"closed form with `onset.theory.markov.expectations`, both references, $m \le 6$")
def _doubly_stochastic(doubly_stochastic: Any) -> Residual:
    # Twelve Gauss-Legendre nodes are exact for polynomials in ρ up to degree 23.
    matrices, weights = expectations.nodes(priors.DoublyStochastic(2), 12)
    closed = sp.lambdify(m, doubly_stochastic)(np.arange(7))
    largest = max(float(np.abs(weights @ chain_signals(matrices, 7, name) - closed).max()) for name in REFERENCES)
    because = "twelve nodes, some 16 roundings each, of numbers below one"
    return Residual(largest, 12 * 16 * np.finfo(float).eps, because)


@check(r"(1) and (2) on the closed forms, concentration 1 and 2, $m \le 12$: violations with none")
def _theorem() -> Residual:
    violations = 0
    for concentration in (1, 2):
        values = [closed_form("unigram", concentration).subs(m, lag).evalf(17) for lag in range(14)]
        violations += sum(not (value > 0 if lag % 2 else value < 0) for lag, value in enumerate(values))
        violations += sum(not abs(values[lag]) <= (values[lag - 1] + values[lag + 1]) / 2 for lag in range(2, 13, 2))
    return Residual(float(violations), 0.0, "a theorem; values to 17 digits")


@check("$S_1$, $S_3$ above $S_2$, $S_4$ and $S_1$ above 0 at $k = 3$, 4, 8, flat rows and doubly stochastic")
def _more_states() -> Residual:
    scores, scramblings = [], 16
    cases = [priors.Dirichlet(k) for k in (3, 4, 8)] + [priors.DoublyStochastic(k) for k in (3, 4)]
    for prior in cases:
        generators = np.random.default_rng(0).spawn(scramblings)
        rules = [expectations.nodes(prior, 1024, generator) for generator in generators]
        s = np.array([weights @ chain_signals(matrices, 5) for matrices, weights in rules])
        gaps = np.stack([s[:, 1], s[:, 1] - s[:, 2], s[:, 3] - s[:, 2], s[:, 3] - s[:, 4]], axis=1)
        scores.append(standard_scores(gaps))
    return all_positive(np.ravel(scores), scramblings - 1)

r"""Regret of the bigram strategy for not knowing the chain: k(k-1)/2 ln T and a constant, in total, in nats.

The strategy estimates the k(k-1) free parameters of P, each at a cost of ½ ln T nats in total (Rissanen 1984). The
constant beside ln T follows from Stirling's formula for one row (Clarke and Barron 1990) and an average over the prior.
"""

from __future__ import annotations

import itertools
from functools import cache, partial
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special, stats

from onset.theory.arrays import Array
from onset.theory.derivations import ideal_limit_losses
from onset.theory.derivations.derivation import Check, Identities, Residual, check, worst
from onset.theory.derivations.ideal_finite_losses import FLAT_CONTEXT, flat_losses
from onset.theory.derivations.quadrature import evaluated, mean_over_entry
from onset.theory.derivations.scores import score_limit
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.derivations.two_state_chain import a, b
from onset.theory.markov import ideal
from onset.theory.markov.bayes import position_losses
from onset.theory.markov.chains import stationary
from onset.theory.markov.expectations import RANDOMISATIONS, expectation, nodes
from onset.theory.markov.priors import Dirichlet

__all__ = ["T", "alpha", "derive", "k", "log_stationary", "regret", "row_regret", "total_regret"]

k, T, n, alpha = sp.symbols("k T N alpha", positive=True)
logs, log_stationary = sp.symbols("S lambda", real=True)

row_regret = (
    (k - 1) / 2 * sp.log(n / (2 * sp.pi * sp.E))
    + k * sp.loggamma(alpha)
    - sp.loggamma(k * alpha)
    + (sp.Rational(1, 2) - alpha) * logs
)
"""Total regret, nats, of N draws from one row that is estimated with pseudo-count α; S = Σ_j ln p_j."""

regret = k * sp.expand_log(
    row_regret.subs({n: T * sp.exp(log_stationary), logs: k * (sp.digamma(alpha) - sp.digamma(k * alpha))}), force=True
)


flat = sp.expand(-1 - sp.integrate(sp.expand(sp.integrate(sp.log(a + b), (b, 0, 1))), (a, 0, 1)))
"""E ln π_i for k = 2, flat rows: E ln b - E ln(a+b)."""


@derives("bigram-regret")
def derive() -> Expressions:
    r"""Finite context: the bigram strategy's regret for not knowing the chain

    Symbols
    -------
    R(T) : $T$ times the bigram strategy's mean loss less the expected entropy rate, nats
    lambda : $\mathbb{E} \ln \pi_i$
    N : number of draws from one row, $\pi_i T$ on average
    N_j : draws of symbol $j$ among them
    p_j : probability of symbol $j$ in the row
    S : $\sum_j \ln p_j$
    a, b, T, k, alpha, pi

    Assumptions
    -----------
    - independent Dirichlet rows
    - stationary start
    - the strategy's pseudo-count is the prior's concentration $\alpha$

    Steps
    -----
    - regret of one row: $\mathbb{E} \ln \prod_j p_j^{N_j}$ less the log-evidence of $N$ draws, by Stirling and
      $\mathbb{E} N_j \ln N_j = N p_j \ln(N p_j) + (1 - p_j)/2$ [row]
    - average over the prior: $k$ rows, $N = \pi_i T$, $\mathbb{E} \ln p_j = \psi(\alpha) - \psi(k\alpha)$; the
      statement
    - slope: $k(k-1)$ free parameters at one half each, per unit of $\ln T$ [slope]
    - $\lambda$ for flat rows, $k = 2$: $\mathbb{E} \ln b - \mathbb{E} \ln(a+b) = -1 - (2 \ln 2 - 3/2)$ [flat]

    Validity
    --------
    $T \to \infty$. For $\alpha = 1$ the rest lies between $1/T$ and $\ln^2 T/T$: entries of order $1/N$ add $\ln N/N$
    to a row's regret, rows with $N = \pi_i T$ visits, $\pi_i$ near 0, another logarithm.

    Source
    ------
    derived here, from the expansion of Clarke, Barron, IEEE Trans. Inf. Theory 36 (1990), for each row

    References
    ----------
    rissanen1984universal, clarke1990information
    """
    R = sp.Function("R")(T)
    return {
        "statement": equation(R, regret),
        "row": row_regret,
        "slope": equation(T * sp.Derivative(R, T), sp.simplify(sp.diff(regret, T) * T)),
        "flat": flat,
    }


@check("regret of one row, $k = 2$ and 3, with its expansion, symbolically")
def _stirling(row: Any) -> Identities:
    """Log-evidence of N draws to second order about N_j = N p_j; `moved` is ln Γ(x + shift) by Stirling's formula."""

    def moved(x: sp.Expr, shift: sp.Expr) -> sp.Expr:
        return (x + shift - sp.Rational(1, 2)) * sp.log(x) - x + sp.log(2 * sp.pi) / 2

    x = sp.Symbol("x", positive=True)
    for states in (2, 3):
        p = list(sp.symbols(f"p:{states - 1}", positive=True))
        p = [*p, 1 - sp.Add(*p)]
        known = n * sp.Add(*(q * sp.log(q) for q in p))
        curved = sp.diff(moved(x, alpha), x, 2)
        means = (moved(n * q, alpha) + n * q * (1 - q) / 2 * curved.subs(x, n * q) for q in p)
        counts = sp.Add(*means) - states * sp.loggamma(alpha)
        formula = row.subs({k: states, logs: sp.Add(*map(sp.log, p))})
        rest = known - (sp.loggamma(states * alpha) - moved(n, states * alpha) + counts) - formula
        yield sp.limit(sp.simplify(sp.expand_log(rest, force=True)), n, sp.oo)


@check("power of $1/N$ with which the exact regret of one row approaches the formula, with 1")
def _row(row: Any) -> Residual:
    p, count, powers = 0.3, 1024, []
    formula = sp.lambdify((n, alpha, logs), row.subs(k, 2), "scipy")
    for value in (0.5, 1.0, 3.0):
        near, far = (
            _row_exactly(p, total, value) - formula(total, value, np.log(p * (1 - p))) for total in (count, 2 * count)
        )
        powers.append(np.log2(near / far))
    return Residual(float(np.abs(np.subtract(powers, 1)).max()), 0.5, "powers are whole numbers, so half decides")


def _row_exactly(p: float, total: int, value: float) -> float:
    counts = np.arange(total + 1)
    log_evidence = special.betaln(counts + value, total - counts + value) - special.betaln(value, value)
    return float(total * (p * np.log(p) + (1 - p) * np.log(1 - p)) - stats.binom.pmf(counts, total, p) @ log_evidence)


@check(r"$k$ rows' regret, $\mathbb{E} \ln p_j$ by quadrature, with the statement, $\alpha = 1/2$, 2 and $k = 2$, 5")
def _averaged(statement: Any, row: Any) -> Residual:
    largest, at = 0.0, {T: 100, log_stationary: -2}
    for states, value in itertools.product((2, 5), (0.5, 2.0)):
        draws = {n: 100 * sp.exp(-2), logs: states * mean_over_entry(states, value, mpmath.log)}
        known = {k: states, alpha: value}
        per_row, total = row.subs(draws).subs(known), statement.rhs.subs(at).subs(known)
        largest = worst(largest, abs(float(states * per_row - total)))
    return Residual(largest, 1e-11, "quadrature to 15 digits, times regrets of a few hundred")


@check(r"$T\,dR/dT$ of the statement with the slope, symbolically")
def _slope(statement: Any, slope: Any) -> Identities:
    return (slope.lhs.subs(*statement.args).doit() - slope.rhs,)


@check(r"$\lambda$ for flat rows with quadrature over the triangular law of $a + b$")
def _flat(flat: Any) -> Residual:
    total = sp.Symbol("a+b", positive=True)
    rising, falling = (sp.Integral(f * sp.log(total), (total, n, n + 1)) for n, f in enumerate((total, 2 - total)))
    difference = abs(float(evaluated(flat + rising + falling - sp.Integral(sp.log(total), (total, 0, 1)))))
    return Residual(difference, 1e-14, "quadrature to 15 digits")


@cache
def total_regret(states: int, concentration: float = 1.0) -> tuple[NDArray[Any], Array]:
    """Contexts, longest first, and total regret of the bigram strategy there, nats.

    Exact for k = 2, shape (1, contexts); for k > 2 one row per scrambling, which all contexts share, of the chains.
    """
    prior = Dirichlet(states, concentration)
    if states == 2:
        losses = flat_losses() if concentration == 1 else position_losses(prior, FLAT_CONTEXT // 2)
        contexts = len(losses.bigram) // 2 ** np.arange(4)
        rate = np.arange(1, len(losses.bigram) + 1) * ideal_limit_losses.general(concentration)[0]
        return contexts, (np.cumsum(losses.bigram) - rate)[None, contexts - 1]
    contexts, chains = 120 // 2 ** np.arange(4), 256
    rows = []
    for generator in np.random.default_rng(0).spawn(RANDOMISATIONS):
        matrices, weights = nodes(prior, chains, generator)
        limit = ideal.ngram_limit(matrices, order=2)
        losses = (ideal.ngram_loss(matrices, int(t), concentration, order=2) for t in contexts)
        rows.append([t * weights @ (loss - limit) for t, loss in zip(contexts, losses, strict=True)])
    return contexts, np.array(rows)


def _coefficients(contexts: NDArray[Any], totals: Array, terms: int, concentration: float) -> NDArray[Any]:
    """Coefficients of the first `terms` of the regret's expansion, through the longest contexts; shape (terms, rows).

    They are ln T, 1, ln(T)/T, 1/T for flat rows, ln T, 1, 1/T, ln(T)/T² for α = 2, where the mean of 1/p_j is finite.
    """
    t = contexts[:terms, None].astype(float)
    rest = (np.log(t) / t, 1 / t) if concentration == 1 else (1 / t, np.log(t) / t**2)
    return np.linalg.solve(np.hstack([np.log(t), np.ones_like(t), *rest])[:, :terms], totals[:, :terms].T)


def _fitted(which: int, predicted: float, states: int, concentration: float = 1.0) -> Residual:
    """The coefficient of ln T, `which` = 0, or the constant, 1, of the total regret."""
    contexts, totals = total_regret(states, concentration)
    fewer, more = (_coefficients(contexts, totals, terms, concentration)[which] for terms in (3, 4))
    rows = len(more)
    sampling = score_limit(freedom=rows - 1) * more.std(ddof=1) / np.sqrt(rows) if rows > 1 else 0.0
    neglected = abs(more.mean() - fewer.mean())
    return Residual(
        abs(float(more.mean()) - predicted),
        float(neglected + sampling),
        f"fitted {more.mean():.4f}, predicted {predicted:.4f}; change by the last term of the fit {neglected:.2g}, "
        f"sampling {sampling:.2g}",
    )


def _fitted_slope(states: int, slope: Any) -> Residual:
    return _fitted(0, float(slope.rhs.subs(k, states)), states)


def _fitted_constant(states: int, concentration: float, statement: Any) -> Residual:
    prior = Dirichlet(states, concentration)
    mean = expectation(prior, lambda p: np.log(stationary(p)).mean(axis=1), tolerance=2e-4).value
    known = {k: states, alpha: sp.nsimplify(concentration), log_stationary: mean, T: 1}
    return _fitted(1, float(statement.rhs.subs(known)), states, concentration)


_coefficient_checks = (
    *(
        Check(
            f"slope-{states}",
            rf"fitted coefficient of $\ln T$, $k = {states}$, flat rows, with the slope",
            partial(_fitted_slope, states),
        )
        for states in (2, 3)
    ),
    *(
        Check(
            f"constant-{states}-{concentration:g}",
            rf"fitted constant, $k = {states}$, $\alpha = {concentration:g}$, with the statement's",
            partial(_fitted_constant, states, concentration),
        )
        for states, concentration in ((2, 1.0), (2, 2.0), (3, 1.0))
    ),
)


@check(r"factor per doubling of $k(k-1)/2 \ln 2 - R(2T) + R(T)$, $k = 2$, with those of $1/T$ and $\ln^2 T/T$")
def _doublings() -> Residual:
    """With R = ln T + const + O(ln²T/T) it lies between 1/2 and the factor of ln²T/T."""
    contexts = FLAT_CONTEXT // 2 ** np.arange(5, -1, -1)
    rate = contexts * float(ideal_limit_losses.bigram)
    totals = np.cumsum(flat_losses().bigram)[contexts - 1] - rate
    missing = np.log(2) - np.diff(totals)
    factors = missing[1:] / missing[:-1]
    slowest = (np.log(contexts[1:-1]) / np.log(contexts[:-2])) ** 2 / 2
    outside = np.maximum(0.5 - factors, factors - slowest)
    because = f"inside the interval or not; factors {np.round(factors, 3).tolist()}"
    return Residual(float(outside.max()), 0.0, because)

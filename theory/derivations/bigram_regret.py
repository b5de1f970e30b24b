r"""What the bigram strategy pays for not knowing the chain: k(k-1)/2 ln T and a constant, in total, in nats.

It estimates the k(k-1) free parameters of P, each at ½ ln T nats in total (Rissanen 1984). The constant beside ln T
follows from Stirling's formula for one row (Clarke and Barron 1990) and an average over the prior.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special, stats

from onset.theory.arrays import Array
from onset.theory.derivations import ideal_limit_losses
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.derivations.ideal_finite_losses import LONGEST, flat_losses
from onset.theory.derivations.two_state_chain import a, b
from onset.theory.markov import ideal
from onset.theory.markov.chains import stationary
from onset.theory.markov.expectations import RANDOMISATIONS, expectation, nodes
from onset.theory.markov.priors import Dirichlet

__all__ = ["T", "alpha", "derive", "k", "log_stationary", "regret", "row_regret", "total_regret"]

k, T, n, alpha = sp.symbols("k T n alpha", positive=True)
logs, log_stationary = sp.symbols("S lambda", real=True)

row_regret = (
    (k - 1) / 2 * sp.log(n / (2 * sp.pi * sp.E))
    + k * sp.loggamma(alpha)
    - sp.loggamma(k * alpha)
    + (sp.Rational(1, 2) - alpha) * logs
)
"""Nats that n draws from one row cost in total when the row is estimated with pseudo-count α; S = Σ_j ln p_j."""

regret = k * sp.expand_log(
    row_regret.subs({n: T * sp.exp(log_stationary), logs: k * (sp.digamma(alpha) - sp.digamma(k * alpha))}), force=True
)


flat = sp.expand(-1 - sp.integrate(sp.expand(sp.integrate(sp.log(a + b), (b, 0, 1))), (a, 0, 1)))
"""E ln π_i for k = 2, flat rows: E ln b - E ln(a+b)."""


def derive() -> Derivation:
    """Total regret of the bigram strategy, T times (its mean loss less the entropy rate)."""
    name = sp.Function("R")(T)
    return Derivation(
        name="bigram-regret",
        title="Finite context: what the bigram strategy pays for not knowing the chain",
        statement=sp.Eq(name, regret, evaluate=False),
        symbols={
            name: "T times the bigram strategy's mean loss less the expected entropy rate, nats",
            T: "context, tokens",
            k: "number of states",
            alpha: "Dirichlet concentration per entry, and the strategy's pseudo-count",
            log_stationary: "E ln π_i; 1/2 - 2 ln 2 for k = 2, α = 1",
        },
        assumptions=("independent Dirichlet rows", "stationary start", "the prior's concentration as pseudo-count"),
        validity="T → ∞. For α = 1 the rest lies between 1/T and ln²T/T: entries of order 1/n add ln n/n to a row's regret, rows with n = π_i T visits, π_i near 0, another logarithm.",
        source="derived here, from the expansion of Clarke, Barron, IEEE Trans. Inf. Theory 36 (1990), for each row",
        references=("rissanen1984universal", "clarke1990information"),
        steps=(
            Step(
                "regret of one row",
                row_regret,
                "E ln Π p_j^{n_j} less the log-evidence of n draws, by Stirling and E n_j ln n_j = n p_j ln(n p_j) + (1 - p_j)/2",
            ),
            Step("average over the prior", regret, "k rows, n = π_i T, E ln p_j = ψ(α) - ψ(kα)"),
            Step(
                "slope",
                sp.simplify(sp.diff(regret, T) * T),
                "k(k-1) free parameters at one half each, per unit of ln T",
            ),
            Step("E ln π_i, flat, k = 2", flat, "E ln b - E ln(a+b) = -1 - (2 ln 2 - 3/2)"),
        ),
        checks=[
            Check("stirling", "regret of one row, k = 2 and 3, with its expansion, symbolically", _stirling),
            Check("row", "power of 1/n with which the exact regret of one row approaches the formula, with 1", _row),
            Check("slope-2", "fitted coefficient of ln T, k = 2, with k(k-1)/2", lambda: _fitted(2, 0)),
            Check("constant-2", "fitted constant, k = 2, with the statement's", lambda: _fitted(2, 1)),
            Check("slope-3", "fitted coefficient of ln T, k = 3, with k(k-1)/2", lambda: _fitted(3, 0)),
            Check("constant-3", "fitted constant, k = 3, with the statement's", lambda: _fitted(3, 1)),
            Check(
                "doublings",
                "factor per doubling of k(k-1)/2 ln 2 - R(2T) + R(T), k = 2, with those of 1/T and ln²T/T",
                _doublings,
            ),
        ],
    )


def _stirling() -> Outcome:
    """Log-evidence of n draws to second order about n_j = n p_j; `moved` is ln Γ(x + shift) by Stirling's formula."""

    def moved(x: sp.Expr, shift: sp.Expr) -> sp.Expr:
        return (x + shift - sp.Rational(1, 2)) * sp.log(x) - x + sp.log(2 * sp.pi) / 2

    differences, x = [], sp.Symbol("x", positive=True)
    for states in (2, 3):
        p = list(sp.symbols(f"p:{states - 1}", positive=True))
        p = [*p, 1 - sp.Add(*p)]
        known = n * sp.Add(*(q * sp.log(q) for q in p))
        curved = sp.diff(moved(x, alpha), x, 2)
        means = (moved(n * q, alpha) + n * q * (1 - q) / 2 * curved.subs(x, n * q) for q in p)
        each = sp.Add(*means) - states * sp.loggamma(alpha)
        formula = row_regret.subs({k: states, logs: sp.Add(*map(sp.log, p))})
        rest = known - (sp.loggamma(states * alpha) - moved(n, states * alpha) + each) - formula
        differences.append(sp.limit(sp.simplify(sp.expand_log(rest, force=True)), n, sp.oo))
    return Outcome.identity(*differences)


def _row() -> Outcome:
    p, count, powers = 0.3, 1024, []
    formula = sp.lambdify((n, alpha, logs), row_regret.subs(k, 2), "scipy")
    for value in (0.5, 1.0, 3.0):
        near, far = (
            _row_exactly(p, total, value) - formula(total, value, np.log(p * (1 - p))) for total in (count, 2 * count)
        )
        powers.append(np.log2(near / far))
    return Outcome(float(np.abs(np.subtract(powers, 1)).max()), 0.5, "powers are whole numbers, so half decides")


def _row_exactly(p: float, total: int, value: float) -> float:
    counts = np.arange(total + 1)
    log_evidence = special.betaln(counts + value, total - counts + value) - special.betaln(value, value)
    return float(total * (p * np.log(p) + (1 - p) * np.log(1 - p)) - stats.binom.pmf(counts, total, p) @ log_evidence)


@cache
def total_regret(states: int) -> tuple[NDArray[Any], Array]:
    """Contexts, longest first, and total regret of the bigram strategy there, nats; flat rows.

    Exact for k = 2, shape (1, contexts); for k > 2 one row per scrambling, which all contexts share, of the chains.
    """
    if states == 2:
        contexts = LONGEST // 2 ** np.arange(4)
        rate = np.arange(1, LONGEST + 1) * float(ideal_limit_losses.bigram)
        return contexts, (np.cumsum(flat_losses().bigram) - rate)[None, contexts - 1]
    contexts, chains = 120 // 2 ** np.arange(4), 256
    rows = []
    for generator in np.random.default_rng(0).spawn(RANDOMISATIONS):
        matrices, weights = nodes(Dirichlet(states), chains, generator)
        rows.append(
            [
                t * weights @ (ideal.ngram_loss(matrices, int(t), 1.0, order=2) - ideal.ngram_limit(matrices, order=2))
                for t in contexts
            ]
        )
    return contexts, np.array(rows)


def _coefficients(contexts: NDArray[Any], totals: Array, terms: int) -> NDArray[Any]:
    """Of ln T, 1, ln(T)/T and 1/T, or the first `terms` of them, through as many of the longest contexts; shape (terms, rows)."""
    t = contexts[:terms, None].astype(float)
    powers = np.hstack([np.log(t), np.ones_like(t), np.log(t) / t, 1 / t])[:, :terms]
    return np.linalg.solve(powers, totals[:, :terms].T)


FALSE_ALARM = 1e-4
"""Probability that a check with a standard error fails by chance."""


def _fitted(states: int, which: int) -> Outcome:
    """`which` is 0 for the coefficient of ln T, 1 for the constant."""
    contexts, totals = total_regret(states)
    if states == 2:
        mean = flat
    else:
        mean = expectation(Dirichlet(states), lambda p: np.log(stationary(p)).mean(axis=1), tolerance=2e-4).value
    closed = regret.subs({k: states, alpha: 1, log_stationary: mean})
    slope = sp.diff(closed, T) * T
    predicted = float((slope, sp.expand_log(closed, force=True) - slope * sp.log(T))[which])
    fewer, more = (_coefficients(contexts, totals, terms)[which] for terms in (3, 4))
    chance = (
        stats.t.isf(FALSE_ALARM / 2, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else 0.0
    )
    left_out = abs(more.mean() - fewer.mean())
    return Outcome(
        abs(float(more.mean()) - predicted),
        float(left_out + chance),
        f"found {more.mean():.4f}, predicted {predicted:.4f}; change by the last term of the fit {left_out:.2g}, sampling {chance:.2g}",
    )


def _doublings() -> Outcome:
    """With R = ln T + const + O(ln²T/T), what a doubling lacks of ln 2 falls by a factor between 1/2 and that of ln²T/T."""
    contexts = LONGEST // 2 ** np.arange(5, -1, -1)
    rate = contexts * float(ideal_limit_losses.bigram)
    totals = np.cumsum(flat_losses().bigram)[contexts - 1] - rate
    lacking = np.log(2) - np.diff(totals)
    fall = lacking[1:] / lacking[:-1]
    slowest = (np.log(contexts[1:-1]) / np.log(contexts[:-2])) ** 2 / 2
    outside = np.maximum(0.5 - fall, fall - slowest)
    return Outcome(float(outside.max()), 0.0, f"inside the interval or not; falls {np.round(fall, 3).tolist()}")

"""onset.theory.mean_fields.linear: the linear family's logits, symbolically at finite T, and their
compiled evaluation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy import integrate

from onset.theory.markov.priors import DoublyStochastic
from onset.theory.mean_fields import linear
from onset.theory.mean_fields.linear import (
    C,
    LinearMeanField,
    Omega,
    Q,
    excess,
    lag_share,
    layer1_weight,
    logit,
    pi_i,
    pi_j,
    q,
    source,
    u,
)
from onset.theory.setting import Setting


def test_lag_share_is_the_average_of_the_layer_1_weight():
    """p_r(u) = (q_r/u) ln(1 + u/Q), and u p_r(u) is the integral of a_r from 0 to u."""
    assert sp.simplify(sp.expand_log(lag_share() - q / u * sp.log(1 + u / Q), force=True)) == 0
    assert sp.simplify(sp.diff(u * lag_share(), u) - layer1_weight().subs(source, u)) == 0
    assert sp.limit(u * lag_share(), u, 0) == 0


def test_lag_share_limits():
    """A strong lag takes all attention, a weak one the share q/u ln(1/q): p → 1 as q = Q → ∞, p/(q ln(1/q)) → 1/u as q
    = Q → 0."""
    alone = lag_share().subs(Q, q)
    assert sp.limit(alone, q, sp.oo) == 1
    assert sp.limit(sp.expand_log(alone / (q * sp.log(1 / q)), force=True).subs(u, sp.Rational(1, 2)), q, 0) == 2


def test_logit_is_the_exact_expectation_at_finite_context():
    """E Σ_{s≤t} (ω z_s[i] + c) 1[x_s = j] over all sequences, k = 2 and T = 4 with symbolic P and rational lag weights,
    is f_j(t/T; i)."""
    a, b, c, omega = sp.symbols("a b c omega", positive=True)
    chain, law = sp.Matrix([[1 - a, a], [b, 1 - b]]), (b / (a + b), a / (a + b))
    context, weights = 4, [sp.Integer(n) for n in (2, 5, 1, 3)]
    attention = [[w / sum(weights[:s]) for w in weights[:s]] for s in range(1, context + 1)]
    for t, i, j in itertools.product((1, 3, 4), (0, 1), (0, 1)):
        expected = 0
        for x in itertools.product((0, 1), repeat=t):
            probability = law[x[0]] * sp.prod([chain[before, after] for before, after in itertools.pairwise(x)])
            z = [sum(attention[s][r] * int(x[s - r] == i) for r in range(s + 1)) for s in range(t)]
            expected += probability * sum(omega * z[s] + c for s in range(t) if x[s] == j)
        shares = [sum(row[r] for row in attention[r:t]) / t for r in range(t)]
        lags = sum(share * ((chain**r)[i, j] - law[j]) for r, share in enumerate(shares))
        claimed = logit().subs(
            {
                u: sp.Rational(t, context),
                C: c * context,
                Omega: omega * context,
                pi_i: law[i],
                pi_j: law[j],
                excess: lags,
            }
        )
        assert sp.simplify(expected - claimed) == 0


def test_compiled_partials_are_the_symbolic_ones():
    """What the code evaluates is logit() and its derivatives by C, Ω and X, here in 40 digits against doubles."""
    values = (0.3, -1.7, 4.1, 0.25, 0.6, -0.08)
    symbols = (u, C, Omega, pi_i, pi_j, excess)
    at = dict(zip(symbols, map(sp.Rational, values), strict=True))
    claimed = [logit(), u * pi_j, u * pi_i * (pi_j + excess), u * Omega * pi_i]
    for computed, expression in zip(linear._compiled()(*values), claimed, strict=True):
        assert computed == pytest.approx(float(expression.subs(at)), rel=8 * np.finfo(float).eps)


def limit_loss(scaled: tuple[float, float], lag1: float) -> float:
    """The T → ∞ loss for doubly stochastic k = 2 (P_00 = p, π = 1/2) by nested quadrature of the closed form, one lag
    with q_1 = Q."""
    off_diagonal, match = scaled

    def integrand(p: float, position: float) -> float:
        share = lag1 / position * np.log1p(position / lag1)
        same, other = (
            position * (off_diagonal / 2 + match / 2 * (1 / 2 + sign * share * (p - 1 / 2))) for sign in (1, -1)
        )
        return np.logaddexp(same, other) - p * same - (1 - p) * other

    return integrate.dblquad(integrand, 0, 1, 0, 1, epsabs=1e-11)[0]


def test_loss_tends_to_the_closed_form_as_one_over_the_context(slope):
    """At fixed C, Ω and q_1 the loss approaches the quadrature of the limiting formulas with slope -1 in T."""
    scaled, lag1 = (1.0, 9.0), 0.2
    limit = limit_loss(scaled, lag1)
    contexts = [6400, 12800, 25600, 51200]
    errors = []
    for context in contexts:
        dynamics = LinearMeanField.of(
            Setting.of("linear", prior=DoublyStochastic(2), context=context), lags=2, count=32
        )
        point = np.array([sum(scaled) / context, scaled[0] / context, 0.0, np.log1p(lag1 * context)])
        errors.append(dynamics.gradient(point).loss - limit)
    print("T × error", np.array(errors) * contexts)
    assert slope(contexts, errors) == pytest.approx(-1, abs=0.05)
    extrapolated = 2 * errors[-1] - errors[-2]
    assert abs(extrapolated) < abs(errors[-1]) / 10


def test_the_logit_is_bilinear_in_match_and_excess():
    """Its coefficients, at which lag shares are integrated, give it back at any excess."""
    generator = np.random.default_rng(0)
    at_u, by_c, by_omega, law_i, law_j, above = generator.uniform(0.1, 0.9, size=(6, 50))
    of_c, of_omega, of_excess = linear._coefficients()(law_i, law_j)
    logits = linear.logit_and_slopes(at_u, by_c, by_omega, law_i, law_j, above)[0]
    np.testing.assert_allclose(at_u * (by_c * of_c + by_omega * (of_omega + above * of_excess)), logits, rtol=1e-12)

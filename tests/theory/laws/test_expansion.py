"""onset.theory.laws.expansion: tables against exact correlations, and both orders against a plain loss differenced on
the same sequences."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.derivations import signals
from onset.theory.laws import expansion as module
from onset.theory.laws.expansion import GROUPS, LAGS, READOUTS, drive
from onset.theory.laws.sampling import draw
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet
from onset.theory.markov.signals import correlations


def plain_loss(transition, weights, tokens, readout, match, lag_logits) -> float:
    """Softmax family's loss, position by position and source by source; lags beyond R keep v = 0."""
    length, total = len(tokens), 0.0
    for n, (rows, weight) in enumerate(zip(transition, weights, strict=True)):
        x = tokens[:, n]
        for t in range(1, length + 1):
            held = np.zeros(len(rows))
            for s in range(1, t + 1):
                logits = np.array([lag_logits[r] if r < LAGS else 0.0 for r in range(s)])
                attention = np.exp(logits) / np.exp(logits).sum()
                score = sum(attention[r] for r in range(s) if x[s - 1 - r] == x[t - 1])
                held[x[s - 1]] += np.exp(match * score)
            f = readout * held / held.sum()
            total += weight * (np.log(np.exp(f).sum()) - rows[x[t - 1]] @ f) / length
    return total


@pytest.mark.parametrize("prior", [Dirichlet(2), Dirichlet(3, 0.5)])
def test_both_orders_are_derivatives_of_the_loss(prior):
    """G, its slopes by the lag logits and ∂L₀/∂μ by central differences of the plain loss in ω, v and μ; K by the
    second difference."""
    context, readout, h = 9, 1.3, 1e-3
    logits = np.array([0.2, 0.7, -0.3, 0.1, 0.0, 0.4])
    table, slope = module._first_order(prior, context, 4, readout, np.random.default_rng(5))
    generator = np.random.default_rng(5)
    transition, weights = nodes(prior, 4, generator)
    tokens = draw(transition, context, generator)

    def loss(mu, omega, v):
        return plain_loss(transition, weights, tokens, mu, omega, v)

    for m, level in enumerate(READOUTS * readout):
        push, by_lag = drive(table[m], logits)
        assert push == pytest.approx(-(loss(level, h, logits) - loss(level, -h, logits)) / (2 * h), abs=h**2)
        differenced = [
            -(
                loss(level, h, logits + e)
                - loss(level, -h, logits + e)
                - loss(level, h, logits - e)
                + loss(level, -h, logits - e)
            )
            / (4 * h * h)
            for e in h * np.eye(LAGS)
        ]
        np.testing.assert_allclose(by_lag, differenced, atol=10 * h**2)
        assert slope[m] == pytest.approx((loss(level + h, 0, logits) - loss(level - h, 0, logits)) / (2 * h), abs=h**2)
    bent = module.second_order(prior, context, 4, readout, [logits], np.random.default_rng(5))[0]
    second = (loss(readout, h, logits) - 2 * loss(readout, 0, logits) + loss(readout, -h, logits)) / h**2
    assert bent == pytest.approx(second, abs=10 * h**2)


def test_table_agrees_with_exact_correlations_at_a_small_readout(within):
    """Push and drive of lag 1 per μ, T = 12, two states, against `signals.softmax`; μ = 1e-4 changes them by about as
    much."""
    context, prior = 12, Dirichlet(2)
    parts = [
        module._first_order(prior, context, 4096, 1e-4, generator)[0][2] / 1e-4
        for generator in np.random.default_rng(0).spawn(GROUPS)
    ]
    sampled = np.array([[drive(part, np.zeros(LAGS))[0], drive(part, np.zeros(LAGS))[1][1]] for part in parts])
    known = correlations(*nodes(prior, 1024), context)
    exact = [
        -signals.evaluate(signals.softmax, T=context, mu=1.0, K=k, M=m, C=known)
        for k, m in (signals.kernel(context), signals.kernel(context, 1))
    ]
    within("push and drive", sampled.mean(axis=0), exact, sampled.std(axis=0, ddof=1) / np.sqrt(GROUPS))


def test_between_readouts_the_table_is_interpolated():
    """At `READOUTS` themselves exactly, and the derivative that of the cubic through them."""
    table = (READOUTS**3)[:, None, None]
    coefficients = module.Expansion(1.0, table, READOUTS, 1.0, np.polynomial.Chebyshev([0.0]), READOUTS)
    for x in READOUTS:
        value, derivative, slope, level = coefficients.at(float(x))
        np.testing.assert_allclose(value.item(), x**3, atol=1e-12)
        np.testing.assert_allclose(derivative.item(), 3 * x**2, atol=1e-12)
        assert (slope, level) == pytest.approx((x, x), abs=1e-12)


@pytest.mark.parametrize("level", [0.25, 0.75, 1.25])
def test_second_order_at_other_readouts(level):
    """K/K(μ*) between and at the read-outs of the table, against K sampled there on other sequences, within 4 standard
    errors of their ratio; it is not μ/μ*."""
    prior, context, count, groups = Dirichlet(3), 25, 2048, 8
    coefficients = module.expansion(prior, context)[0]
    stated = coefficients.at(level * coefficients.readout)[3]
    start = [np.zeros(LAGS)]
    ratios = [
        module.second_order(prior, context, count, level * coefficients.readout, start, np.random.default_rng(seed))[0]
        / module.second_order(prior, context, count, coefficients.readout, start, np.random.default_rng(seed))[0]
        for seed in range(100, 100 + groups)
    ]
    error = np.std(ratios, ddof=1) / np.sqrt(groups)
    print(f"μ = {level} μ*: stated {stated:.4f}, sampled {np.mean(ratios):.4f} ± {error:.4f}")
    assert abs(stated - np.mean(ratios)) < 4 * error + 2e-3  # the cubic through four read-outs
    assert abs(stated - level) > 0.1


def test_curvature_is_sampled_up_to_twice_the_attention_of_a_formed_head():
    """A fifth of the last position's attention on lag 1, beside T - 1 sources at v = 0."""
    coefficients, *_ = module.expansion(Dirichlet(2), 20)
    weight = np.exp(coefficients.farthest)
    assert weight / (weight + 19) == pytest.approx(0.2)

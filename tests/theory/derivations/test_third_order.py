"""onset.theory.derivations.third_order: its checks, and that they can fail."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import third_order


def test_all_checks_pass(theory_checks):
    for result in theory_checks("third-order"):
        print(result.check.name, result.residual, result.error)
        assert result.passed


@pytest.mark.parametrize("name", ["_lag_2", "_lag_1"])
def test_a_wrong_gain_is_found(name, monkeypatch):
    """Without what the other symbols take, neither is lag 1 silent nor lag 2 a square."""
    h, i, j, model = third_order.h, third_order.i, third_order.j, third_order.sigma[third_order.i, third_order.j]
    alone = third_order.law[h, i] * (third_order.P[h, i, j] - model) * third_order.J[h, i, j]
    monkeypatch.setattr(third_order, "after", sp.Sum(alone, *third_order.every))
    assert not getattr(third_order, name)().passed


@pytest.mark.parametrize("expression", ["after_linear", "before"])
def test_a_wrong_drive_is_found(expression, monkeypatch):
    monkeypatch.setattr(third_order, expression, getattr(third_order, expression) * 1.01)
    assert not third_order._mean_field().passed


def test_lag_two_leads_over_the_prior():
    """Flat chains with an ideal read-out: lag 2 is driven most, lag 1 not at all."""
    chains = np.random.default_rng(0).dirichlet(np.ones(2), size=(64, 4))
    from onset.theory.markov.chains import block_law

    pairs = block_law(chains, 2)
    bigram = block_law(chains, 3).sum(axis=1) / pairs.sum(axis=1)[:, :, None]
    signals = third_order.signals(chains, np.full(64, 1 / 64), bigram, 5)
    print(signals)
    assert int(signals.argmax()) == 2
    assert signals[1] == pytest.approx(0, abs=1e-15)

"""onset.theory.derivations.bigram_regret: k(k-1)/2 ln T and its constant."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import bigram_regret
from onset.theory.derivations.bigram_regret import T, alpha, k, log_stationary, total_regret


def test_two_flat_states_in_closed_form():
    """ln T + 3/2 - ln 8π, the statement's value for k = 2, α = 1; `function` evaluates it."""
    closed = bigram_regret.regret.subs({k: 2, alpha: 1, log_stationary: bigram_regret.flat})
    expected = sp.log(T) + sp.Rational(3, 2) - sp.log(8 * sp.pi)
    assert sp.simplify(sp.expand_log(sp.expand_func(closed) - expected, force=True)) == 0
    evaluate = bigram_regret.derive().function(T, k, alpha, log_stationary, modules="scipy")
    assert evaluate(100.0, 2, 1.0, 0.5 - 2 * math.log(2)) == pytest.approx(math.log(100) + 1.5 - math.log(8 * math.pi))


def test_free_parameters_cost_half_a_logarithm_each():
    """T dR/dT = k(k-1)/2 for any concentration."""
    assert sp.simplify(sp.diff(bigram_regret.regret, T) * T - k * (k - 1) / 2) == 0


def test_contexts_halve():
    for states, value in ((2, 1.0), (2, 0.5), (5, 1.0)):
        contexts, totals = total_regret(states, value)
        assert (contexts[:-1] // contexts[1:] == 2).all()
        assert len(contexts) == totals.shape[1] == 4
        assert (np.diff(totals) < 0).all()  # a longer context costs more in all, fewer nats each


def test_contexts_share_their_chains():
    """Beyond two states the same chains are followed: regrets rise with T in every scrambling."""
    contexts, totals = bigram_regret.total_regret(3)
    assert totals.shape == (16, len(contexts))
    assert np.all(np.diff(contexts) < 0)
    assert np.all(np.diff(totals, axis=1) < 0)


def test_wrong_losses_are_found(monkeypatch):
    right = bigram_regret.flat_losses
    monkeypatch.setattr(bigram_regret, "flat_losses", lambda: right()._replace(bigram=right().bigram * 1.001))
    assert not bigram_regret._doublings().passed


def test_a_constant_that_forgets_the_concentration_is_found(theory_derivation):
    """ψ(k) in place of ψ(kα), equal at α = 1: by the average over the prior, and by the exact losses at α = 2."""
    derivation = theory_derivation("bigram-regret")
    wrong = derivation.value.subs(sp.digamma(k * alpha), sp.digamma(k))
    assert wrong != derivation.value
    assert sp.expand_func(wrong.subs(alpha, 1)) == sp.expand_func(derivation.value.subs(alpha, 1))
    statement = sp.Eq(derivation.statement.lhs, wrong, evaluate=False)
    results = [derivation.run(check, statement=statement) for check in derivation.checks]
    assert {"averaged", "constant-2-2"} <= {result.check.name for result in results if result.passed is False}

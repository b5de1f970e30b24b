"""onset.theory.derivations.bigram_regret: k(k-1)/2 ln T and its constant, and that its checks can fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import bigram_regret
from onset.theory.derivations.bigram_regret import T, alpha, k, log_stationary, logs


@pytest.mark.parametrize("check", bigram_regret.derive().checks, ids=lambda check: check.name)
def test_check(check):
    """Every check of the derivation is within its tolerance."""
    residual = check()
    assert residual.passed, residual


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


def test_contexts_share_their_chains():
    """Beyond two states the same chains are followed: regrets rise with T in every scrambling."""
    contexts, totals = bigram_regret.total_regret(3)
    assert totals.shape == (16, len(contexts))
    assert np.all(np.diff(contexts) < 0)
    assert np.all(np.diff(totals, axis=1) < 0)


@pytest.mark.parametrize(
    ("name", "change", "check"),
    [
        ("row_regret", lambda f: f + sp.Rational(1, 2), bigram_regret._stirling),
        ("row_regret", lambda f: f - logs / 100, bigram_regret._row),
        ("regret", lambda f: f.subs(T, T ** sp.Rational(101, 100)), lambda: bigram_regret._fitted(2, 0)),
        ("regret", lambda f: f + sp.Rational(1, 20), lambda: bigram_regret._fitted(2, 1)),
        ("regret", lambda f: f.subs(T, T ** sp.Rational(103, 100)), lambda: bigram_regret._fitted(3, 0)),
        ("regret", lambda f: f + sp.Rational(1, 2), lambda: bigram_regret._fitted(3, 1)),
        ("flat_losses", lambda f: lambda: f()._replace(bigram=f().bigram * 1.001), bigram_regret._doublings),
    ],
    ids=["stirling", "row", "slope-2", "constant-2", "slope-3", "constant-3", "doublings"],
)
def test_checks_can_fail(monkeypatch, name, change, check):
    """Each check fails when the formula, or the losses, are changed."""
    monkeypatch.setattr(bigram_regret, name, change(getattr(bigram_regret, name)))
    assert not check().passed

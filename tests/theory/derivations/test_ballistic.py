"""onset.theory.derivations.ballistic: its checks, that they can fail, and its scaling."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from onset.theory.checks import ballistic as checks
from onset.theory.derivations import ballistic


def test_all_checks_pass(theory_checks):
    for result in theory_checks("ballistic-growth"):
        print(result.check.name, result.residual, result.error)
        assert result.passed


def test_wrong_formulas_are_found(monkeypatch):
    right = ballistic.waiting
    monkeypatch.setattr(checks, "waiting", lambda *arguments: 0.9 * right(*arguments))
    assert not checks._mean_field().passed
    monkeypatch.setattr(ballistic, "follower", ballistic.follower.subs(ballistic.rho, sp.sqrt(ballistic.rho)))
    assert not ballistic._follower().passed


def test_rates_enter_through_their_geometric_mean_and_the_limit_is_closed():
    """Four times either rate halves the time; one lag at T = 10^200 has √(π/2) T/(S (ln T + γ - 5/2) √(Mη))."""
    base = ballistic.waiting(400, 1.0, {1: 0.1}, 100.0, 1.0)
    assert ballistic.waiting(400, 1.0, {1: 0.1}, 400.0, 1.0) == pytest.approx(base / 2, rel=1e-12)
    assert ballistic.waiting(400, 1.0, {1: 0.1}, 100.0, 4.0) == pytest.approx(base / 2, rel=1e-12)
    context = 1e200
    logarithm = np.log(context) + np.euler_gamma - 2.5  # w has the mean 1/2 and the variance 1/2 under e^{-w}/√w
    limit = np.sqrt(np.pi / 2) * context / (0.1 * logarithm * 10)
    assert abs(ballistic.waiting(context, 12.0, {1: 0.1}, 100.0, 1.0) / limit - 1) < 1 / logarithm**2 + np.exp(-12)


def test_short_contexts_are_refused():
    with pytest.raises(ValueError, match="context = 8"):
        ballistic.waiting(8, 2.0, {1: 0.1}, 100.0, 1.0)

"""onset.theory.derivations.ballistic: its stated errors, and its scaling."""

from __future__ import annotations

import re

import numpy as np
import pytest
import sympy as sp

from onset.theory.checks import ballistic as checks
from onset.theory.derivations import ballistic, get
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.markov.signals import signal


def test_a_wrong_time_is_found(monkeypatch):
    right = ballistic.waiting
    monkeypatch.setattr(checks, "waiting", lambda *arguments: 0.9 * right(*arguments))
    assert not checks._mean_field().passed


def test_stated_errors_are_those_of_the_mean_field():
    """The percentages of the validity, rounded as they are printed."""
    strengths = {r: signal(DoublyStochastic(2), r).value for r in checks.ODD}
    stated = re.findall(r"by (\d+)% at \$T = (\d+)\$", get("ballistic-growth").validity)
    assert len(stated) == 3
    for percent, context in ((int(percent), int(context)) for percent, context in stated):
        rates = checks._setting(context).training.optimizer.learning_rate
        predicted = ballistic.waiting(
            context, checks.LOGIT, strengths, rates["match"] * context**2, rates["lag_logits"]
        )
        early = 1 - predicted / checks._integrated(context)
        print(f"T = {context}: {early:.3f} early, stated {percent}%")
        assert round(100 * early) == percent


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


def test_one_lag_alone_has_the_root_of_pi():
    assert get("ballistic-growth").equations["one_lag"].args[1] == sp.sqrt(sp.pi)

"""onset.theory.derivations.adam_law: its checks, that they can fail, and the noise profile."""

from __future__ import annotations

import numpy as np
import sympy as sp

from onset.theory.derivations import adam_law


def test_all_checks_pass(theory_checks):
    for result in theory_checks("adam-law"):
        print(result.check.name, result.residual, result.error)
        assert result.passed


def test_wrong_formulas_are_found(monkeypatch):
    monkeypatch.setattr(adam_law, "background", adam_law.background * sp.Rational(101, 100))
    assert not adam_law._integral().passed
    assert not adam_law._limits().passed
    assert not adam_law._eliminated().passed
    monkeypatch.setattr(adam_law, "rate", adam_law.rate.subs(adam_law.B, 2 * adam_law.B))
    assert not adam_law._speed().passed


def test_profile_by_the_letter():
    """Plain loops over sources; lags that no source has do not contribute, lag 0 of the first source has no choice."""
    lag_logits = np.array([0.3, 1.2, -0.4, 0.0, 0.7])
    expected = np.zeros(5)
    for source in range(1, 6):
        weight = np.exp(lag_logits[:source])
        share = weight / weight.sum()
        expected[:source] += (share * (1 - share)) ** 2 * (6 - source) / 5
    np.testing.assert_allclose(adam_law.profiles(lag_logits, 2)[0], expected, rtol=1e-14)


def test_loss_profile_by_the_letter():
    """Minus the derivative of the attention to the first two lags, by central differences, per query."""
    lag_logits, step = np.array([0.3, 1.2, -0.4, 0.0, 0.7]), 1e-5
    queries = (6 - np.arange(1, 6)) / 5

    def gained(logits):
        weights = [np.exp(logits[:source]) for source in range(1, 6)]
        return np.array([weight[:2].sum() / weight.sum() for weight in weights]) @ queries

    expected = [-(gained(lag_logits + step * e) - gained(lag_logits - step * e)) / (2 * step) for e in np.eye(5)[2:]]
    np.testing.assert_allclose(adam_law.profiles(lag_logits, 2)[1], expected, rtol=step)

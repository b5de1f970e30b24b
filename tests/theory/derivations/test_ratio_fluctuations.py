"""onset.theory.derivations.ratio_fluctuations: its checks, and that they can fail."""

from __future__ import annotations

from onset.theory.derivations import ratio_fluctuations


def test_all_checks_pass(theory_checks):
    for result in theory_checks("ratio-fluctuations"):
        print(result.check.name, result.residual, result.error)
        assert result.passed


def test_a_wrong_third_order_is_found(monkeypatch):
    """Half the third cumulant leaves an error of the second order; other signs are no expansion of the ratio."""
    stated = ratio_fluctuations.covariance
    monkeypatch.setattr(
        ratio_fluctuations, "covariance", lambda mean, spread, tilted, *rest: stated(mean, spread, tilted / 2, *rest)
    )
    assert not ratio_fluctuations._rate().passed
    monkeypatch.setattr(ratio_fluctuations, "second", ratio_fluctuations.second + ratio_fluctuations.c)
    assert not ratio_fluctuations._expansion().passed

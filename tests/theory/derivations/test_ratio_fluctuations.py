"""onset.theory.derivations.ratio_fluctuations: a third order that is wrong."""

from __future__ import annotations

from onset.theory.derivations import ratio_fluctuations


def test_a_wrong_third_order_is_found(monkeypatch):
    """Half the third cumulant leaves an error of the second order."""
    stated = ratio_fluctuations.covariance
    monkeypatch.setattr(
        ratio_fluctuations, "covariance", lambda mean, spread, tilted, *rest: stated(mean, spread, tilted / 2, *rest)
    )
    assert not ratio_fluctuations._rate().passed

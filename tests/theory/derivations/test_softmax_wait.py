"""The plateau law of the softmax family: what its checks find beyond wrong equations."""

from __future__ import annotations

import pytest

from onset.theory.derivations import softmax_law


def test_a_wrong_integrand_fails(monkeypatch, theory_derivation):
    """`wait` integrates in another variable than the statement is printed in."""
    wrong = softmax_law.integrand.subs(softmax_law.gamma, 1.01 * softmax_law.gamma)
    monkeypatch.setattr(softmax_law, "integrand", wrong)
    softmax_law._integrand.cache_clear()
    try:
        assert theory_derivation("softmax-law").run(softmax_law._stepped).passed is False
    finally:
        softmax_law._integrand.cache_clear()


@pytest.mark.parametrize("kick", [-0.05, -0.5, -2.0])
def test_a_kick_downwards_adds_the_time_in_which_the_push_makes_up_for_it(kick):
    """Any kick below zero: -ω₀/(a γ D) where lag 1 has hardly moved meanwhile."""
    rates = (0.5, 1e-6, 0.01, 0.2)
    late = softmax_law.wait(*rates, kick, 1.0) - softmax_law.wait(*rates, 0.0, 1.0)
    assert late == pytest.approx(-kick / (0.5 * 0.2 * 0.01), rel=1e-3)

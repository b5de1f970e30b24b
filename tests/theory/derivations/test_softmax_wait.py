"""The plateau law of the softmax family: what its checks find beyond wrong equations."""

from __future__ import annotations

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

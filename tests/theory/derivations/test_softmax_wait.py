"""The plateau law of the softmax family: its checks, and a wrong formula that they catch."""

from __future__ import annotations

from onset.theory.derivations import softmax_law


def test_all_checks_pass(theory_checks):
    for result in theory_checks("softmax-law"):
        print(result.check.name, result.residual, result.error)
        assert result.passed


def test_a_wrong_energy_fails(monkeypatch):
    """With γ for γ - 1 the first integral is another's."""
    monkeypatch.setattr(softmax_law, "energy", softmax_law.energy.subs(softmax_law.gamma, softmax_law.gamma + 1))
    assert not softmax_law._energy().passed


def test_a_wrong_integrand_fails(monkeypatch):
    wrong = softmax_law.integrand.subs(softmax_law.gamma, 1.01 * softmax_law.gamma)
    monkeypatch.setattr(softmax_law, "integrand", wrong)
    softmax_law._integrand.cache_clear()
    try:
        assert not softmax_law._stepped().passed
    finally:
        softmax_law._integrand.cache_clear()

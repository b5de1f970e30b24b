"""onset.theory.derivations.plateau_law: its checks, and that they can fail."""

from __future__ import annotations

import sympy as sp

from onset.theory.derivations import plateau_law
from onset.theory.derivations.plateau_law import resummed


def test_all_checks_pass(theory_checks):
    for result in theory_checks("plateau-law"):
        print(result.check.name, result.residual, result.error)
        assert result.passed


def test_resummation_agrees_to_first_order_and_stays_finite():
    slow, ratio = plateau_law.slow, sp.Symbol("r", positive=True)
    of_ratio = sp.simplify(resummed.subs(plateau_law.delay, ratio * slow) / slow)
    assert sp.series(of_ratio, ratio, 0, 2).removeO().equals(1 + ratio)
    assert sp.limit(of_ratio, ratio, sp.oo) == 2


def test_a_wrong_logarithmic_integral_is_found(monkeypatch):
    """Without the offset B the antiderivative is no longer one."""
    monkeypatch.setattr(plateau_law, "leading", plateau_law.leading.subs(plateau_law.B, 0))
    assert not plateau_law._antiderivative().passed

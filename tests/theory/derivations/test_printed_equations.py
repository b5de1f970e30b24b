"""All derivations: checks pass, every printed equation is evaluated by one, and each fails if the equation is wrong."""

from __future__ import annotations

import pytest
from corruptions import unnoticed

from onset.theory.derivations import _MODULES


@pytest.mark.parametrize("name", _MODULES)
def test_all_checks_pass(name, theory_derivation):
    results = theory_derivation(name).check()
    for result in results:
        print(result.check.name, result.residual, result.error)
    assert [result.check.name for result in results if not result.passed] == []


@pytest.mark.parametrize("name", _MODULES)
def test_corrupted_equations_are_found(name, theory_derivation):
    """Of every printed equation, and by every check that asks for it."""
    derivation = theory_derivation(name)
    assert derivation.unevaluated == []
    assert unnoticed(derivation) == []

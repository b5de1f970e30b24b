"""Checks of derivations that need nothing but theory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onset.theory import derivations
from onset.theory.derivations.derivation import CheckResult


@pytest.fixture
def theory_checks() -> Callable[[str], list[CheckResult]]:
    """Run the checks of a derivation, without those that other tests of the process have attached to it."""

    def run(name: str) -> list[CheckResult]:
        return list(derivations._imported(derivations._MODULES[name]).run_checks())

    return run

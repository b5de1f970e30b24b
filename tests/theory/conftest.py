"""Derivations with the checks that need nothing but theory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onset.theory import derivations
from onset.theory.derivations.derivation import Derivation


@pytest.fixture
def theory_derivation() -> Callable[[str], Derivation]:
    """A derivation without the checks that other tests of the process have attached to it."""
    return lambda name: derivations._imported(derivations._MODULES[name])

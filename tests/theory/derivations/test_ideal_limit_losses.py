"""onset.theory.derivations.ideal_limit_losses: losses as T → ∞ in π and ln 2."""

from __future__ import annotations

import math

import numpy as np
import sympy as sp

from onset.theory.derivations import get, ideal_limit_losses


def test_closed_forms():
    """Bigram 1/6 + π²/9 - (2/3) ln 2 (1 + ln 2), unigram 2 ln 2 - π²/12, and the statement evaluates to them."""
    ln2 = sp.log(2)
    bigram = sp.Rational(1, 6) + sp.pi**2 / 9 - sp.Rational(2, 3) * ln2 * (1 + ln2)
    assert sp.simplify(ideal_limit_losses.bigram - bigram) == 0
    assert sp.simplify(ideal_limit_losses.unigram - (2 * ln2 - sp.pi**2 / 12)) == 0
    losses = np.ravel(get("ideal-limit-losses").function()())
    expected = [float(bigram), 2 * math.log(2) - math.pi**2 / 12]
    np.testing.assert_allclose(losses, expected, rtol=4 * np.finfo(float).eps)

"""onset.theory.derivations.alternation: closed forms, the even-odd theorem, and that it can fail."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import alternation
from onset.theory.markov.priors import Dirichlet, sample

EPS = np.finfo(float).eps


def test_first_signals_in_exact_arithmetic():
    """S_0 … S_3 of flat rows, integrated by hand."""
    ln2 = sp.log(2)
    unigram = [sp.Rational(11, 6) - 8 * ln2 / 3, sp.Rational(13, 2) - 28 * ln2 / 3]
    for lag, expected in enumerate(unigram):
        assert sp.simplify(alternation.exact(alternation.closed_form(), lag) - expected) == 0
    # ∫∫ of the chain's part over the square, by sympy in a and b directly.
    a, b = alternation.a, alternation.b
    part = alternation.chain_part["unigram"].subs(
        {alternation.w: alternation.overlap, alternation.rho: alternation.eigenvalue, alternation.m: 0}
    )
    inner = sp.integrate(sp.apart(part, a), (a, 0, 1))
    assert float(sp.Integral(inner, (b, 0, 1)).evalf(15)) == pytest.approx(float(unigram[0]), abs=1e-12)


def test_signals_chain_by_chain():
    """For even m, |S_m| ≤ (S_{m-1} + S_{m+1})/2 on 2,000 random two-state chains; S_1 ≥ 0 for five states."""
    signals = alternation.chain_signals(sample(Dirichlet(2, 0.3), np.random.default_rng(0), 2000), 10)
    for m in (2, 4, 6, 8):
        assert np.all(np.abs(signals[:, m]) <= (signals[:, m - 1] + signals[:, m + 1]) / 2 + 16 * EPS)
    more = alternation.chain_signals(sample(Dirichlet(5, 0.3), np.random.default_rng(0), 2000), 2)
    assert np.all(more[:, 1] > 0)


def test_a_rotation_has_a_negative_third_signal():
    """Three states in turn, kept with probability 0.1: not reversible, and S_1 > 0 > S_3."""
    rotation = 0.1 / 3 * np.ones((1, 3, 3)) + 0.9 * np.roll(np.eye(3), 1, axis=1)
    signals = alternation.chain_signals(rotation, 4)[0]
    # N = .9 (R - J/3): tr(NᵀN)/9 = .9² 2/9 and tr(NᵀN³)/9 = .9⁴ (tr R² - 1)/9 = -.9⁴/9.
    np.testing.assert_allclose(signals[[1, 3]], [0.81 * 2 / 9, -(0.9**4) / 9], atol=32 * EPS)


def test_moments_of_the_overlap():
    """E ρⁿ wᵖ of flat rows by Gauss-Legendre in other coordinates, n, p ≤ 3, with negative powers left by division."""
    matrices, weights = alternation.flat_rule(40)
    a, b = matrices[:, 0, 1], matrices[:, 1, 0]
    n = sp.Symbol("n", integer=True, nonnegative=True)
    for p in range(1, 4):
        closed = alternation.moment(lambda z, p=p: z**p, n)
        for power in range(4):
            value = float(closed.subs(n, power).evalf(17))
            expected = weights @ ((1 - a - b) ** power * (a * b / (a + b) ** 2) ** p)
            assert value == pytest.approx(expected, abs=40**2 * EPS)


def test_wrong_forms_are_found(monkeypatch):
    """A signal of another prior or reference wrong by a part in 10⁸, and a wrong sign of odd lags."""
    right = alternation.closed_form
    monkeypatch.setattr(
        alternation,
        "closed_form",
        lambda reference="unigram", concentration=1: right(reference, concentration) * (1 + sp.Rational(1, 10**8)),
    )
    assert not alternation._quadrature().passed
    monkeypatch.setattr(alternation, "closed_form", lambda *arguments: right(*arguments) * (-1) ** alternation.m)
    assert not alternation._theorem().passed


def test_a_wrong_reference_is_found(monkeypatch, theory_derivation):
    monkeypatch.setitem(alternation.chain_part, "uniform", alternation.chain_part["unigram"])
    assert theory_derivation("alternation").run(alternation._chain).passed is False


def test_bad_arguments_are_named():
    """Reference and concentration are named with their value."""
    with pytest.raises(ValueError, match="reference = 'bigram'"):
        alternation.closed_form("bigram")
    with pytest.raises(ValueError, match=r"concentration = 0\.5"):
        alternation.closed_form("unigram", 0.5)

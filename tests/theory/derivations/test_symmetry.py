"""onset.theory.derivations.symmetry: the checks pass, and fail when a formula is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import get, symmetry


@pytest.mark.parametrize("check", symmetry.derive().checks, ids=lambda check: check.name)
def test_check(check):
    """Every check of the derivation is within its tolerance."""
    residual = check()
    assert residual.passed, residual


@pytest.mark.parametrize("states", [2, 3, 7])
def test_the_statement_is_a_least_squares_projection(states):
    """For any matrix, the formula gives the point of span{I, 11ᵀ} nearest to it: numpy's lstsq, to rounding."""
    matrix = np.random.default_rng(states).normal(size=(states, states))
    project = get("symmetry").function(symmetry.g_omega, symmetry.g_c, symmetry.k)
    basis = np.stack([np.ones(states**2), np.eye(states).ravel()], axis=1)
    expected = np.linalg.lstsq(basis, matrix.ravel())[0]
    projected = project(np.trace(matrix), matrix.sum(), states)
    np.testing.assert_allclose(projected.ravel(), expected, atol=states**2 * 10 * np.finfo(float).eps)


def test_a_wrong_decomposition_is_found(monkeypatch):
    """With k in place of k - 1 two checks fail."""
    right = symmetry.decomposition()
    wrong = right.subs(symmetry.k - 1, symmetry.k)
    assert wrong != right
    monkeypatch.setattr(symmetry, "decomposition", lambda: wrong)
    assert [r.check.name for r in symmetry.derive().check() if not r.passed] == ["decomposition", "gradient"]


def test_too_few_relabellings_are_found(monkeypatch):
    """Without one exchange of states more matrices are fixed."""
    whole = symmetry.relabellings
    monkeypatch.setattr(symmetry, "relabellings", lambda states: list(whole(states))[: max(1, states - 2)])
    assert not symmetry._fixed().passed


def test_fixed_matrices_have_two_orbits():
    """Free entries of the general solution: one on the diagonal, one off it, whatever k."""
    for states in (2, 4, 6):
        matrix = symmetry.fixed_matrices(states)
        assert len(set(matrix)) == len(matrix.free_symbols) == 2
        assert isinstance(matrix[0, 0], sp.Symbol)

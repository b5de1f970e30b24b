"""onset.theory.derivations.symmetry: a projection, and as many orbits as stated."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import get, symmetry


@pytest.mark.parametrize("states", [2, 3, 7])
def test_the_statement_is_a_least_squares_projection(states):
    """For any matrix, the formula gives the point of span{I, 11ᵀ} nearest to it: numpy's lstsq, to rounding."""
    matrix = np.random.default_rng(states).normal(size=(states, states))
    project = get("symmetry").function(symmetry.g_omega, symmetry.g_c, symmetry.k)
    basis = np.stack([np.ones(states**2), np.eye(states).ravel()], axis=1)
    expected = np.linalg.lstsq(basis, matrix.ravel())[0]
    projected = project(np.trace(matrix), matrix.sum(), states)
    np.testing.assert_allclose(projected.ravel(), expected, atol=states**2 * 10 * np.finfo(float).eps)


def test_too_few_relabellings_are_found(monkeypatch, theory_derivation):
    """Without one exchange of states more matrices are fixed."""
    whole = symmetry.relabellings
    monkeypatch.setattr(symmetry, "relabellings", lambda states: list(whole(states))[: max(1, states - 2)])
    assert theory_derivation("symmetry").run(symmetry._fixed).passed is False


def test_fixed_matrices_have_two_orbits():
    """Free entries of the general solution: one on the diagonal, one off it, whatever k."""
    for states in (2, 4, 6):
        matrix = symmetry.fixed_matrices(states)
        assert len(set(matrix)) == len(matrix.free_symbols) == 2
        assert isinstance(matrix[0, 0], sp.Symbol)

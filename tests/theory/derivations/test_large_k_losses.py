"""onset.theory.derivations.large_k_losses: losses of many states in powers of 1/k."""

from __future__ import annotations

import numpy as np
import sympy as sp

from onset.theory.derivations import large_k_losses
from onset.theory.derivations.large_k_losses import alpha, draw, k
from onset.theory.markov.priors import Dirichlet, sample


def test_entropy_of_a_flat_row_is_harmonic():
    """ψ(k+1) - ψ(2) = 1/2 + … + 1/k, exactly."""
    for states in range(2, 8):
        harmonic = sum(sp.Rational(1, j) for j in range(2, states + 1))
        assert sp.simplify(draw(alpha).subs({k: states, alpha: 1}) - harmonic) == 0


def test_series_of_delta_converges_to_the_stationary_law():
    """δ₁ + δ₂ + δ₃ leaves a remainder of the order of the fourth power of the excess's norm, chain by chain."""
    matrices = sample(Dirichlet(6, 4.0), np.random.default_rng(0), 200)
    *terms, delta = large_k_losses._terms(matrices)
    norm = np.linalg.norm(matrices - 1 / 6, ord=2, axis=(1, 2))
    left = np.linalg.norm(delta - sum(terms), axis=1)
    # |1ᵀ E⁴ (I - E)^{-1}| ≤ √k norm⁴/(1 - norm).
    assert np.all(left <= np.sqrt(6) * norm**4 / (1 - norm) * (1 + 1e-9))
    assert np.all(norm < 1)

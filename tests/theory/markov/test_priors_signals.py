"""onset.theory.markov.priors: the signals s_m = E Σ_a π_a² Σ_c (P_ac - ref_c)(P^m)_ac of the literature, and errors of
bad arguments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from onset.theory.markov import expectations, priors
from onset.theory.markov.chains import stationary
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram

TABLE = {
    (2, "1/k"): (".1025", ".1252", ".0891", ".1048", ".0896"),
    (2, "pi"): ("-.011", ".0342", "-.002", ".016", ".001"),
    (3, "pi"): ("-.001", ".0369", ".002", ".011", ".004"),
    (4, "pi"): (".002", ".0301", ".002", ".006", ".003"),
}
CHAINS = 20_000
"""Sampled chains behind the table."""


def signal(matrices: np.ndarray, ref: str, m: int) -> np.ndarray:
    law = stationary(matrices)
    reference = law[:, None, :] if ref == "pi" else 1 / matrices.shape[-1]
    return np.einsum("na,nac,nac->n", law**2, matrices - reference, np.linalg.matrix_power(matrices, m))


@pytest.mark.parametrize(("k", "ref"), TABLE)
def test_signals_of_the_literature(k, ref, within):
    """The table to its printed digits and the standard error of its own 20,000 chains."""
    sampled = priors.sample(Dirichlet(k), np.random.default_rng(0), CHAINS)
    for m, printed in enumerate(TABLE[k, ref]):
        computed = expectations.expectation(
            Dirichlet(k), lambda p, m=m: signal(p, ref, m), tolerance=1e-10 if k == 2 else 2e-4
        )
        rounding = 10.0 ** -len(printed.lstrip("-.")) / np.sqrt(12)
        own = signal(sampled, ref, m).std() / np.sqrt(CHAINS)
        within(
            f"s_{m} k = {k} ref {ref}",
            computed.value,
            float(printed),
            np.hypot(np.hypot(own, rounding), computed.error),
        )


@pytest.mark.parametrize("m", range(5))
def test_signals_of_doubly_stochastic_chains(m):
    """k = 2: s_m = E[λ^{m+1}]/4 = 1/(4(m+2)) for odd m, 0 for even m, to 1e-12; both references are the same."""
    closed = 1 / (4 * (m + 2)) if m % 2 else 0.0
    for ref in ("1/k", "pi"):
        computed = expectations.expectation(DoublyStochastic(2), lambda p, ref=ref: signal(p, ref, m), tolerance=1e-13)
        assert computed.value == pytest.approx(closed, abs=1e-12)


@pytest.mark.parametrize("m", range(1, 5))
def test_no_signal_without_memory(m):
    """Memoryless chains: s_m = 0 on the unigram plateau, chain by chain."""
    assert np.abs(signal(expectations.nodes(Unigram(3), 64)[0], "pi", m)).max() < 1e-15


@pytest.mark.parametrize("m", range(4))
def test_signals_by_independent_quadrature(m):
    """k = 2, rows (1-a, a), (b, 1-b): with λ = 1-a-b, pq = ab/(a+b)², s_m = ∫∫ λ pq (1 - 4pq) + 4 λ^{m+1} (pq)² da db
    to 1e-10."""

    def integrand(ratio: float, b: float) -> float:
        a = ratio * b
        pq, eigenvalue = ratio / (1 + ratio) ** 2, 1 - a - b
        return b * (eigenvalue * pq * (1 - 4 * pq) + 4 * eigenvalue ** (m + 1) * pq**2)

    half = integrate.dblquad(integrand, 0, 1, 0, 1, epsabs=1e-12, epsrel=1e-12)[0]
    computed = expectations.expectation(Dirichlet(2), lambda p: signal(p, "pi", m), tolerance=1e-11)
    assert computed.value == pytest.approx(2 * half, abs=1e-10)


def test_expectation_says_when_it_did_not_converge():
    """An error estimate above the tolerance is an error that states both."""
    with pytest.raises(ValueError, match="exceeds tolerance = 1e-12 at most = 128"):
        expectations.expectation(Dirichlet(3), lambda m: m[:, 0, 0] ** 2, tolerance=1e-12, most=128)
    with pytest.raises(ValueError, match="tolerance = 0"):
        expectations.expectation(Dirichlet(3), lambda m: m[:, 0, 0], tolerance=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dirichlet(1), "states = 1"),
        (lambda: DoublyStochastic(2.5), "states = 2.5"),
        (lambda: Dirichlet(2, 0.0), "concentration = 0.0"),
        (lambda: Unigram(2, float("nan")), "concentration = nan"),
        (lambda: Mixture((Dirichlet(2),), (0.5, 0.5)), "1 components and 2 weights"),
        (lambda: Mixture((), ()), "0 components"),
        (lambda: Mixture((Dirichlet(2), Dirichlet(3)), (0.5, 0.5)), r"states \[2, 3\]"),
        (lambda: Mixture((Dirichlet(2), Unigram(2)), (0.5, 0.6)), "sum to 1.1"),
        (lambda: Mixture((Dirichlet(2), Unigram(2)), (1.5, -0.5)), "weights = -0.5"),
    ],
)
def test_bad_priors_are_named(make, message):
    """Each bad argument of a prior is named with its value."""
    with pytest.raises(ValueError, match=message):
        make()

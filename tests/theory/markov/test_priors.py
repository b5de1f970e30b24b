"""onset.theory.markov.priors: each prior samples the law its formulas state, and expectations agree
with closed forms."""

from __future__ import annotations

import itertools
from math import factorial

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma

from onset.theory.markov import expectations, priors
from onset.theory.markov.chains import entropy
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram

COUNT = 20_000
EPS = np.finfo(float).eps
LEAST_P = 1e-4
"""Probability with which a Kolmogorov-Smirnov test fails by chance."""


def draw(prior: priors.Prior, count: int = COUNT) -> np.ndarray:
    return priors.sample(prior, np.random.default_rng(1), count)


def follows(name: str, values: np.ndarray, cdf: object) -> None:
    """Fail if `values` (n, m), m marginals that should all have this distribution function, do not."""
    p = min(stats.kstest(column, cdf).pvalue for column in values.T)
    print(f"{name}: smallest p = {p:.3g}")
    assert p > LEAST_P / values.shape[1]


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("concentration", [1.0, 0.5, 2.5])
def test_dirichlet_marginals(k, concentration, within):
    """Every entry is Beta(α, (k-1)α); covariance within a row -α²/((kα)²(kα+1)), none between rows."""
    sampled = draw(Dirichlet(k, concentration))
    assert np.abs(sampled.sum(axis=2) - 1).max() <= k * EPS
    follows("entries", sampled.reshape(COUNT, -1), stats.beta(concentration, (k - 1) * concentration).cdf)
    products = np.stack([sampled[:, 0, 0] * sampled[:, 0, 1], (sampled[:, 0, 0] - 1 / k) * (sampled[:, 1, 0] - 1 / k)])
    total = k * concentration
    within(
        "E p_1 p_2, cov across rows",
        products.mean(axis=1),
        [concentration**2 / (total * (total + 1)), 0],
        products.std(axis=1) / np.sqrt(COUNT),
    )


def test_doubly_stochastic_marginals():
    """Rows and columns sum to one. k = 2: an entry is U(0, 1). k = 3: with s = 1 - x, density 8(s² - 5s³/6), integrated
    from the definition."""
    for k in (2, 3, 4, 9):
        sampled = draw(DoublyStochastic(k), 2000)
        assert np.abs(sampled.sum(axis=2) - 1).max() <= 2 * k * EPS
        assert np.abs(sampled.sum(axis=1) - 1).max() <= 2 * k * EPS
        assert sampled.min() >= 0
    follows("k = 2", draw(DoublyStochastic(2)).reshape(COUNT, -1), stats.uniform.cdf)
    follows(
        "k = 3",
        draw(DoublyStochastic(3)).reshape(COUNT, -1),
        lambda x: 1 - 8 * ((1 - x) ** 3 / 3 - 5 * (1 - x) ** 4 / 24),
    )


@pytest.mark.parametrize(
    ("k", "rate"),
    [
        (3, 1 / 2),
        (4, 352 / factorial(9) * 6**3),
        (5, 4718075 / factorial(16) * 24**4),
        (6, 14666561365176 / factorial(25) * 120**5),
    ],
)
def test_acceptance_is_the_volume_of_the_birkhoff_polytope(k, rate, within):
    """Accepted share = vol(B_k) ((k-1)!)^{k-1}, volumes of Chan and Robbins (1999)."""
    prior, count = DoublyStochastic(k), 100_000
    _, accepted = prior.transform(np.random.default_rng(2).random((count, prior.dimension)))
    within(f"k = {k}", accepted.mean(), rate, np.sqrt(rate * (1 - rate) / count))


@pytest.mark.parametrize(("k", "concentration"), [(2, 1.0), (4, 1.0), (3, 0.3)])
def test_unigram_rows_are_one_dirichlet_draw(k, concentration):
    """All rows are equal, exactly, and their entries Beta(α, (k-1)α)."""
    sampled = draw(Unigram(k, concentration))
    assert np.array_equal(sampled, np.repeat(sampled[:, :1], k, axis=1))
    follows("entries", sampled[:, 0], stats.beta(concentration, (k - 1) * concentration).cdf)


def test_mixture_draws_each_component_with_its_weight(within):
    """The share of memoryless chains is the weight of Unigram; expectations and nodes are weighted alike."""
    mixture = Mixture((DoublyStochastic(3), Unigram(3)), (0.75, 0.25))
    sampled = draw(mixture)
    memoryless = np.all(sampled == sampled[:, :1], axis=(1, 2))
    within("share", memoryless.mean(), 0.25, np.sqrt(0.25 * 0.75 / COUNT))
    assert np.abs(sampled[~memoryless].sum(axis=1) - 1).max() <= 6 * EPS
    second = expectations.expectation(mixture, lambda m: m[:, 0, 1] ** 2)
    density = 8 * (2 / (3 * 4 * 5) - 5 / 6 * 2 / (4 * 5 * 6))
    within("E P_01²", second.value, 0.75 * density + 0.25 / 6, second.error)
    matrices, weights = expectations.nodes(mixture, 64)
    assert weights[np.all(matrices == matrices[:, :1], axis=(1, 2))].sum() == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize(("kind", "concentration"), [(Dirichlet, 1.0), (Unigram, 1.0), (Unigram, 0.5), (Unigram, 2.5)])
def test_moments_by_cubature(kind, concentration):
    """k = 2: E p² = (α+1)/(2(2α+1)) and E H = ψ(2α+1) - ψ(α+1) to 1e-10 (flat: E H = 1/2)."""
    prior = kind(2, concentration)
    for function, closed in (
        (lambda m: m[:, 1, 0] ** 2, (concentration + 1) / (2 * (2 * concentration + 1))),
        (lambda m: entropy(m[:, 0]), digamma(2 * concentration + 1) - digamma(concentration + 1)),
    ):
        tolerance = 1e-9 if kind is Dirichlet else 1e-11
        computed = expectations.expectation(prior, function, tolerance=tolerance)
        assert computed.value == pytest.approx(closed, abs=1e-10)
        assert computed.error <= tolerance


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_entropy_of_a_flat_row_in_harmonic_numbers(k, within):
    """E H = Σ_{n=2}^{k} 1/n, within the error that is reported with it."""
    closed = sum(1 / n for n in range(2, k + 1))
    computed = expectations.expectation(Unigram(k), lambda m: entropy(m[:, 0]), tolerance=1e-10 if k == 2 else 1e-4)
    if k == 2:
        assert computed.value == pytest.approx(closed, abs=1e-10)
    else:
        error = computed.error * stats.t.isf(5e-5, expectations.RANDOMISATIONS - 1) / stats.norm.isf(5e-5)
        within(f"k = {k}", computed.value, closed, error)


def test_quasi_monte_carlo_beats_monte_carlo(slope):
    """Randomised QMC: the error of a smooth mean falls faster than n^(-1/2) (at least like n^(-0.8) here)."""
    sizes, errors = [2**n for n in range(5, 12)], []
    for size in sizes:
        means = [
            np.average(m[:, 0, 0] ** 2, weights=w)
            for m, w in (expectations.nodes(Dirichlet(3), size, g) for g in np.random.default_rng(3).spawn(16))
        ]
        errors.append(np.sqrt(np.mean((np.array(means) - 1 / 6) ** 2)))
    print("slope", slope(sizes, errors))
    assert slope(sizes, errors) < -0.8


@pytest.mark.parametrize(
    "prior",
    [Dirichlet(2), DoublyStochastic(2), Unigram(2, 2.0), Dirichlet(3), DoublyStochastic(4), DoublyStochastic(7)],
)
def test_nodes_are_a_probability(prior):
    """Weights are positive and sum to one; the same generator gives the same nodes; k = 2 integrates polynomials of
    uniforms exactly."""
    matrices, weights = expectations.nodes(prior, 64, np.random.default_rng(5))
    assert weights.sum() == pytest.approx(1, rel=1e-13)
    assert weights.min() > 0
    assert np.array_equal(matrices, expectations.nodes(prior, 64, np.random.default_rng(5))[0])
    if prior.states == 2:
        assert weights @ matrices[:, 0, 1] == pytest.approx(1 / 2, abs=1e-13)


def test_sampling_gives_what_was_asked_for():
    """Exactly `count` matrices, rejection or not, the same for the same seed."""
    for prior, count in itertools.product(
        [Dirichlet(3), DoublyStochastic(5), Mixture((Dirichlet(2), Unigram(2)), (0.5, 0.5))], [0, 1, 257]
    ):
        sampled = draw(prior, count)
        assert sampled.shape == (count, prior.states, prior.states)
        assert np.array_equal(sampled, draw(prior, count))


@pytest.mark.parametrize("prior", [DoublyStochastic(3), Dirichlet(3)], ids=str)
def test_as_many_matrices_as_asked_for(prior):
    """Where some of the points fall outside the prior's support, more are drawn."""
    for count in (64, 200):
        matrices, weights = expectations._scrambled(prior, count, np.random.default_rng(0))
        assert len(matrices) >= count - 1  # weights sum to the number of points that count
        assert weights.sum() >= count or weights.all()
        assert (weights > 0).all()
    whole = prior.transform(np.random.default_rng(1).random((500, prior.dimension)))[1]
    assert (whole == 0).any() == (prior == DoublyStochastic(3))

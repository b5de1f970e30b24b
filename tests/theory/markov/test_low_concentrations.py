"""Priors at concentrations from 1e-4 to 1e4: maps, stationary laws and losses where probabilities leave doubles."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onset.simulate.losses import strategy_losses
from onset.theory.derivations.ideal_limit_losses import general
from onset.theory.markov import priors
from onset.theory.markov.chains import conditional_entropy, entropy, stationary
from onset.theory.markov.expectations import nodes
from onset.theory.markov.ideal import finite_loss, limit_loss
from onset.theory.markov.priors import LEAST_OF_HIGHER_ORDER, Dirichlet, Unigram
from onset.theory.markov.simplex import log_simplex, simplex
from onset.theory.setting import Setting

EPS = np.finfo(float).eps

CONCENTRATIONS = [1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 3.0, 1e4]

concentrations = st.floats(-4, 4).map(lambda power: 10.0**power)


def uniforms(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


@pytest.mark.parametrize(
    ("concentration", "parts"), [*itertools.product([1e-4, 1e-3, 0.01, 0.1, 0.3, 3.0, 30.0], [2, 4])]
)
def test_both_parts_of_a_broken_stick_keep_their_relative_precision(concentration, parts):
    """Share and rest inverted by mpmath: I(x) = u to 1e-10 in ln x for the smaller of them, also below all doubles."""
    b = concentration * (parts - 1)
    for u in (*uniforms(0, 8), 1e-6, 1 - 1e-6):
        first = np.zeros(parts - 1)
        first[-1] = u
        share, rest = log_simplex(first, concentration)[0], np.logaddexp.reduce(log_simplex(first, concentration)[1:])
        small = (share, concentration, b, u) if share < rest else (rest, b, concentration, 1 - u)
        log, one, other, target = map(mpmath.mpf, small)
        with mpmath.workdps(40):
            reached = mpmath.betainc(one, other, 0, mpmath.exp(log), regularized=True)
            slope = mpmath.exp(one * log) * (1 - mpmath.exp(log)) ** (other - 1) / mpmath.beta(one, other)
            assert abs((reached - target) / slope) < 1e-10 * max(1, abs(log))


@given(st.integers(2, 8), concentrations, st.integers(0, 2**32 - 1))
def test_points_lie_on_the_simplex_and_are_the_exponentials_of_their_logarithms(states, concentration, seed):
    """Parts are shares that sum to one; logarithms agree with them wherever doubles reach."""
    u = uniforms(seed, 50, states - 1)
    points, logs = simplex(u, concentration), log_simplex(u, concentration)
    assert points.min() >= 0
    np.testing.assert_allclose(points.sum(axis=-1), 1, rtol=2 * states * EPS)
    assert logs.max() <= 0
    reached = points > 1e-300
    np.testing.assert_allclose(np.log(points[reached]), logs[reached], rtol=1e-11, atol=4 * states * EPS)
    assert np.all(logs[~reached] < -600)


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_the_flat_stick_is_broken_as_ever(states, seed):
    """At concentration one, to the last bit: (1 - (1-u)^{1/j}) of what is left, then what that leaves."""
    u = uniforms(seed, 20, states - 1)
    parts, left = [], np.ones(20)
    for j in range(states - 1, 0, -1):
        share = -np.expm1(np.log1p(-u[:, j - 1]) / j)
        parts.append(left * share)
        left = left * (1 - share)
    assert np.array_equal(simplex(u, 1.0), np.stack([*parts, left], axis=-1))


@given(st.sampled_from([Dirichlet, Unigram]), st.integers(2, 8), concentrations, st.integers(0, 2**32 - 1))
def test_rows_sum_to_one_and_have_a_stationary_law(kind, states, concentration, seed):
    """Every matrix is a transition matrix with one stationary law, which is stationary; nothing is undefined."""
    matrices = priors.sample(kind(states, concentration), np.random.default_rng(seed), 40)
    np.testing.assert_allclose(matrices.sum(axis=-1), 1, rtol=2 * states * EPS)
    law = stationary(matrices)
    np.testing.assert_allclose(law.sum(axis=-1), 1, rtol=2 * states * EPS)
    np.testing.assert_allclose(np.einsum("ni,nij->nj", law, matrices), law, atol=4 * states * EPS)
    if kind is Unigram:
        np.testing.assert_allclose(law, matrices[:, 0], rtol=1e-9, atol=1e-40)


@given(concentrations, st.lists(st.floats(0, 1 - EPS, exclude_max=True), min_size=2, max_size=2))
def test_two_states_exchange_exactly(concentration, u):
    """Renaming the states is (u_1, u_2) → (1 - u_2, 1 - u_1): matrix and stationary law are renamed with it."""
    first, second = np.clip(u, EPS, 1 - EPS)
    assume(1 - (1 - first) == first and 1 - (1 - second) == second)  # else the other point is rounded
    matrix, renamed = Dirichlet(2, concentration).transform(np.array([[first, second], [1 - second, 1 - first]]))[0]
    np.testing.assert_allclose(renamed[::-1, ::-1], matrix, rtol=1e-9 / concentration, atol=1e-40)
    np.testing.assert_allclose(stationary(renamed)[::-1], stationary(matrix), atol=1e-9 / concentration)


@pytest.mark.parametrize(("states", "concentration"), [*itertools.product([2, 3, 5, 8], CONCENTRATIONS)])
def test_states_are_exchangeable(states, concentration, within):
    """Means of entries, by row and column, and of the stationary law are 1/k; those of each state's entropy agree."""
    count = 8000
    matrices = priors.sample(Dirichlet(states, concentration), np.random.default_rng(states), count)
    law, rows = stationary(matrices), entropy(matrices)
    values = np.concatenate([matrices.reshape(count, -1), law], axis=1)
    error = np.maximum(values.std(axis=0), 1e-12) / np.sqrt(count)
    within("means", values.mean(axis=0), 1 / states, error)
    spread = rows - rows.mean(axis=1, keepdims=True)
    within("entropies", spread.mean(axis=0), 0, np.maximum(spread.std(axis=0), 1e-12) / np.sqrt(count))


def sampled_logs(states: int, concentration: float, count: int) -> np.ndarray:
    """Logarithms of Dirichlet rows (n, k, k) as ratios of Gamma variables, Γ(α) = Γ(α + 1) U^{1/α}: another map."""
    generator, shape = np.random.default_rng(7), (count, states, states)
    logs = np.log(generator.standard_gamma(concentration + 1, shape)) + np.log(generator.random(shape)) / concentration
    return logs - np.logaddexp.reduce(logs, axis=-1)[..., None]


@pytest.mark.parametrize("concentration", [1e-4, 1e-3, 0.01, 0.1])
def test_limit_losses_of_three_states_against_trees(concentration, within):
    """π_i is proportional to the sum over trees towards i (Markov chain tree theorem), here of logarithms of sampled
    rows; bigram is the mean of their entropies."""
    logs = sampled_logs(3, concentration, 200_000)
    trees = np.stack(
        [
            np.logaddexp.reduce(
                [
                    logs[:, j, i] + logs[:, m, i],
                    logs[:, j, i] + logs[:, m, j],
                    logs[:, m, i] + logs[:, j, m],
                ],
                axis=0,
            )
            for i, j, m in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        ],
        axis=1,
    )
    law = np.exp(trees - np.logaddexp.reduce(trees, axis=1)[:, None])
    for strategy, values in (
        ("unigram", entropy(law)),
        ("bigram", (law * entropy(np.exp(logs))).sum(axis=1)),
    ):
        computed = limit_loss(Dirichlet(3, concentration), strategy)
        error = np.hypot(computed.error, values.std() / np.sqrt(len(values)))
        within(strategy, computed.value, values.mean(), error)


@pytest.mark.parametrize(
    ("concentration", "tolerance"), [*itertools.product([1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.9, 3.0], [1e-3, 1e-5])]
)
def test_limit_losses_of_two_states_are_within_their_error(concentration, tolerance):
    """Cubature in two dimensions against single integrals of hypergeometric functions, in units of the error stated."""
    for strategy, exact in zip(("bigram", "unigram"), general(concentration), strict=True):
        computed = limit_loss(Dirichlet(2, concentration), strategy, tolerance=tolerance)
        print(f"{strategy}: {abs(computed.value - exact) / computed.error:.2g} of its error")
        assert abs(computed.value - exact) <= computed.error <= tolerance


@pytest.mark.parametrize("concentration", [1e-4, 1e-3, 0.01, 0.1, 0.3])
def test_few_nodes_stand_for_a_prior_of_low_concentration(concentration):
    """Some 128 matrices have the losses as T → ∞ to 2e-3 nats, those of a Gauss rule on the whole square to .1."""
    matrices, weights = nodes(Dirichlet(2, concentration), 128)
    for order, exact in zip((2, 1), general(concentration), strict=True):
        assert weights @ conditional_entropy(matrices, order) == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize(("states", "concentration"), [(2, 1e-3), (2, 0.01), (3, 1e-3)])
def test_finite_losses_at_low_concentration_against_sampled_sequences(states, concentration, within):
    """Exact losses at T = 20 against sampled sequences, z over both errors."""
    prior = Dirichlet(states, concentration)
    sampled = strategy_losses(Setting.of(prior=prior, context=20), 8000, seed=1)
    for strategy in ("unigram", "bigram"):
        exact = finite_loss(prior, strategy, 20)
        error = np.hypot(sampled[strategy].error, exact.error)
        within(strategy, sampled[strategy].mean, exact.value, error)


@pytest.mark.parametrize("kind", [Dirichlet, Unigram])
@pytest.mark.parametrize(
    ("concentration", "message"), [(0.99e-4, "9.9e-05"), (1.01e6, "1.01e.06"), (0.0, "above zero")]
)
def test_concentrations_out_of_range_are_refused_by_name(kind, concentration, message):
    """The sentence is about the concentration, and names the range; its ends are accepted."""
    with pytest.raises(ValueError, match=f"concentration = .*{message}|concentration = .*: expected"):
        kind(2, concentration)
    for end in (1e-4, 1e6):
        assert stationary(priors.sample(kind(2, end), np.random.default_rng(0), 10)).shape == (10, 2)


def test_chains_of_higher_order_name_the_concentration_that_they_need(refused):
    """Below it two classes of histories may part; the command line says so in the user's words."""
    least = LEAST_OF_HIGHER_ORDER
    with pytest.raises(ValueError, match=f"concentration = {0.99 * least:g} with order = 3: expected at least {least}"):
        priors.sample(Dirichlet(2, 0.99 * least, order=3), np.random.default_rng(0), 1)
    assert priors.sample(Dirichlet(2, least, order=3), np.random.default_rng(0), 100).shape == (100, 4, 2)
    refused(["simulate", "--order", "3", "--concentration", "0.001"], "--concentration = 0.001 with --order = 3")
    refused(["simulate", "--concentration", "0.00001"], "concentration = 1e-05: expected a number from 0.0001")

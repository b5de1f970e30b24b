"""onset.theory.mean_fields.softmax: the expected weight of sources against enumeration, and what the family reads in
known limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LagShares, LinearMeanField
from onset.theory.mean_fields.positions import PositionGrid
from onset.theory.mean_fields.softmax import SoftmaxMeanField, _Chained
from onset.theory.setting import Setting


def make(states: int, context: int, lags: int, count: int = 8) -> SoftmaxMeanField:
    return SoftmaxMeanField.of(Setting.of("softmax", states=states, context=context), lags=lags, count=count)


def logits_of(dynamics: MeanField, point: np.ndarray) -> np.ndarray:
    """Logits (symbol, prior node, position) at one point."""
    return dynamics.logits(point[None, None]).values[0, 0]


def enumerated(chain: np.ndarray, law: np.ndarray, omega: float, attention: np.ndarray) -> np.ndarray:
    """h_j for query state 0: sum over all k^R tuples (x_{s-R+1}, …, x_s = j) of probability times exp(ω score)."""
    k, lags = len(law), len(attention)
    held = np.zeros(k)
    for x in itertools.product(range(k), repeat=lags):
        probability = law[x[0]] * np.prod([chain[a, b] for a, b in itertools.pairwise(x)])
        score = sum(attention[r] for r in range(lags) if x[lags - 1 - r] == 0) + law[0] * (1 - attention.sum())
        held[x[-1]] += probability * np.exp(omega * score)
    return held


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("omega", [-4.0, 0.7, 9.0])
def testsource_law_against_enumeration(states, omega):
    """The product π D_{R-1} P ⋯ P D_0 equals the sum over all k^R source tuples to 1e-12, up to the stated common
    factor."""
    dynamics = make(states, 50, 3)
    attention = np.random.default_rng(0).dirichlet(np.ones(4), size=5)[:, :3].T
    untracked = np.outer(dynamics.query, 1 - attention.sum(axis=0))
    background = np.exp(omega * untracked - max(omega, 0.0))
    computed = dynamics.source_law((omega * attention)[None, None])[0][0, 0] * background
    for n, (chain, law) in enumerate(zip(dynamics.transition, dynamics.stationary, strict=True)):
        for s in range(attention.shape[1]):
            expected = enumerated(chain, law, omega, attention[:, s]) * np.exp(-max(omega, 0.0))
            np.testing.assert_allclose(computed[:, n, s], expected, rtol=1e-12)


@pytest.mark.parametrize("states", [2, 3])
def test_logits_read_the_enumerated_sources(states):
    """f_j(t/T; 0) = μ Σ_s h_j(s) / Σ_l Σ_s h_l(s) with R = T, one source at a time."""
    context, point = 5, np.array([2.0, -1.0, 3.0, 0.5, 0.3, 1.2, -0.4, 0.8, 0.1])
    dynamics = make(states, context, context)
    logits = logits_of(dynamics, point)
    for n, (chain, law) in enumerate(zip(dynamics.transition, dynamics.stationary, strict=True)):
        held = np.zeros(states)
        for t in range(1, context + 1):
            weight = np.exp(point[4 : 4 + t])
            held += enumerated(chain, law, point[0] - point[1], weight / weight.sum())
            np.testing.assert_allclose(logits[:, n, t - 1], 2.5 * held / held.sum(), rtol=1e-12)


def test_common_shifts_drop_out():
    """c and d shift all scores or all logits of a position alike: loss and the gradient's sums over the two orbits do
    not see them."""
    dynamics, point = make(3, 40, 4), np.array([2.0, 0.5, 1.5, -0.5, 0.2, 2.0, 0.1, 0.0])
    shifted = point + np.array([3.0, 3.0, -7.0, -7.0, 0, 0, 0, 0])
    computed, moved = dynamics.gradient(point), dynamics.gradient(shifted)
    assert moved.loss == pytest.approx(computed.loss, rel=1e-14)
    np.testing.assert_allclose(moved.derivative, computed.derivative, rtol=1e-12)
    assert np.all(computed.derivative[[0, 2]] == -computed.derivative[[1, 3]])


def test_without_match_it_reads_the_unigram():
    """ω = 0: every source weighs the same and f = μπ at every position."""
    dynamics, point = make(3, 60, 4), np.array([0.7, 0.7, 2.0, 0.5, 0.0, 3.0, 0.0, 0.0])
    logits = logits_of(dynamics, point)
    np.testing.assert_allclose(
        logits, np.broadcast_to(1.5 * dynamics.stationary.T[:, :, None], logits.shape), rtol=1e-12
    )


def test_first_order_in_the_match_is_the_linear_family(slope):
    """y_j = π_j + ω π_i Σ_r p_r ((P^r)_ij - π_j) + O(ω²): what is left after the linear family's excess falls with
    slope 2 in ω."""
    context, v = 8, np.array([0.1, 2.0, 0.5, 1.0, -0.3, 0.0, 0.2, 0.7])
    dynamics, linear = (
        make(3, context, context),
        LinearMeanField.of(Setting.of("linear", states=3, context=context), lags=context, count=8),
    )
    grid, law = LagShares(v, context), linear.stationary.T[:, :, None]
    excess = (logits_of(linear, np.array([1 / context, 0.0, *v])) / grid.u - linear.query[:, None] * law)[..., :context]
    sizes, left = [0.2, 0.1, 0.05, 0.025], []
    for omega in sizes:
        read = logits_of(dynamics, np.array([omega, 0.0, 1.0, 0.0, *v]))
        left.append(np.abs(read[..., :context] - law - omega * excess).max())
    assert slope(sizes, left) == pytest.approx(2, abs=0.1)


def test_strong_previous_token_head_with_strong_match_is_the_bigram():
    """All attention on lag 1 and ω → ∞: y_j(u; i) → P_ij, with an error e^{-ω} from sources whose
    predecessor is not i."""
    dynamics = make(3, 10**6, 2)
    for omega in (8.0, 12.0):
        point = np.array([omega, 0.0, 1.0, 0.0, 0.0, 40.0])
        read = logits_of(dynamics, point)[:, :, PositionGrid(point[4:], 10**6).u > 0.5]
        bound = np.exp(-omega) * (1 / dynamics.query.min() - 1)
        first_sources = np.exp(omega) * 3 / (0.5 * 10**6 * np.exp(omega) * dynamics.query.min())
        assert np.abs(read - dynamics.row.T[:, :, None]).max() < bound + first_sources


@pytest.mark.parametrize("states", [2, 3])
def test_sets_of_lags_are_the_product_of_matrices(states):
    """Both forms of the source law and of its pullback agree to rounding, whatever the lags' scores."""
    dynamics, generator = make(states, 50, 5), np.random.default_rng(1)
    shape = 1, 1, *dynamics.row.shape
    score = generator.uniform(-2.0, 1.6, size=(1, 2, 5, 7))
    chained = _Chained(dynamics.stationary.reshape(shape), dynamics.transition.reshape(*shape, -1))
    (computed, pullback), (expected, other) = dynamics.source_law(score), chained(score)
    np.testing.assert_allclose(computed, expected, rtol=1e-11)
    by_law = generator.normal(size=computed.shape)
    np.testing.assert_allclose(pullback(by_law), other(by_law), rtol=1e-10)

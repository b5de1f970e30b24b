"""onset.simulate.tasks.markov_chains: the compiled sampler against a plain loop, and its tokens against the chains they
come from.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest

from onset.simulate.tasks.markov_chains import sample, tokens_from_uniforms
from onset.simulate.tasks.sampler import token_type
from onset.theory.markov import expectations, priors
from onset.theory.markov.chains import lag_matrices, stationary
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Unigram
from onset.theory.setting import Setting

CHAIN = np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])


def naive(transition: np.ndarray, law: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Invert cumulative sums one token at a time."""
    out = np.empty(uniforms.shape, dtype=np.uint8)
    for n, row in enumerate(uniforms):
        weights = law[n]
        for t, u in enumerate(row):
            total, token = 0.0, 0
            for j in range(len(weights) - 1):
                total = total + weights[j]
                if u >= total:
                    token = j + 1
            out[n, t] = token
            weights = transition[n, token]
    return out


@pytest.mark.parametrize("prior", [Dirichlet(2), Dirichlet(3), Dirichlet(7, 0.1), DoublyStochastic(4), Unigram(5)])
@pytest.mark.parametrize("count", [1, 8, 61])
def test_tokens_equal_the_plain_loop(prior, count):
    """The same uniforms give the same tokens, exactly, whatever the number of sequences."""
    generator = np.random.default_rng(0)
    transition = priors.sample(prior, generator, count)
    uniforms = generator.random((count, 40))
    law = stationary(transition)
    assert np.array_equal(tokens_from_uniforms(transition, law, uniforms), naive(transition, law, uniforms))


def test_edges_of_the_unit_interval():
    """u = 0 gives the first possible symbol, the largest double below one never leaves the range, even where a row
    rounds below one.
    """
    row = np.full(10, 0.1)
    transition, law = np.tile(row, (1, 10, 1)), row[None]
    assert np.cumsum(row)[-1] < 1
    largest = np.nextafter(1.0, 0)
    assert tokens_from_uniforms(transition, law, np.array([[largest, largest, 0.0]])).tolist() == [[9, 9, 0]]
    swap, never_0 = np.array([[[0.0, 1.0], [1.0, 0.0]]]), np.array([[0.0, 1.0]])
    assert tokens_from_uniforms(swap, never_0, np.zeros((1, 5))).tolist() == [[1, 0, 1, 0, 1]]


def test_sampling_depends_on_the_seed_alone():
    """One seed, one result, with one thread or two."""
    setting, before = Setting.of(prior=Dirichlet(3), context=30), numba.get_num_threads()
    try:
        drawn = []
        for threads in {1, before}:
            numba.set_num_threads(threads)
            drawn += [sample(setting.task, 50, np.random.default_rng(4)) for _ in range(2)]
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for other in drawn[1:] for a, b in zip(drawn[0], other, strict=True))
    assert not np.array_equal(drawn[0].tokens, sample(setting.task, 50, np.random.default_rng(5)).tokens)
    assert drawn[0].tokens.shape == (50, 31)
    np.testing.assert_array_equal(drawn[0].stationary, stationary(drawn[0].transition))


def test_every_position_has_the_stationary_law(within):
    """Sequences of one asymmetric chain start from π and stay there: symbol frequencies at each position, z against the
    binomial.
    """
    count, length = 40_000, 12
    law = stationary(CHAIN)
    tokens = tokens_from_uniforms(
        np.tile(CHAIN, (count, 1, 1)), np.tile(law, (count, 1)), np.random.default_rng(0).random((count, length))
    )
    observed = np.stack([(tokens == j).mean(axis=0) for j in range(3)], axis=1)
    within("marginals", observed, np.tile(law, (length, 1)), np.tile(np.sqrt(law * (1 - law) / count), (length, 1)))


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_lagged_pairs_follow_powers_of_the_chain(lag, within):
    """P(x_s = i, x_{s+r} = j) = π_i (P^r)_ij."""
    count, law = 40_000, stationary(CHAIN)
    tokens = tokens_from_uniforms(
        np.tile(CHAIN, (count, 1, 1)), np.tile(law, (count, 1)), np.random.default_rng(1).random((count, 8))
    )
    pairs = law[:, None] * lag_matrices(CHAIN, 4)[lag]
    observed = [[((tokens[:, 3] == i) & (tokens[:, 3 + lag] == j)).mean() for j in range(3)] for i in range(3)]
    within(f"lag {lag}", observed, pairs, np.sqrt(pairs * (1 - pairs) / count))


@pytest.mark.parametrize("prior", [Dirichlet(3), DoublyStochastic(3), Unigram(3)])
def test_sequences_come_from_the_prior_of_the_setting(prior, within):
    """Two successive tokens agree with chance E Σ_i π_i P_ii: 1/3 for uniform doubly stochastic chains, E Σ p² = 1/2
    without memory.
    """
    drawn = sample(Setting.of(prior=prior, context=2).task, 40_000, np.random.default_rng(2))
    same = (drawn.tokens[:, 0] == drawn.tokens[:, 1]).mean()
    expected = expectations.expectation(prior, lambda m: np.einsum("ni,nii->n", stationary(m), m), tolerance=3e-4)
    closed = {"doubly-stochastic": 1 / 3, "unigram": 1 / 2}.get(prior.kind, expected.value)
    within("E Σ π_i P_ii", expected.value, closed, expected.error)
    within("repeats", same, closed, np.hypot(np.sqrt(closed * (1 - closed) / 40_000), expected.error))


def test_bad_arguments_are_named():
    """Counts below one, and shapes that do not fit."""
    with pytest.raises(ValueError, match="count = 0"):
        sample(Setting.of().task, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"transition \(2, 3, 3\), law \(2, 2\)"):
        tokens_from_uniforms(np.tile(CHAIN, (2, 1, 1)), np.ones((2, 2)), np.ones((2, 4)))


def test_more_states_than_a_byte_holds():
    """A cycle over 300 states is followed exactly."""
    cycle = np.roll(np.eye(300), 1, axis=1)[None]
    start = np.eye(300)[None, 250]
    tokens = tokens_from_uniforms(cycle, start, np.full((1, 120), 0.5))
    assert np.array_equal(tokens[0], (250 + np.arange(120)) % 300)


def test_tokens_are_as_small_as_their_vocabulary_allows():
    assert [token_type(size) for size in (2, 256, 257)] == [np.uint8, np.uint8, np.int32]

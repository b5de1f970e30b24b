"""Chains of higher order: histories, blocks, priors, settings and ideal losses, against enumeration."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import MarkovSample, next_rows, sample
from onset.theory.markov import ideal, priors
from onset.theory.markov.chains import (
    block_law,
    conditional_entropy,
    entropy,
    entropy_rate,
    history_law,
    lift,
    order_of,
    stationary,
)
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture
from onset.theory.markov.task import strategies
from onset.theory.mean_fields.ngram_linear import lag_pairs, recent
from onset.theory.setting import Setting

ORDERS = [(2, 2), (2, 3), (3, 3), (2, 4)]


def chains(states: int, order: int, count: int = 3) -> np.ndarray:
    return priors.sample(Dirichlet(states, order=order), np.random.default_rng(order), count)


def probabilities(chain: np.ndarray, length: int) -> np.ndarray:
    """Of every sequence of `length` tokens, shape (k, …, k), by the letter."""
    states = chain.shape[1]
    memory, law = order_of(chain) - 1, history_law(chain)
    computed = np.zeros((states,) * length)
    for tokens in itertools.product(range(states), repeat=length):
        histories = [int("".join(map(str, tokens[t - memory : t])), states) for t in range(memory, length)]
        computed[tokens] = law[int("".join(map(str, tokens[:memory])), states)]
        for t, history in enumerate(histories, start=memory):
            computed[tokens] *= chain[history, tokens[t]]
    assert computed.sum() == pytest.approx(1, rel=1e-12)
    return computed


@pytest.mark.parametrize(("states", "order"), ORDERS)
def test_blocks_are_marginals_of_sequences(states, order):
    """Histories are stationary; blocks, pairs at a lag and the law of recent tokens are sums over all sequences, to
    1e-13."""
    for chain in chains(states, order):
        assert order_of(chain) == order
        law = history_law(chain)
        np.testing.assert_allclose(law @ lift(chain), law, atol=1e-15)
        whole = probabilities(chain, order + 3)
        for length in range(order + 1):
            summed = whole.sum(axis=tuple(range(length, order + 3)))
            np.testing.assert_allclose(block_law(chain, length), summed, atol=1e-14)
            later = whole.sum(axis=tuple(range(order + 3 - length)))  # stationary: the last ones have the same law
            np.testing.assert_allclose(block_law(chain, length), later, atol=1e-14)
        pairs = lag_pairs(chain[None], 4)[0]
        for lag in range(1, 4):
            other = tuple(axis for axis in range(order + 3) if axis not in (1, 1 + lag))
            np.testing.assert_allclose(pairs[lag], whole.sum(axis=other), atol=1e-14)
        chance, row = recent(chain[None], order + 1)
        ends = whole.sum(axis=(0,))[..., 0, :].reshape(-1, states)
        np.testing.assert_allclose(chance[0][:, None] * row[0], ends, atol=1e-14)


def test_orders_two_are_plain_chains():
    """For order 2 the lift is the chain, and conditional entropies are those of the stationary law and of the chain."""
    plain = chains(3, 2)
    assert lift(plain) is plain
    np.testing.assert_allclose(history_law(plain), stationary(plain), rtol=1e-15)
    np.testing.assert_allclose(conditional_entropy(plain, 1), entropy(stationary(plain)), rtol=1e-14)
    np.testing.assert_allclose(conditional_entropy(plain, 2), entropy_rate(plain), rtol=1e-14)


@pytest.mark.parametrize(("states", "order"), ORDERS[1:])
def test_longer_contexts_tell_more(states, order):
    """H(x | n - 1 before) falls with n; for the deepest it is Σ λ H(row)."""
    several = chains(states, order, 20)
    left = np.array([conditional_entropy(several, n) for n in range(1, order + 1)])
    assert np.all(np.diff(left, axis=0) < 0)
    np.testing.assert_allclose(left[-1], (history_law(several) * entropy(several)).sum(axis=1), rtol=1e-13)


@pytest.mark.parametrize(("states", "order", "context"), [(2, 3, 1), (2, 3, 6), (3, 3, 4), (2, 4, 6)])
def test_losses_against_all_sequences(states, order, context):
    """Averaged over names of states, the recursion gives every strategy the loss of the sum over all k^{T+1} sequences,
    to 1e-12."""
    alpha = 0.7
    tokens = np.array(list(itertools.product(range(states), repeat=context + 1)), dtype=np.uint8)
    orders = list(itertools.permutations(range(states)))
    for chain in chains(states, order, 2):
        cube = chain.reshape((states,) * order)
        named = np.array([cube[np.ix_(*[names] * order)].reshape(chain.shape) for names in orders])
        long_enough = max(context + 1, order)
        chance = probabilities(chain, long_enough).sum(axis=tuple(range(context + 1, long_enough))).ravel()
        for n, strategy in enumerate(strategies(order)[1:], start=1):
            law = predict(tokens, states, strategy, alpha)
            each = np.arange(context)
            expected = -(chance * np.log(law[np.arange(len(tokens))[:, None], each, tokens[:, 1:]]).mean(axis=1)).sum()
            computed = ideal.ngram_loss(named, context, alpha, order=n).mean()
            assert computed == pytest.approx(expected, rel=1e-12)
            limit = conditional_entropy(chain, n)
            assert ideal.ngram_limit(named, order=n).mean() == pytest.approx(limit, rel=1e-12)


def test_true_rows_of_short_histories():
    """Before a whole history is seen the true law of the next token is that of all sequences that begin alike."""
    chain = chains(2, 4, 1)
    tokens = np.array(list(itertools.product(range(2), repeat=5)), dtype=np.uint8)
    computed = next_rows(
        MarkovSample(tokens, np.repeat(chain, len(tokens), axis=0), np.repeat(history_law(chain), len(tokens), axis=0))
    )
    whole = probabilities(chain[0], 5)
    for n, row in enumerate(tokens):
        for t in range(1, 5):
            begun = whole[tuple(row[:t])]
            expected = begun.reshape(2, -1).sum(axis=1) / begun.sum()
            np.testing.assert_allclose(computed[n, t - 1], expected, rtol=1e-13)


def test_sampled_blocks_have_their_law(within):
    """Every block of four tokens, anywhere in a sequence, appears with its stationary probability."""
    setting, count = Setting.of(order=3, context=12), 200_000
    chain = np.repeat(chains(2, 3, 1), count, axis=0)
    from onset.simulate.tasks.markov_chains import tokens_from_uniforms

    tokens = tokens_from_uniforms(
        chain, history_law(chain), np.random.default_rng(5).random((count, setting.task.context + 1))
    )
    for start in (0, 9):
        code = tokens[:, start : start + 4] @ np.array([8, 4, 2, 1])
        expected = probabilities(chain[0], 4).ravel()
        computed = np.bincount(code, minlength=16) / count
        within(f"blocks from {start}", computed, expected, np.sqrt(expected * (1 - expected) / count))


def test_settings_carry_the_order():
    """It survives TOML and JSON, changes the id and the label; settings of order 2 keep the id they had before there
    were orders."""
    third = Setting.of("softmax", states=3, order=3, context=20)
    assert Setting.from_dict(json.loads(json.dumps(third.to_dict()))) == third
    assert third.task.strategies == ("uniform", "unigram", "bigram", "trigram")
    assert "n=3" in third.label
    plain = Setting.of("softmax", states=3, context=20)
    assert third.id != plain.id
    assert "order" not in plain.to_dict()["prior"]
    drawn = sample(third.task, 5, np.random.default_rng(0))
    assert drawn.transition.shape == (5, 9, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dirichlet(2, order=1), "order = 1"),
        (lambda: Dirichlet(8, order=6), "at most 4096 histories"),
        (lambda: Mixture((Dirichlet(2, order=3), DoublyStochastic(2)), (0.5, 0.5)), "order"),
        (lambda: Setting.of(prior=DoublyStochastic(2), order=3), "order = 3 but the prior has order = 2"),
        (lambda: order_of(np.ones((5, 2))), "one row per history"),
        (lambda: predict(np.zeros((1, 4), np.uint8), 2, "9-gram", 1.0), "9-gram"),
    ],
)
def test_bad_orders_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_as_many_histories_as_are_allowed():
    assert Dirichlet(8, order=5).states ** 4 == 4096

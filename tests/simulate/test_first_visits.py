"""onset.simulate.strategies.ngrams: histories that occur for the first time."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.strategies.ngrams import first_visits
from onset.simulate.tasks import sampler
from onset.theory.markov.task import MarkovChains


@pytest.mark.parametrize(("states", "order"), [(3, 2), (2, 3), (3, 4)])
def test_a_history_is_first_visited_once(states, order):
    """By a set of the histories met so far, position by position; a history that is not whole counts as neither."""
    tokens = np.random.default_rng(0).integers(states, size=(7, 40))
    expected = np.zeros(tokens.shape, dtype=bool)
    for n, row in enumerate(tokens.tolist()):
        met = set()
        for t in range(order - 2, len(row)):
            history = tuple(row[t - order + 2 : t + 1])
            expected[n, t] = history not in met
            met.add(history)
    with_target = np.pad(tokens, ((0, 0), (0, 1)))
    assert np.array_equal(first_visits(with_target, states, order - 1), expected)


def test_a_run_scores_the_loss_apart_where_no_strategy_has_counted():
    """Tokens that were not seen before, and for order 3 pairs."""
    generator = np.random.default_rng(0)
    for order in (2, 3):
        source = sampler(MarkovChains.of(states=3, order=order, context=30))
        sample = source.sample(20, generator)
        unseen = source.masks(sample)["unseen"]
        for tokens, mask in zip(sample.tokens, unseen, strict=True):
            histories = [tuple(tokens[max(t - order + 2, 0) : t + 1]) for t in range(30)]
            assert mask.tolist() == [t >= order - 2 and now not in histories[:t] for t, now in enumerate(histories)]

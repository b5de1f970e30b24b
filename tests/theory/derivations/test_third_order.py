"""onset.theory.derivations.third_order: lag 2 over the prior."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onset.theory.derivations import third_order
from onset.theory.markov.chains import block_law


def test_lag_two_leads_over_the_prior():
    """Flat chains with an ideal read-out: lag 2 is driven most, lag 1 not at all."""
    chains = np.random.default_rng(0).dirichlet(np.ones(2), size=(64, 4))
    pairs = block_law(chains, 2)
    bigram = block_law(chains, 3).sum(axis=1) / pairs.sum(axis=1)[:, :, None]
    signals = third_order.signals(chains, np.full(64, 1 / 64), bigram, 5)
    print(signals)
    assert int(signals.argmax()) == 2
    assert signals[1] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("states", [2, 3])
def test_gains_against_going_through_all_sequences(states):
    """J^r_hij of stationary chains of order 3 for r = 0 … 5."""
    generator, lags = np.random.default_rng(1), 6
    chains = generator.dirichlet(np.ones(states), size=(2, states**2))
    expected = np.zeros((lags, 2, states, states, states))
    for tokens in itertools.product(range(states), repeat=lags + 1):
        chance = block_law(chains, 2)[(slice(None), *tokens[:2])]
        for s in range(2, lags + 1):
            chance = chance * chains[:, tokens[s - 2] * states + tokens[s - 1], tokens[s]]
        for r in range(lags):
            expected[r, :, tokens[-1 - r], tokens[-2], tokens[-1]] += chance
    expected /= block_law(chains, 1)[:, None, :, None]
    np.testing.assert_allclose(third_order.gains(chains, lags), expected, rtol=1e-12)

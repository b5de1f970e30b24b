"""onset.theory.derivations.third_order: lag 2 over the prior."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.derivations import third_order


def test_lag_two_leads_over_the_prior():
    """Flat chains with an ideal read-out: lag 2 is driven most, lag 1 not at all."""
    chains = np.random.default_rng(0).dirichlet(np.ones(2), size=(64, 4))
    from onset.theory.markov.chains import block_law

    pairs = block_law(chains, 2)
    bigram = block_law(chains, 3).sum(axis=1) / pairs.sum(axis=1)[:, :, None]
    signals = third_order.signals(chains, np.full(64, 1 / 64), bigram, 5)
    print(signals)
    assert int(signals.argmax()) == 2
    assert signals[1] == pytest.approx(0, abs=1e-15)

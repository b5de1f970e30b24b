"""onset.theory.derivations.count_fluctuations: sampled counts, and a limit that is wrong."""

from __future__ import annotations

import numpy as np

from onset.simulate.tasks.markov_chains import tokens_from_uniforms
from onset.theory.derivations import count_fluctuations
from onset.theory.markov.chains import stationary


def test_a_wrong_limit_is_found(monkeypatch):
    right = count_fluctuations.limit
    monkeypatch.setattr(count_fluctuations, "limit", lambda p: right(p) * 1.01)
    assert not count_fluctuations._rate().passed


def test_sampled_counts(within):
    """20,000 sequences of 60 tokens: covariances within their standard errors, from fourth moments."""
    generator = np.random.default_rng(5)
    transition = generator.dirichlet(np.ones(3), size=3)
    chains = np.broadcast_to(transition, (20_000, 3, 3))
    law = np.broadcast_to(stationary(transition), (20_000, 3))
    tokens = tokens_from_uniforms(
        np.ascontiguousarray(chains), np.ascontiguousarray(law), generator.random((20_000, 60))
    )
    counts = np.stack([(tokens == j).sum(axis=1) for j in range(3)], axis=1) - 60 * law
    products = counts[:, :, None] * counts[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(products))
    within("covariance", products.mean(axis=0), count_fluctuations.covariance(transition, 60), error)

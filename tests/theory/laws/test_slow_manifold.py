"""onset.theory.laws.slow_manifold: how far it is followed, and how precisely."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.layout import last_attention
from onset.theory.laws import slow_manifold
from onset.theory.laws.slow_manifold import manifold
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.corrected.neglected import drive_change


def test_it_ends_where_lag_1_has_nine_tenths_of_its_own_and_the_other_lags_attention():
    """e^v/(e^v + T - 1) = 0.9 at the last position, the others counted at v = 0."""
    table = manifold(Dirichlet(3), 100)
    assert np.exp(table.log_e[-1]) / (np.exp(table.log_e[-1]) + 99) == pytest.approx(0.9)
    assert last_attention(table.lag_logits, 100)[-1, 1] > 0.8


def test_lag_logits_by_steps_of_second_order(monkeypatch):
    """Eight times as many points move no lag logit by 0.03; without the second order they would be off by 1."""
    table = manifold(Dirichlet(3), 100)
    fine = (1 - np.cos(np.pi * np.arange(185) / 184)) / 2
    monkeypatch.setattr(slow_manifold, "GRID", fine)
    manifold.cache_clear()
    difference = np.abs(manifold(Dirichlet(3), 100).lag_logits[-1] - table.lag_logits[-1])
    manifold.cache_clear()
    print(table.lag_logits[-1], difference)
    assert difference.max() < 0.03


def test_fluctuating_counts_beyond_the_contexts_that_are_evaluated():
    """By the power between the last two contexts, and by that between the first two below; within, as evaluated."""
    prior = Dirichlet(2)
    x = {context: drive_change(prior, context) for context in (8, 16, 32, 64, 128, 512)}
    power = np.log(x[128] / x[64]) / np.log(2)
    assert -1 < power < 0
    assert x[512] == pytest.approx(x[128] * 4**power)
    assert x[8] == pytest.approx(x[16] * 0.5 ** (np.log(x[32] / x[16]) / np.log(2)))


def test_no_other_lag_is_followed_to_a_head_of_its_own():
    """However fast it gains on lag 1, e^-v stops at a tenth."""
    log_e = np.array([0.0, 1.0, 2.0])
    ratios = [np.full(slow_manifold.LAGS, 5.0)] * 2
    following = slow_manifold._next_lag_logits(np.zeros(slow_manifold.LAGS), ratios, log_e)
    assert following[1] == 2.0
    assert np.delete(following, 1) == pytest.approx(np.log(10))

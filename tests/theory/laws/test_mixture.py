"""The resting match of mixtures, and their delay."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.flow import flow
from onset.theory.laws.mixture import PRIOR_NODES, balance
from onset.theory.laws.slow_manifold import manifold
from onset.theory.markov.priors import DoublyStochastic, Mixture, Prior, Unigram
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting


def test_critical_weight_tends_to_one_like_the_push(slope):
    """(1 - w_c)/w_c = g/b with g of order ln T/T and b hardly changing: slope -1 against T once ln T is divided out."""
    contexts = (64, 256, 1024)
    odds = [1 / balance(4, t, 0.5).critical - 1 for t in contexts]
    assert abs(slope(contexts, np.array(odds) / np.log(contexts)) + 1) < 1 / np.log(contexts[0])


def test_below_the_critical_weight_the_plateau_drives_lag_1_down():
    """Far on either side of w_c, where few chains suffice to tell: T = 1024."""
    for weight, grows in ((0.2, False), (0.9, True)):
        prior = Mixture((DoublyStochastic(4), Unigram(4)), (weight, 1 - weight))
        assert (balance(4, 1024, weight).critical < weight) == grows
        if grows:
            assert manifold(prior, 1024).force[0] > 0
        else:
            with pytest.raises(ValueError, match="does not end"):
                manifold(prior, 1024)


def test_delay_grows_with_the_share_of_unigram_chains():
    """k = 4, T = 128: at equal signal, few unigram chains speed the head up, many delay it."""
    doubly_stochastic, unigram = DoublyStochastic(4), Unigram(4)

    def formation(prior: Prior) -> float:
        setting = Setting.of("linear", prior=prior, context=128, initialization={"match": 0.0}, steps=10000)
        field = LinearMeanField.of(setting, count=PRIOR_NODES, generator=np.random.default_rng(0))
        return flow(field, setting.training).transitions()[1].step

    pure = formation(doubly_stochastic)
    mixed = [(w, formation(Mixture((doubly_stochastic, unigram), (w, 1 - w)))) for w in (0.5, 0.9)]
    factors = [weight * step / pure for weight, step in mixed]
    print(factors)
    assert factors[1] < 1 < factors[0]


def test_refusals():
    with pytest.raises(ValueError, match="weight = 1"):
        balance(4, 100, 1.0)

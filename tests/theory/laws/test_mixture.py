"""The resting match of mixtures, and their delay."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.flow import flow
from onset.theory.laws import mixture
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


def test_stiffness_is_the_curvature_of_the_match_at_its_best_scale():
    """Second difference of the loss by the match, the scale following."""
    from scipy.optimize import minimize_scalar

    loss = mixture.unigram_loss(3, 50)
    lag_logits, step = np.zeros(mixture.LAGS), 0.02

    def best(match: float) -> float:
        def at(scale: float) -> float:
            point = loss.point(np.array([scale, match]), lag_logits)
            return float(loss.field.measure(point).loss)

        return float(minimize_scalar(at, bracket=(0.5, 1.5), tol=1e-10).fun)

    _, resting, stiffness, _ = mixture._constants(3, 50)
    second = (best(resting + step) - 2 * best(resting) + best(resting - step)) / step**2
    assert stiffness == pytest.approx(second, rel=0.01)

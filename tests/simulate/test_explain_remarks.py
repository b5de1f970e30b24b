"""What explain adds under Adam and for mixtures."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.explain.remarks import remarks
from onset.theory.laws.mixture import balance
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting


def test_adam_bounds_are_logarithms_over_the_rate():
    setting = Setting.of("linear", states=2, context=100, optimizer="adam")
    numbers, (told,) = remarks(setting)
    assert numbers["adam"]["latest"] == pytest.approx(np.log(100 / 9) / 0.01)
    assert numbers["adam"]["earliest"] == numbers["adam"]["latest"] / 2
    assert f"{numbers['adam']['latest']:.0f}" in told


def test_mixtures_are_compared_with_their_critical_weight():
    parts = (DoublyStochastic(4), Unigram(4))
    for weight, word in ((0.95, "above"), (0.01, "below")):
        prior = Mixture(parts, (weight, 1 - weight))
        numbers, (told,) = remarks(Setting.of("linear", prior=prior, context=200))
        assert numbers["mixture"]["critical"] == balance(4, 200, weight).critical
        assert word in told
    assert remarks(Setting.of("linear", states=3)) == ({}, ())


def test_with_three_states_any_share_lets_lag_1_grow():
    assert balance(3, 200, 0.01).critical == 0
    assert balance(3, 200, 0.01).unigram_match > 0 > balance(4, 200, 0.01).unigram_match

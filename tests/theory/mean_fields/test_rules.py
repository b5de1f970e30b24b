"""onset.theory.mean_fields.quadrature: small rules against the large ones they are cut from, and against exact
quadrature for two states."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.flow import flow, flows
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.mean_fields.quadrature import REMEMBERED, SCRAMBLINGS, SMALL, rules
from onset.theory.setting import Setting


@pytest.mark.parametrize(
    "prior", [Dirichlet(2), Dirichlet(3), DoublyStochastic(3), Mixture((DoublyStochastic(3), Unigram(3)), (0.75, 0.25))]
)
def test_weights_are_a_law(prior):
    """Positive weights that sum to one in each rule; matrices with rows that do; one rule where quadrature does, else
    all differ."""
    transition, weights = rules(LinearMeanField, prior, 6)
    assert len(weights) == (1 if prior.states == 2 else SCRAMBLINGS)
    assert weights.shape[1] <= SMALL
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(transition.sum(axis=-1), 1, rtol=1e-12)
    assert len(np.unique(transition[:, 0, 0, 0])) == len(transition)


@pytest.mark.parametrize("family", MEAN_FIELDS)
def test_fifty_points_give_the_transitions_of_a_thousand(family):
    """k = 2: formation and transition of the small rule within 2e-3 of a product rule of 32², ten times nearer than a
    plain rule of as few points."""
    setting = Setting.of(family, states=2, context=100)
    build = MEAN_FIELDS[family]
    small = build.of(setting, rule=rules(build, setting.task.prior, 6))
    plain, large = (build.of(setting, rule=nodes(setting.task.prior, count)) for count in (small.weights.size, 1024))
    computed = [flow(d, setting.training, rtol=1e-6).transitions() for d in (large, plain)]
    computed.append(flows(small, setting.training, rtol=1e-6)[0].transitions())
    (exact, missed, close) = (np.array([formation.step, transitions[-1].step]) for transitions, formation in computed)
    print(f"{family}: relative errors of {small.weights.size} points {close / exact - 1}, plain {missed / exact - 1}")
    assert np.abs(close / exact - 1).max() < min(2e-3, np.abs(missed / exact - 1).max() / 10)


def test_rules_are_remembered_but_not_without_bound():
    """The same question gives the same arrays, which cannot be written to; what is kept is bounded."""
    first, again = (rules(LinearMeanField, Dirichlet(2), 6) for _ in range(2))
    assert first[0] is again[0]
    assert rules.cache_info().maxsize == REMEMBERED
    with pytest.raises(ValueError, match="read-only"):
        first[1][0, 0] = 1.0

"""onset.theory.mean_fields.quadrature: small rules against the large ones they are cut from, and against exact
quadrature for two states."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.flow import flow, flows
from onset.theory.estimates import student
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags, drive_error
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.mean_fields.quadrature import CANDIDATES, REMEMBERED, SCRAMBLINGS, _large_rule, rules
from onset.theory.setting import Setting


@pytest.mark.parametrize(
    "prior", [Dirichlet(2), Dirichlet(3), DoublyStochastic(3), Mixture((DoublyStochastic(3), Unigram(3)), (0.75, 0.25))]
)
def test_weights_are_a_law(prior):
    """Positive weights that sum to one in each rule; matrices with rows that do; one rule where quadrature does, else
    all differ; about as many points as functions."""
    both = rules(LinearMeanField, prior, 6)
    (transition, weights), (_, mean_weights) = both.each, both.mean
    assert len(weights) == (1 if prior.states == 2 else SCRAMBLINGS)
    assert max(weights.shape[1], len(mean_weights)) < 150
    assert min(weights.min(), mean_weights.min()) >= 0
    assert mean_weights.sum() == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(transition.sum(axis=-1), 1, rtol=1e-12)
    assert len(np.unique(transition[:, 0, 0, 0])) == len(transition)


@pytest.mark.parametrize("family", MEAN_FIELDS)
def test_a_hundred_points_give_the_transitions_of_a_thousand(family):
    """k = 2: formation and transition of the small rule within 1e-4 of a product rule of 32², ten times nearer than a
    plain rule of as few points."""
    setting = Setting.of(family, states=2, context=100)
    build = MEAN_FIELDS[family]
    small = build.of(setting, rule=rules(build, setting.task.prior, 6).each)
    plain, large = (build.of(setting, rule=nodes(setting.task.prior, count)) for count in (small.weights.size, 1024))
    computed = [flow(d, setting.training, rtol=1e-6).transitions() for d in (large, plain)]
    computed.append(flows(small, setting.training, rtol=1e-6)[0].transitions())
    (exact, missed, close) = (np.array([formation.step, transitions[-1].step]) for transitions, formation in computed)
    print(f"{family}: relative errors of {small.weights.size} points {close / exact - 1}, plain {missed / exact - 1}")
    assert np.abs(close / exact - 1).max() < min(1e-4, np.abs(missed / exact - 1).max() / 10)


def test_rules_are_remembered_but_not_without_bound():
    """The same question gives the same arrays, which cannot be written to; what is kept is bounded."""
    first, again = (rules(LinearMeanField, Dirichlet(2), 6) for _ in range(2))
    assert first.each[0] is again.each[0]
    assert rules.cache_info().maxsize == REMEMBERED
    with pytest.raises(ValueError, match="read-only"):
        first.each[1][0, 0] = 1.0


@pytest.mark.parametrize(("states", "context"), [(3, 64), (3, 10**6), (4, 10**4), (8, 10**5)])
def test_small_rules_have_the_drive_of_the_large_ones(states, context):
    """At the plateau and half-way to the head, at contexts far from the pilot's: each small rule is off by less than
    the large rules scatter, or by 0.2%."""
    prior, task = Dirichlet(states), MarkovChains(Dirichlet(states), context)
    generators = np.random.default_rng(0).spawn(SCRAMBLINGS)
    drives = []
    for rule, generator in zip(zip(*rules(LinearMeanField, prior, 6).each, strict=True), generators, strict=True):
        large = nodes(prior, LinearMeanField.matrices(states), generator)
        row = []
        for chosen in (rule, large):
            loss = MatchAndLags(prior, context, LinearMeanField(task, lags=6, rule=chosen))
            for v_1 in (0.0, np.log(context) / 2):
                lag_logits = np.eye(6)[1] * v_1
                row.append(loss.gradient(loss.best_match(np.ones(2), lag_logits), lag_logits)[3])
        drives.append(row)
    small, large = np.array(drives)[:, :2], np.array(drives)[:, 2:]
    off, scatter = np.abs(small / large - 1).max(axis=0), large.std(axis=0, ddof=1) / np.abs(large.mean(axis=0))
    print(f"k = {states}, T = {context}: off by {off}, large rules scatter by {scatter}")
    assert (off < np.maximum(2e-3, 0.7 * scatter)).all()


@pytest.mark.parametrize(("states", "times"), [(2, 4), (3, 4), (4, 4), (8, 2), (16, 1)])
def test_error_of_the_rules_covers_larger_ones(states, times):
    """Convergence in matrices: the drive of a rule with up to four times as many, of another seed, is within the stated
    error of the mean rule's, at 99.9% by Student's law."""
    prior, context, lag_logits = Dirichlet(states), 10**5, np.zeros(6)
    task = MarkovChains(prior, context)

    def drive(rule) -> float:
        loss = MatchAndLags(prior, context, LinearMeanField(task, lags=6, rule=rule))
        return loss.gradient(loss.best_match(np.ones(2), lag_logits), lag_logits)[3]

    stated, mean = drive_error(prior, context), drive(rules(LinearMeanField, prior, 6).mean)
    larger = drive(nodes(prior, times * LinearMeanField.matrices(states), np.random.default_rng(7)))
    off = abs(larger / mean - 1)
    print(f"k = {states}: off by {off:.2g}, stated {stated}")
    if stated is None:
        assert off < 1e-4
    else:
        # What is stated is the error of the mean of four rules.
        assert off < student(stated.freedom, 0.999) * np.sqrt(1 + 4 / times) * stated.value


@pytest.mark.parametrize("prior", [Dirichlet(3), Mixture((Dirichlet(3), Unigram(3)), (0.5, 0.5))], ids=str)
def test_candidates_are_the_first_points_of_each_component(prior):
    """As many as are asked for, equally many of each."""
    matrices, weights, chosen = _large_rule(prior, 4 * CANDIDATES, np.random.default_rng(0))
    assert chosen.sum() == CANDIDATES
    assert len(matrices) == len(weights) == 4 * CANDIDATES
    assert weights.sum() == pytest.approx(1)


def test_third_derivatives_of_the_loss_are_those_of_its_slopes():
    """By central differences of another step, at sizes of the coordinates of both signs and at one."""
    loss, lag_logits, step = MatchAndLags(Dirichlet(2), 40), np.array([0.1, 0.4, 0.0, 0.2, 0.0, 0.0]), 1e-3
    for theta in np.array([[1.0, 2.0], [-0.5, 1.0]]):
        expected = [
            (loss.slopes(theta + h, lag_logits)[:2] - loss.slopes(theta - h, lag_logits)[:2]) / (2 * step)
            for h in step * np.eye(2)
        ]
        np.testing.assert_allclose(loss.third(theta, lag_logits), expected, rtol=1e-2, atol=1e-4)

"""onset.theory.estimates: scores that chance reaches."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.derivations.scores import score_limit
from onset.theory.estimates import largest_score
from onset.theory.laws import basins
from onset.theory.laws.basins import escapes
from onset.theory.markov import priors
from onset.theory.markov.exchangeability import largest_difference
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.match_and_lags import MatchAndLags, NoBestMatch
from onset.theory.setting import Setting


@pytest.mark.parametrize(("count", "sides"), [(1, 2), (20, 2), (20, 1)])
def test_the_largest_of_several_exceeds_its_limit_as_often_as_said(count, sides):
    """Of independent scores 1 - (1 - q/count)^count, just below the q = 0.05 of Bonferroni's bound."""
    scores = np.random.default_rng(0).standard_normal((100_000, count))
    largest = (np.abs(scores) if sides == 2 else scores).max(axis=1)
    share = (largest > largest_score(0.05, count, sides=sides)).mean()
    expected = 1 - (1 - 0.05 / count) ** count
    assert abs(share - expected) < 4 * np.sqrt(expected / 100_000)


def test_few_degrees_of_freedom_need_larger_scores():
    groups = np.random.default_rng(1).standard_normal((100_000, 4))
    scores = groups.mean(axis=1) / (groups.std(axis=1, ddof=1) / 2)
    share = (np.abs(scores) > largest_score(0.01, freedom=3)).mean()
    assert abs(share - 0.01) < 4 * np.sqrt(0.01 / 100_000)


@pytest.mark.parametrize(("z", "sign"), [(3.2, 0), (3.4, 1), (-3.4, -1)])
def test_a_basin_is_told_at_one_false_sign_in_a_thousand(monkeypatch, z, sign):
    """The limit is 3.29 standard errors."""

    def moments(setting, readout, count, generator):
        slopes = np.zeros((8, count))
        slopes[1] = np.resize([1.0, -1.0], count)
        slopes[1] += z * slopes[1].std(ddof=1) / np.sqrt(count)
        return slopes, np.array([1.0, 0.0, 1.0])

    monkeypatch.setattr(basins, "_moments", moments)
    basin = escapes(Setting.of("linear", states=2, context=12), count=1000)
    assert basin.sign == sign
    assert ("not decided" in basin.explanation) == (sign == 0)


def test_a_prior_is_refused_at_one_false_alarm_in_a_million():
    """Two states: 2 symbols in 4 statistics, 2 pairs in 3: the largest of 14 scores."""
    *_, most = largest_difference(priors.sample(Dirichlet(2), np.random.default_rng(0), 64))
    assert most == pytest.approx(5.3875, abs=0.001)


def test_a_check_fails_by_chance_once_in_ten_thousand():
    """3.89 standard errors for one number, 4.42 for the largest of ten."""
    assert [score_limit(count) for count in (1, 10)] == pytest.approx([3.891, 4.417], abs=0.001)


@pytest.mark.parametrize(("condition", "fixed"), [(0.9e8, True), (1.1e8, False)])
def test_a_plateau_fixes_a_match_up_to_a_condition_of_a_hundred_million(monkeypatch, condition, fixed):
    """Of a quadratic loss whose curvatures have that ratio."""
    loss = MatchAndLags(Dirichlet(2), 20)
    curvature = np.diag([1.0, 1 / condition])
    monkeypatch.setattr(loss, "_gradient_and_slopes", lambda theta, lags: (curvature @ (theta - 2), curvature))
    if fixed:
        assert loss.best_match(np.ones(2), np.zeros(6)) == pytest.approx([2, 2])
    else:
        with pytest.raises(NoBestMatch, match="but there is none"):
            loss.best_match(np.ones(2), np.zeros(6))

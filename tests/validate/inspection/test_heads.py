"""onset.validate.inspection.heads: intervals, and which heads exceed chance, at the stated error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp

pytest.importorskip("torch")
pytest.importorskip("xarray")

from onset.validate.inspection.heads import exceeding, head_table
from onset.validate.inspection.measuring import Measured
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, PatternScore
from onset.validate.judging.verdicts import holm_adjusted


def _measured(excess, seed=0, count=12, spread=0.05, shape=(3, 4)):
    generator = np.random.default_rng(seed)
    control = generator.uniform(0, 0.1, size=(count, *shape))
    values = control + excess + spread * generator.standard_normal((count, *shape))
    return Measured(PREFIX_MATCHING, values, control, 0.03)


def test_means_and_intervals_are_students():
    measured = _measured(0.2)
    table = head_table([measured]).sel(score="prefix-matching")
    np.testing.assert_allclose(table["mean"], measured.values.mean(axis=0))
    interval = ttest_1samp(measured.values[:, 1, 2], 0).confidence_interval(0.95)
    assert (table.low[1, 2], table.high[1, 2]) == pytest.approx((interval.low, interval.high))
    p = ttest_1samp((measured.values - measured.control).reshape(12, -1), 0.1, alternative="greater").pvalue
    np.testing.assert_allclose(table.p.values.ravel(), holm_adjusted(p))
    assert table.exceeds.all()
    assert str(table.source.item()).startswith("Olsson")


def test_holm_by_hand():
    """0.01·4, then 0.02·3, then the larger of that and 0.03·2; NaN are no hypotheses."""
    p = np.array([[0.03, np.nan], [0.01, 0.9], [0.02, np.nan]])
    np.testing.assert_allclose(holm_adjusted(p), [[0.06, np.nan], [0.04, 0.9], [0.06, np.nan]])


def test_a_hair_above_chance_is_not_enough():
    """An excess of .05, however certain, is below the level; beside it, heads at .3 are listed, the largest first."""
    excess = np.full((3, 4), 0.05)
    excess[2, 1], excess[0, 3] = 0.3, 0.5
    table = head_table([_measured(excess, spread=0.01)])
    assert exceeding(table, "prefix-matching") == [(0, 3), (2, 1)]


def test_false_alarms_of_the_family_are_at_most_five_percent():
    """At the level itself, in 400 families of 12 heads; and it is not far below, so that power is not given away."""
    false = sum(bool(head_table([_measured(0.1, seed)]).exceeds.any()) for seed in range(400))
    print(f"families with a false alarm: {false} of 400")
    assert false <= binom.ppf(1 - 1e-4, 400, 0.05)
    assert false >= binom.ppf(1e-4, 400, 0.02)


def test_levels_are_those_of_the_scores_but_for_shares():
    """A given level replaces that of shares alone; the level, the unit and the chance of each stand in the table."""
    score = PatternScore("in logits", "", "", PREFIX_MATCHING.targets, unit="logits", level=0.3)
    measured = _measured(0.25, spread=0.01)
    other = Measured(score, measured.values, measured.control, 0.0)
    cases = ((None, 0.1, (True, False)), (0.28, 0.28, (False, False)), (0.01, 0.01, (True, False)))
    for level, of_share, exceeds in cases:
        table = head_table([measured, other], level)
        assert table.level.values.tolist() == [of_share, 0.3]
        assert table.unit.values.tolist() == ["share", "logits"]
        assert [bool(table.exceeds.sel(score=name).all()) for name in table.score.values] == list(exceeds)


def test_missing_heads_stay_missing():
    measured = _measured(0.3)
    measured.values[:, 1, 3] = np.nan
    table = head_table([measured]).sel(score="prefix-matching")
    assert np.isnan(table["mean"][1, 3])
    assert not table.exceeds[1, 3]
    assert int(table.exceeds.sum()) == 11

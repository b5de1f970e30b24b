"""onset.validate.judging.verdicts: what agrees, disagrees or is open, and what would decide."""

from __future__ import annotations

from math import comb

import pytest

pytest.importorskip("torch")

from onset.validate.judging.intervals import Interval, z_score
from onset.validate.judging.verdicts import Tolerance, judge, of_share

FIVE = Tolerance(0.05, "of the test")
NEVER = Interval(None, reason="never", limit=1000.0)
SOME = Interval(None, reason="in 2 of 4 curves: never", limit=1000.0, share=0.5, curves=4)
FEW = Interval(None, reason="in 9 of 10 curves: never", limit=1000.0, share=0.1, curves=10)


@pytest.mark.parametrize(
    ("predicted", "observed", "verdict"),
    [
        (Interval(104, 103, 105), Interval(100, 99, 101), "agrees"),
        (Interval(104, 95, 113), Interval(100, 99, 101), "agrees"),  # half 9.1%, below twice the tolerance
        (Interval(104, 93, 115), Interval(100, 99, 101), "inconclusive"),  # half 11%: too wide to agree
        (Interval(110, 105, 115), Interval(100, 95, 105), "inconclusive"),  # 10 ± 7.4%
        (Interval(110, 109, 111), Interval(100, 99, 101), "disagrees"),
        (Interval(100), Interval(100, 99, 101), "inconclusive"),  # no interval says nothing
        (NEVER, Interval(100, 99, 101), "disagrees"),
        (Interval(110, 109, 111), NEVER, "disagrees"),
        (Interval(980, 970, 990), NEVER, "inconclusive"),  # the run ended within 5% of what is predicted
        (NEVER, NEVER, "agrees"),
        (SOME, SOME, "inconclusive"),
        (Interval(110, 109, 111, curves=4), SOME, "inconclusive"),  # 2 of 4 beside all: p = 3/7
        (SOME, Interval(110, 109, 111, curves=4), "inconclusive"),
        (NEVER, SOME, "inconclusive"),
        (Interval(110, 109, 111, curves=1), FEW, "disagrees"),  # 1 of 10 beside all
        (Interval(980, 970, 990, curves=1), FEW, "inconclusive"),  # most runs ended within 5% of what is predicted
        (NEVER, FEW, "inconclusive"),
        (SOME, FEW, "inconclusive"),
    ],
)
def test_verdicts(predicted, observed, verdict):
    assert judge(predicted, observed, FIVE).kind == verdict


def test_shares_are_compared_by_fishers_test():
    """The hypergeometric chance of the table and of its mirror image; a side that goes one way stands for as many
    curves as the other has.
    """
    all_ = Interval(110, 109, 111, curves=4)
    assert judge(SOME, all_, FIVE).because.endswith(f"p = {2 * comb(4, 2) * comb(4, 4) / comb(8, 6):.2g}")
    assert judge(all_, FEW, FIVE).because.endswith(f"p = {2 * comb(10, 1) * comb(10, 10) / comb(20, 11):.2g}")


def test_the_verdict_tells_error_interval_and_z():
    """Both sides' intervals add in squares, the reference's at the prediction's size."""
    verdict = judge(Interval(110, 107, 113), Interval(100, 96, 104), FIVE)
    assert verdict.error == pytest.approx(0.1)
    assert verdict.half == pytest.approx((0.03**2 + (0.04 * 1.1) ** 2) ** 0.5)
    assert verdict.z == pytest.approx(1.96 * 10 / 5)
    assert z_score(Interval(110), Interval(100, 96, 104)) is None


def test_an_open_verdict_says_how_many_seeds_would_decide():
    """As many as bring the interval's half to what is needed, which grows like its square; where they cannot, what else
    would.
    """
    wide = Interval(100, 85, 115)
    verdict = judge(Interval(101, 100.9, 101.1), wide, FIVE, seeds=4)
    assert "about 10 instead of 4" in str(verdict.decides)  # (15.15/10)² · 4 = 9.2, the prediction's own 0.1% aside
    assert "narrower prediction" in str(judge(Interval(101, 80, 122), wide, FIVE, seeds=4).decides)
    assert "replicates" in str(judge(Interval(101, 100.9, 101.1), wide, FIVE).decides)
    assert "longer run" in str(judge(Interval(980, 970, 990), NEVER, FIVE).decides)
    assert "longer run" in str(judge(Interval(980, 970, 990), FEW, FIVE).decides)


def test_a_share_holds_for_all_or_not():
    assert of_share(3, 3, "seeds").kind == "agrees"
    assert of_share(2, 3, "seeds").kind == "disagrees"

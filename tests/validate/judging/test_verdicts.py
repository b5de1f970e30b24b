"""onset.validate.judging.verdicts: what agrees, disagrees or is open, and what would decide."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from onset.theory.estimates import NUMERICAL, SEEDS, StandardError, student
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Tolerance, judge, of_share

FIVE = Tolerance(0.05, "of the test")
NEVER = Interval(None, reason="never", limit=1000.0)
NO_SEED = Interval(None, reason="never", kind=SEEDS, limit=1000.0, curves=4)
SOME = Interval(None, reason="in 2 of 4 curves: never", kind=SEEDS, limit=1000.0, share=0.5, curves=4)


def step(value: float, error: float, kind: str = SEEDS) -> Interval:
    """A step with a standard error that is known well."""
    return Interval.around(value, StandardError(error), kind)


@pytest.mark.parametrize(
    ("predicted", "observed", "verdict"),
    [
        (step(102, 0.5), step(100, 0.5), "agrees"),
        (step(102, 2), step(100, 2), "inconclusive"),  # 2 ± 4.7%
        (step(110, 2), step(100, 2.5), "inconclusive"),  # 10 ± 5.6%
        (step(110, 0.5), step(100, 0.5), "disagrees"),
        (Interval(102), step(100, 0.5), "inconclusive"),  # no interval says nothing
        (step(102, 0.5), Interval(100, 95, 105, "records"), "inconclusive"),  # nor does a single seed
        (NEVER, step(100, 1), "disagrees"),
        (step(110, 1), NO_SEED, "disagrees"),
        (step(980, 5), NO_SEED, "inconclusive"),  # the run ended within 5% of what is predicted
        (NEVER, NO_SEED, "agrees"),
        (step(110, 1), SOME, "disagrees"),  # two counterexamples
        (step(980, 5), SOME, "inconclusive"),  # most runs ended within 5% of what is predicted
        (NEVER, SOME, "disagrees"),
        (SOME, step(110, 1), "inconclusive"),  # a prediction that goes both ways
        (SOME, SOME, "inconclusive"),
    ],
)
def test_verdicts(predicted, observed, verdict):
    assert judge(predicted, observed, FIVE).kind == verdict


def test_the_verdict_tells_error_interval_and_z():
    """Standard errors add in squares, the reference's at the prediction's size; freedom by Welch and Satterthwaite."""
    predicted = Interval.around(110.0, StandardError(2.0, 3), NUMERICAL)
    observed = Interval.around(100.0, StandardError(1.5, 3), SEEDS)
    verdict = judge(predicted, observed, FIVE)
    parts = [0.02, 0.015 * 1.1]
    spread = (parts[0] ** 2 + parts[1] ** 2) ** 0.5
    freedom = spread**4 / sum(part**4 / 3 for part in parts)
    assert verdict.error == pytest.approx(0.1)
    assert verdict.half == pytest.approx(spread * student(freedom))
    assert verdict.z == pytest.approx(0.1 / spread)


def test_what_a_theory_neglects_does_not_excuse_a_number_but_may_hold_the_observation():
    """A theory that says 100, give or take 30 for what it neglects, is 20% off 125 and holds it; a term that the other
    side neglects as well does not count."""
    neglected = {"counts": (20.0, 20.0), "delay": (10.0, 10.0)}
    predicted = Interval(100.0, 70.0, 130.0, "theoretical", StandardError(0.0), neglected)
    verdict = judge(predicted, step(125, 1), FIVE)
    assert (verdict.kind, verdict.holds) == ("disagrees", True)
    upper = Interval(125.0, 105.0, 145.0, "theoretical", StandardError(0.0), {"counts": (20.0, 20.0)})
    assert judge(predicted, upper, FIVE).holds is False
    assert judge(NEVER, step(100, 1), FIVE).holds is None


def test_an_open_verdict_says_how_many_seeds_would_decide():
    """As many as bring the error's half-width to what is needed, which grows like its square; where they cannot, what
    else would."""
    wide = step(100, 5)
    verdict = judge(step(101, 0.01), wide, FIVE, seeds=4)
    assert "about 18 instead of 4" in str(verdict.decides)  # (1.645 · 5.05/4)² · 4 = 17.3
    assert "narrower prediction" in str(judge(step(101, 8), wide, FIVE, seeds=4).decides)
    assert "replicates" in str(judge(step(101, 0.01), wide, FIVE).decides)
    assert "longer run" in str(judge(step(980, 5), NO_SEED, FIVE).decides)
    assert "longer run" in str(judge(step(980, 5), SOME, FIVE).decides)
    assert "more seeds" in str(judge(step(101, 1), Interval(100, 95, 105, "records"), FIVE).decides)


def test_a_never_in_few_models_says_how_much_it_excludes():
    """None of four: fewer than 1 - 0.05^(1/4) = 53% of all models, at 95%."""
    assert "fewer than 53%" in judge(NEVER, NO_SEED, FIVE).because


def test_a_share_holds_for_all_or_not():
    assert of_share(3, 3, "seeds").kind == "agrees"
    assert of_share(2, 3, "seeds").kind == "disagrees"

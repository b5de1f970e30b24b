"""onset.validate.judging.rules: what each rule says, its errors, and its power at the suites' own number of seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from onset.theory.estimates import NUMERICAL, SEEDS, StandardError
from onset.validate.judging.intervals import Interval, mean_interval
from onset.validate.judging.rules import CURRENT, RULES, decide, probability
from onset.validate.judging.verdicts import Tolerance, Verdict, holm, judge
from onset.validate.suite.settings import SEEDS as SUITE_SEEDS
from onset.validate.suite.tolerances import TOLERANCE

FIVE = Tolerance(TOLERANCE, "of the test")
SCATTER = 0.04
"""Relative deviation of trained toys' steps over seeds, about that of the suite standard."""


def verdicts(true_error: float, seeds: int, repeats: int = 2000, scatter: float = SCATTER) -> np.ndarray:
    """Verdicts on an exact prediction that is off by `true_error`, by models that scatter."""
    draws = np.random.default_rng(0).normal(1, scatter, size=(repeats, seeds))
    return np.array([judge(Interval.exact(1 + true_error), mean_interval(row), FIVE).kind for row in draws])


@pytest.mark.parametrize("seeds", [SUITE_SEEDS, 10])
def test_a_wrong_verdict_has_at_most_five_per_cent_chance(within, seeds):
    """At the edge of the tolerance both verdicts are wrong in at most 5%, which is where they are most likely."""
    at_edge = verdicts(TOLERANCE, seeds)
    for kind in ("agrees", "disagrees"):
        share = np.mean(at_edge == kind)
        print(f"{seeds} seeds, {kind} at the edge: {share:.3f}")
        assert share < 0.05 + 4 * np.sqrt(0.05 * 0.95 / len(at_edge))


@pytest.mark.parametrize(
    ("true_error", "least"),
    [(0.15, 0.8), (0.2, 0.97), (-0.25, 0.99)],
)
def test_wrong_theories_are_refuted_at_the_suites_own_number_of_seeds(true_error, least):
    """A law that is 15 to 25% off, as the plateau law is without its delay, is refuted by four seeds."""
    power = np.mean(verdicts(true_error, SUITE_SEEDS) == "disagrees")
    print(f"off by {true_error:+.0%}: refuted in {power:.1%}")
    assert power > least


def test_a_right_theory_is_confirmed():
    """One that is off by less than a fifth of the tolerance, by models that scatter by 2%, in most cases."""
    assert np.mean(verdicts(0.01, SUITE_SEEDS, scatter=0.02) == "agrees") > 0.75


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_wrong_never_is_refuted_by_one_counterexample(share):
    """Theory says that no head forms, and in truth a share of all models forms one: refuted as often as one of four
    does; and likewise theory that says it always forms. Rule 2 never refuted one of four."""
    draws = np.random.default_rng(0).random((2000, SUITE_SEEDS)) < share
    always, never = Interval.exact(100.0), Interval(None, reason="never", limit=1000.0)
    refuted = {"never": 0, "always": 0}
    for forms in draws:
        mixed = Interval(None, reason="in some", kind=SEEDS, limit=1000.0, share=forms.mean(), curves=SUITE_SEEDS)
        forms_in_all = Interval(100.0, 99, 101, SEEDS, StandardError(0.5, 3), curves=SUITE_SEEDS)
        in_none = Interval(None, reason="never", kind=SEEDS, limit=1000.0, curves=SUITE_SEEDS)
        observed = forms_in_all if forms.all() else mixed if forms.any() else in_none
        refuted["never"] += judge(never, observed, FIVE).kind == "disagrees"
        refuted["always"] += judge(always, observed, FIVE).kind == "disagrees"
    assert refuted["never"] == (draws.any(axis=1)).sum()
    assert refuted["always"] == (~draws.all(axis=1)).sum()
    one_of_four = Interval(None, reason="in 1", kind=SEEDS, limit=1000.0, share=0.25, curves=4)
    assert RULES[2].never(never, one_of_four) == "inconclusive"


def test_a_prediction_that_goes_both_ways_states_nothing():
    """Nor does an upper rung whose replicates do; trained models that do are a counterexample."""
    undecided = Interval(None, reason="in 2 of 4", kind=NUMERICAL, limit=1000.0, share=0.5, curves=4)
    mixed = Interval(None, reason="in 2 of 4", kind=SEEDS, limit=1000.0, share=0.5, curves=4)
    assert judge(undecided, mixed, FIVE).kind == "inconclusive"
    assert judge(Interval.exact(100.0), undecided, FIVE).kind == "inconclusive"
    assert judge(Interval.exact(100.0), mixed, FIVE).kind == "disagrees"


@given(
    error=st.floats(-1, 1),
    spread=st.floats(0, 0.5),
    freedom=st.one_of(st.just(np.inf), st.floats(1, 50)),
    allowed=st.floats(0.001, 0.5),
)
def test_probability_and_verdict_tell_the_same(error, spread, freedom, allowed):
    """A verdict disagrees where the probability is below 5%; narrower errors decide more."""
    known = StandardError(spread, freedom)
    kind, p = decide(error, known, allowed), probability(error, known, allowed)
    if spread and abs(p - 0.05) > 1e-9:
        assert (kind == "disagrees") == (p < 0.05)
    if kind != "inconclusive":
        assert decide(error, known.times(0.5), allowed) == kind


def test_holm_controls_the_family(within):
    """Twenty statements that hold, each judged at 5%: one of them is refuted in 64% of families, after Holm in at most
    5%; a false one among them still is."""
    generator, families = np.random.default_rng(0), 2000
    single, family, found = 0, 0, 0
    for p_values in generator.random((families, 20)):
        judged = [Verdict("disagrees" if p < 0.05 else "agrees", FIVE, p=float(p)) for p in p_values]
        single += any(v.kind == "disagrees" for v in judged)
        family += any(v.kind == "disagrees" for v in holm(judged))
        found += holm([*judged, Verdict("disagrees", FIVE, p=1e-4)])[-1].kind == "disagrees"
    expected = 1 - 0.95**20
    within("single", single / families, expected, np.sqrt(expected * (1 - expected) / families))
    assert family / families < 0.05 + 4 * np.sqrt(0.05 * 0.95 / families)
    assert found == families


def test_every_rule_judges_and_the_last_one_counts():
    verdict = judge(Interval.exact(110.0), mean_interval([100.0, 101.0, 99.0, 100.0]), FIVE)
    assert set(verdict.by_rule) == set(RULES)
    assert verdict.kind == verdict.by_rule[CURRENT]
    assert max(RULES) == CURRENT

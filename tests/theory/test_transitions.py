"""onset.theory.transitions: when a curve passes from one strategy to the next, and intervals over seeds."""

from __future__ import annotations

import numpy as np
import pytest
import ruptures
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from onset.theory.markov.task import STRATEGIES, strategies
from onset.theory.transitions import Transition, combine, find_formation, find_transition, read_transitions


def curve(steps: np.ndarray, crossing: float, slope: float = 0.01) -> dict[str, np.ndarray]:
    """Distances whose difference is linear and vanishes at `crossing`."""
    return {"unigram": 1 + slope * (steps - crossing), "bigram": np.ones(len(steps))}


@given(st.floats(12, 88), st.floats(0.5, 9.5))
def test_interpolation_is_exact_on_straight_curves(crossing, spacing):
    """The crossing of straight lines is found to rounding, never moved to the recording grid, and bracketed by two
    records."""
    steps = np.arange(0, 100 + 2 * spacing, spacing)
    computed = find_transition(steps, curve(steps, crossing), "unigram", "bigram")
    assert computed.step == pytest.approx(crossing, abs=1e-10)
    assert computed.low <= computed.step <= computed.high
    assert computed.high - computed.low == pytest.approx(spacing, abs=1e-10)
    assert computed.low in steps
    assert computed.high in steps


@pytest.mark.parametrize("steps", [[0, 10, 10, 20], [0, 0, 10, 20], [0, 10, 20, 20]])
def test_records_of_equal_steps(steps):
    """Bounds of a theory may stand still: no warning, and the step lies between its records."""
    for lead in ([-1, -1, 1, 1], [-1, 1, 1, 2], [-2, -1, 0.5, 1]):
        result = find_transition(steps, {"unigram": lead, "bigram": [0, 0, 0, 0]}, "unigram", "bigram")
        assert result.low <= result.step <= result.high
        assert result.error is None or np.isfinite(result.error.value)


def test_formation_is_the_first_passage_of_a_level():
    """Lag-1 attention rising linearly from 0 to 1 over 100 steps passes `level` at 100 × level."""
    steps = np.arange(0, 101, 7.0)
    for level in (0.1, 0.5, 0.73):
        assert find_formation(steps, steps / 100, level).step == pytest.approx(100 * level, abs=1e-12)
    assert find_formation(steps, steps / 100).step == pytest.approx(10, abs=1e-12)
    for level in (0, 1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="formation_level"):
            find_formation(steps, steps / 100, level)


@pytest.mark.parametrize(
    ("lead", "step", "reason"),
    [
        ([-1, -1, 1, 1], 15, None),
        ([-1, 1, -1, 1, 1], 25, None),
        ([1, -1, 1, 1], 15, None),
        ([-1, 0, 1, 1], 10, None),
        ([-1, np.nan, 1, 1], 10, None),
        ([-1, -1, -1], None, "never nearer"),
        ([-1, 1, -1, 1, -1], None, "never nearer to bigram than to unigram for two records in a row up to step 40"),
        ([-1, -1, 1], None, "at the last recorded step, 20, only: run longer"),
        ([1, 1, 1], None, "already at the first recorded step, 0"),
        ([1], None, "already at the first recorded step"),
        ([0, 0, 0], None, "never nearer"),
        ([np.nan, np.nan], None, "no recorded step has finite values"),
        ([], None, "no recorded step"),
    ],
)
def test_first_lasting_crossing_or_a_reason(lead, step, reason):
    """The first crossing that holds at the next record; else None with the reason, never an exception and never the
    last step."""
    steps, lead = 10.0 * np.arange(len(lead)), np.array(lead, float)
    computed = find_transition(steps, {"unigram": 1 + lead, "bigram": np.ones(len(lead))}, "unigram", "bigram")
    if reason is None:
        assert computed.step == step
        assert computed.reason is None
    else:
        assert computed.step is None
        assert computed.low is None
        assert computed.high is None
        assert reason in computed.reason


def test_unknown_strategies_are_named():
    """A strategy without a curve is answered by the nearest one."""
    with pytest.raises(ValueError, match=r"strategy = 'bigrams'.*'bigram'"):
        find_transition([0, 1], curve(np.arange(2.0), 1), "unigram", "bigrams")


def test_read_transitions_gives_successive_ones():
    """uniform → unigram → bigram and the head, each by the one definition; trigrams need a second head, which any head
    may be."""
    steps = np.arange(0, 100, 5.0)
    distances = {"uniform": steps, "unigram": np.full(20, 22.0), "bigram": 80 - steps}
    attention = np.stack([np.zeros(20), steps / 100], axis=1)[:, None]
    transitions, (formation,) = read_transitions(steps, distances, attention, 0.37)
    assert [(t.source, t.target) for t in transitions] == [("uniform", "unigram"), ("unigram", "bigram")]
    assert [t.step for t in transitions] == pytest.approx([22, 58])
    assert formation.step == pytest.approx(37)
    assert STRATEGIES == ("uniform", "unigram", "bigram")
    assert strategies(4) == (*STRATEGIES, "trigram", "4-gram")
    two = np.zeros((20, 2, 3))
    two[:, 1, 1], two[:, 0, 2] = steps / 100, steps / 200
    transitions, formations = read_transitions(steps, distances | {"trigram": 140 - 2 * steps}, two, 0.3, lags=(1, 2))
    assert transitions[-1].step == pytest.approx(60)
    assert [(f.target, f.step) for f in formations] == [
        ("previous-token head", pytest.approx(30)),
        ("lag-2 head", pytest.approx(60)),
    ]


def seeds(crossings: np.ndarray, spacing: float) -> list[Transition]:
    steps = np.arange(0, 400, spacing)
    return [find_transition(steps, curve(steps, c), "unigram", "bigram") for c in crossings]


@pytest.mark.parametrize("n", [2, 4, 10])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_over_seeds_cover_the_truth_as_often_as_they_say(within, n, skewed):
    """Gaussian steps, and log-normal ones that scatter by a tenth, as trained models' do: 95% of the intervals of a
    mean hold it."""
    repeats, truth, spread, spacing, expected = 4000, 200.0, 0.1, 0.5, 0.95
    draws = np.random.default_rng(0).normal(0, spread, size=(repeats, n))
    crossings = truth * (np.exp(draws - spread**2 / 2) if skewed else 1 + draws)
    computed = [combine(seeds(row, spacing)) for row in crossings]
    within(
        "coverage",
        np.mean([t.low <= truth <= t.high for t in computed]),
        expected,
        np.sqrt(expected * (1 - expected) / repeats),
    )
    np.testing.assert_allclose([t.step for t in computed], crossings.mean(axis=1), atol=1e-9)
    assert {t.kind for t in computed} == {"seeds"}


def test_interval_of_two_curves_in_closed_form():
    """Two straight curves d from their mean: the interval is d times the 97.5% quantile of Student's law with one
    degree of freedom, 12.7, and no step is below zero."""
    computed = combine(seeds(np.array([183.0, 185.0]), 10.0))
    half = stats.t.isf(0.025, 1)
    assert (computed.step, computed.error.freedom) == (pytest.approx(184), 1)
    assert (computed.low, computed.high) == (pytest.approx(184 - half), pytest.approx(184 + half))
    assert combine(seeds(np.array([100.0, 150.0]), 10.0)).low == 0


def test_the_error_of_linear_interpolation_is_part_of_the_interval():
    """Of a curve that bends between records, at each spacing: the stated error is at least the true one and falls like
    the spacing's square; straight curves have none."""
    stated, exact = [], np.log(3) * 40
    for spacing in (20.0, 10.0, 5.0):
        steps = np.arange(0, 200, spacing)
        growing = np.exp(steps / 40)
        (single,) = [
            find_transition(steps, {"unigram": growing, "bigram": np.full(len(steps), 3.0)}, "unigram", "bigram")
        ]
        stated.append(single.error.value)
        assert abs(single.step - exact) <= single.error.value
        assert combine([single] * 5).error.value == pytest.approx(single.error.value)
    assert stated[0] / stated[2] > 4
    straight = seeds(np.array([123.0]), 10.0)[0]
    assert straight.error.value == pytest.approx(0, abs=1e-9)


def test_one_curve_is_its_own_interval():
    """A single curve keeps its two records, and says so."""
    (single,) = seeds(np.array([123.0]), 10.0)
    assert combine([single]) == single
    assert (single.low, single.high, single.kind) == (120, 130, "records")


def test_combine_reports_missing_transitions():
    """One curve without a transition leaves no mean; the reason says how many; different kinds are not mixed."""
    computed, missing = seeds(np.array([120.0, 130.0]), 10.0), Transition("unigram", "bigram", None, reason="never")
    expected = Transition("unigram", "bigram", None, reason="in 1 of 3 curves: never", kind="numerical")
    assert combine([*computed, missing], "numerical") == expected
    with pytest.raises(ValueError, match="same source and target"):
        combine([*computed, Transition("uniform", "unigram", 3.0, 2.0, 4.0)])
    with pytest.raises(ValueError, match="one or more"):
        combine([])


def test_ruptures_agrees_on_where_a_sigmoid_switches():
    """Second opinion: on noisy sigmoids of ten seeds the mean of the least-squares change points lies within combine's
    interval."""
    generator, steps = np.random.default_rng(1), np.arange(0, 400, 5.0)
    computed, second = [], []
    for centre in generator.normal(200, 12, size=10):
        fallen = 1 / (1 + np.exp(-(steps - centre) / 6)) + generator.normal(0, 0.02, size=len(steps))
        distances = {"unigram": 0.1 * fallen, "bigram": 0.1 * (1 - fallen)}
        computed.append(find_transition(steps, distances, "unigram", "bigram"))
        (change, _) = ruptures.Dynp(model="l2", min_size=2, jump=1).fit(fallen).predict(n_bkps=1)
        second.append((steps[change - 1] + steps[change]) / 2)
        assert abs(second[-1] - computed[-1].step) <= 5.0
    both = combine(computed)
    print(both, np.mean(second))
    assert both.low < np.mean(second) < both.high


def test_a_head_is_named_by_its_lag():
    steps = np.arange(5.0)
    assert find_formation(steps, steps / 5).target == "previous-token head"
    assert find_formation(steps, steps / 5, lag=2).target == "lag-2 head"

"""onset.validate.evaluation.pruning: orders, sets and shares by hand; chance levels against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.evaluation.examples import evaluate
from onset.validate.evaluation.pruning import ascending, capacity_retained, orders, overlap, prune, prune_both
from onset.validate.evaluation.synthetic import repeats
from onset.validate.inspection.inspectable import Head
from onset.validate.inspection.interventions import Zero, ZeroFeedForward, intervene
from onset.validate.inspection.sequences import Pool
from onset.validate.models.transformer import Transformer

IMPORTANCE = np.array([[0.4, 0.1, np.nan], [0.3, 0.9, 0.2]])


def test_orders_are_of_all_heads():
    ordered = orders(IMPORTANCE, -IMPORTANCE, seed=3)
    assert [str(head) for head in ordered["importance"]] == ["L0H1", "L1H2", "L1H0", "L0H0", "L1H1"]
    assert ordered["reverse"] == ordered["magnitude"] == ordered["importance"][::-1]
    drawn = [ordered[f"random {n}"] for n in (1, 2, 3)]
    assert all(sorted(order) == sorted(ordered["importance"]) for order in drawn)
    assert drawn[0] != drawn[1]
    assert orders(IMPORTANCE, IMPORTANCE, seed=3)["random 1"] == drawn[0]


def test_ties_stand_in_the_order_of_the_heads():
    assert ascending(np.zeros((2, 2))) == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    shape = Architecture(2, 12, (2, 3), dropout=0.0, feed_forward=1)
    return Transformer(Setting.of("transformer", states=30, context=24, architecture=shape, initialization=0.5))


TASK = repeats(Pool.of(30), 6, length=10)


def test_the_first_heads_of_an_order_are_removed(model):
    ordered, calls = orders(IMPORTANCE, IMPORTANCE), []
    results = list(prune(model, TASK, ordered, (0, 40, 59, 60), progress=lambda step, steps: calls.append(steps)))
    assert len(results) == len(calls) == 6 * 4
    for result in results:
        expected = ordered[result.order][: len(result.heads)]
        assert list(result.heads) == expected
        with intervene(model, *map(Zero, expected)):
            np.testing.assert_allclose(evaluate(model, TASK).losses, result.performance.losses, rtol=1e-6)
    # ⌊percent · 5/100⌋ heads
    assert [len(result.heads) for result in results[:4]] == [0, 2, 2, 3]


def test_equal_sets_are_evaluated_once(model, monkeypatch):
    import onset.validate.evaluation.pruning as module

    calls = []
    monkeypatch.setattr(module, "evaluate", lambda *args: calls.append(args) or evaluate(*args))
    list(prune(model, TASK, {"a": ascending(IMPORTANCE), "b": ascending(IMPORTANCE)[::-1]}, (0, 10, 20, 100)))
    assert len(calls) == 4  # nothing, one head each, all


def test_the_grid_removes_both(model):
    results = list(prune_both(model, TASK, ascending(IMPORTANCE), [1, 0], (0, 40), (0, 50, 100)))
    assert [(len(r.heads), r.feed_forwards) for r in results] == [
        *((0, blocks) for blocks in ((), (1,), (1, 0))),
        *((2, blocks) for blocks in ((), (1,), (1, 0))),
    ]
    with intervene(model, Zero(Head(0, 1)), Zero(Head(1, 2)), ZeroFeedForward(1)):
        np.testing.assert_allclose(evaluate(model, TASK).losses, results[4].performance.losses, rtol=1e-6)


def test_overlap_by_hand():
    first, second = np.array([[1.0, 2, 3, np.nan, 4]]), np.array([[4.0, 1, 3, np.nan, 2]])
    result = overlap(first, second, 0.5)
    assert (result.share, result.common) == (0.5, 0.5)  # of heads 2 and 4, and 0 and 2
    assert result.spearman == pytest.approx(spearmanr([1, 2, 3, 4], [4, 1, 3, 2]).statistic)
    assert result.released == pytest.approx(spearmanr([0, 1, 2, 3], [1, 3, 2, 0]).statistic)


def test_the_released_correlation_is_of_no_use():
    """Of importances that are nearly equal it is near zero: it correlates places, not ranks."""
    generator = np.random.default_rng(0)
    first = generator.normal(size=(64, 72))
    result = overlap(first, first + 0.05 * generator.normal(size=first.shape))
    assert result.spearman > 0.99
    assert abs(result.released) < 0.2


def test_chance_of_the_overlap(within):
    """Mean and deviation of the common share of random sets."""
    generator, common = np.random.default_rng(1), []
    for _ in range(4000):
        result = overlap(generator.random((4, 10)), generator.random((4, 10)))
        common.append(result.common)
    mean, deviation = result.chance
    within("share in common", np.mean(common), mean, np.std(common) / np.sqrt(len(common)))
    # the standard error of a standard deviation is about itself/√(2n)
    within("its deviation", np.std(common), deviation, deviation / np.sqrt(2 * len(common)))


def test_capacity_by_hand():
    scores = np.array([[0.5, 0.0, np.nan], [-0.2, 0.3, 0.2]])
    left = capacity_retained(scores, ascending(IMPORTANCE), (0, 20, 40, 60, 80, 100))
    np.testing.assert_allclose(left, [1, 1, 0.8, 0.8, 0.3, 0])
    with pytest.raises(ValueError, match="no head has a positive one"):
        capacity_retained(-np.abs(scores), ascending(IMPORTANCE))


@pytest.mark.parametrize(
    ("second", "share", "says"),
    [
        (np.zeros((2, 2)), 0.3, "importances of shapes"),
        (np.zeros((2, 3)), 0.3, "expected values for the same heads"),
        (IMPORTANCE, 0.01, "share = 0.01: expected one that keeps from 1 to 4 of 5 heads"),
    ],
)
def test_importances_that_cannot_be_compared(second, share, says):
    with pytest.raises(ValueError, match=says):
        overlap(IMPORTANCE, second, share)

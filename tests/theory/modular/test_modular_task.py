"""onset.theory.modular: the task's rules, inputs and sets, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.derivations.modular_predictors import rank_share, regression
from onset.theory.modular import ideal
from onset.theory.modular.task import SETS, ModularArithmetic
from onset.theory.tasks import task_from_dict


def test_rules_and_inputs_are_split_once():
    task = ModularArithmetic(modulus=5, rules=12, share=0.6, drawn=7)
    assert [len(part) for part in (task.trained_rules, task.new_rules)] == [12, 13]
    assert [len(part) for part in (task.seen_inputs, task.unseen_inputs)] == [15, 10]
    for parts in ((task.trained_rules, task.new_rules), (task.seen_inputs, task.unseen_inputs)):
        assert len(np.unique(np.concatenate(parts), axis=0)) == 25
    again = task_from_dict(task.to_dict())
    assert again == task
    assert np.array_equal(again.seen_inputs, task.seen_inputs)
    assert not np.array_equal(ModularArithmetic(modulus=5, rules=12, share=0.6).seen_inputs, task.seen_inputs)
    # More rules are those before and others; the split of inputs stays.
    more = ModularArithmetic(modulus=5, rules=13, share=0.6, drawn=7)
    assert np.array_equal(more.trained_rules[:12], task.trained_rules)
    assert np.array_equal(more.seen_inputs, task.seen_inputs)


def test_the_other_sets_are_variants():
    task = ModularArithmetic(modulus=5, rules=12, share=0.6)
    assert [variant.measured for variant in task.variants] == list(SETS[1:])
    assert all(not variant.variants for variant in task.variants)
    assert np.array_equal(task.variants[2].drawn_rules, task.new_rules)
    assert np.array_equal(task.variants[2].drawn_inputs, task.unseen_inputs)
    assert [v.measured for v in ModularArithmetic(modulus=5, rules=25, share=0.6).variants] == [SETS[1]]


def test_answers_alone_are_scored():
    task = ModularArithmetic(modulus=5, rules=12, share=0.6, examples=3)
    assert task.context == 8
    assert np.flatnonzero(task.scored).tolist() == [1, 4, 7]


@pytest.mark.parametrize(("modulus", "rules"), [(5, 8), (7, 40), (29, 512)])
def test_rectangles(modulus, rules):
    """Corners (a, b), (a, y), (x, b), (x, y) with x ∉ {a, b}, y ∉ {a, b, x}, none twice."""
    chosen = ModularArithmetic(modulus=modulus, rules=rules, chosen="rectangular").trained_rules
    assert len(np.unique(chosen, axis=0)) == rules
    for (a, b), (c, y), (x, d), last in chosen.reshape(-1, 4, 2):
        assert (c, d) == (a, b)
        assert tuple(last) == (x, y)
        assert x not in (a, b)
        assert y not in (a, b, x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modulus": 1}, r"modulus = 1: expected a whole number of at least 2"),
        ({"rules": 26}, r"rules = 26: expected at most 25, all of modulus 5 with 2 variables"),
        ({"rules": 0}, r"rules = 0: expected a whole number of at least 1"),
        (
            {"share": 0.99},
            r"share = 0.99 of 25 inputs: expected at least one seen and one unseen input; give 0.04 … 0.96",
        ),
        ({"share": 1.0}, r"share = 1.0: expected a share between 0 and 1"),
        ({"examples": 11, "distinct": True}, r"examples = 11: expected at most 10, the distinct inputs"),
        ({"rules": 10, "chosen": "rectangular"}, r"a multiple of 4 rules"),
        ({"rules": 24, "chosen": "rectangular"}, r"no more rectangles of new rules were drawn at modulus 5"),
        ({"chosen": "square"}, r"chosen = 'square': expected one of random, rectangular"),
        ({"noise": 0.5}, r"noise = 0.5: expected a probability from 0 to below 1/2"),
        ({"modulus": 101, "variables": 4}, r"expected at most 1000000 rules, there are 104060401"),
        ({"measured": "old rules"}, r"measured = 'old rules': expected one of"),
        ({"rules": 25, "measured": SETS[2]}, r"all 25 rules are trained on; give fewer rules"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _ = ModularArithmetic(**({"modulus": 5, "rules": 12, "share": 0.6, "examples": 4} | changes)).trained_rules


def test_no_closed_form_is_said():
    for changes, reason in (({"modulus": 6}, "modulus = 6 is not prime"), ({"noise": 0.1}, r"noise = 0.1")):
        with pytest.raises(ValueError, match=f"no closed form for {reason}; measure them with onset simulate"):
            ideal.losses(ModularArithmetic(**({"modulus": 5, "rules": 12} | changes)), "copy")
    with pytest.raises(ValueError, match=r"strategy = 'ratio': expected one of"):
        ideal.losses(ModularArithmetic(modulus=5, rules=12), "ratio")


def test_published_values():
    """Accuracy of regression at p = 29, and P₂, as published."""
    assert [round(regression(29, k), 3) for k in (0, 1, 2, 3, 5)] == [0.036, 0.068, 0.967, 0.999, 1.0]
    for k in (0, 1, 2, 5):
        assert rank_share(29, k, 2, 2) == pytest.approx((1 - 29.0**-k) * (1 - 29.0 ** (1 - k)), abs=1e-15)
        assert rank_share(29, k, 2, 0) == pytest.approx(29.0 ** (-2 * k), abs=1e-15)


def test_mixture_lies_between_and_pays_at_most_a_bit():
    """Whichever of the two is right, the mixture's loss over a sequence is at most ln 2 above it."""
    task = ModularArithmetic(modulus=11, rules=20, share=0.6, examples=8)
    new = task.variants[1]
    for kind, best in ((task, "memorising"), (new, "regression")):
        behind = (ideal.losses(kind, "mixture") - ideal.losses(kind, best)).cumsum()
        assert 0 < behind[-1] < np.log(2)
    assert ideal.losses(new, "memorising")[0] == np.inf

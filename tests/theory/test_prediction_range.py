"""onset.theory.prediction: a theory answers as long as what it neglects leaves something of the answer."""

from __future__ import annotations

import math

import pytest

from onset.theory.prediction import change, require_smaller
from onset.theory.setting import Setting


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(2.0, 3.0, 0.5), (3.0, 2.0, 0.5), (1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, math.inf), (None, 1.0, math.inf)],
)
def test_changes_are_relative_to_the_smaller_time(before, after, expected):
    """So that a factor of two is all of it, in both directions."""
    assert change(before, after) == expected


@pytest.mark.parametrize(("share", "answers"), [(0.99, True), (-0.99, True), (1.0, False), (math.inf, False)])
def test_all_of_it_is_too_much(share, answers):
    setting = Setting.of("linear")
    if answers:
        return require_smaller(setting, "it", share, "use another")
    with pytest.raises(ValueError, match=r"it is (1|inf) of the answer, .* expected less than all; use another"):
        require_smaller(setting, "it", share, "use another")
    return None

"""onset.theory.arguments: each check returns a plain value or names the argument, the value and the mend."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onset.theory import arguments


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3)])
def test_integer_accepts_whole_numbers_of_any_type(value):
    """A whole number comes back as an int."""
    computed = arguments.integer("states", value, least=2)
    assert computed == 3
    assert type(computed) is int


@pytest.mark.parametrize("value", [1, 2.5, True, "3", None, math.nan, math.inf, 3 + 0j])
def test_integer_refuses_the_rest(value):
    """Fractions, booleans, text and numbers below the least are refused by name and value."""
    with pytest.raises(ValueError, match="states = ") as caught:
        arguments.integer("states", value, least=2)
    assert repr(value) in str(caught.value)
    assert "at least 2" in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.1", None])
def test_real_refuses_what_is_not_finite(value):
    """real() takes finite numbers only."""
    with pytest.raises(ValueError, match="rate = ") as caught:
        arguments.real("rate", value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [0, -1e-300, math.nan])
def test_positive_refuses_zero_and_below(value):
    """positive() is strict at zero."""
    with pytest.raises(ValueError, match="rate = "):
        arguments.positive("rate", value)
    assert arguments.positive("rate", 5e-324) == 5e-324


def test_one_of_suggests_the_nearest_name():
    """An unknown name is answered by the nearest known one."""
    assert arguments.one_of("strategy", "bigram", ("unigram", "bigram")) == "bigram"
    with pytest.raises(ValueError, match=r"strategy = 'bigrm'.*did you mean 'bigram'\?"):
        arguments.one_of("strategy", "bigrm", ("unigram", "bigram"))
    with pytest.raises(ValueError, match="choose for instance 'bigram'"):
        arguments.one_of("strategy", "zzz", ("unigram", "bigram"))


def test_only_known_names_the_unknown_entry():
    """An unknown key of a table is named together with the nearest known key."""
    arguments.only_known("setting", {"context": 1}, ("context", "batch"))
    with pytest.raises(ValueError, match=r"setting has no entry 'contxt'.*did you mean 'context'"):
        arguments.only_known("setting", {"contxt": 1}, ("context", "batch"))


@pytest.mark.parametrize(("value", "good"), [(-1, False), (0, True), (2**63 - 1, True), (2**63, False)])
def test_seeds_from_zero_to_the_largest(value, good):
    if good:
        assert arguments.seed("seed", value) == value
    else:
        with pytest.raises(ValueError, match=f"seed = {value}"):
            arguments.seed("seed", value)

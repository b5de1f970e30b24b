"""Functions that take arrays: a malformed one is a sentence that names the argument, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onset.simulate.strategies import ngrams
from onset.simulate.tasks.markov_chains import tokens_from_uniforms
from onset.theory import arrays
from onset.theory.markov import chains, signals
from onset.theory.transitions import find_crossing, find_formation, find_transition, read_transitions

NUMBERS = st.floats(-1e100, 1e100) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0])

MALFORMED = st.one_of(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4), elements=NUMBERS),
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=st.integers(-3, 9)),
    st.sampled_from([None, "steps", b"1", 1j, {}, {1.0}, [[1.0], [1.0, 2.0]], ["a", "b"], [None, 1.0], object()]),
    st.lists(NUMBERS, max_size=5),
)
"""Arrays of any shape and content, and what is none."""

STEPS, CURVE = [0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 1.0, 1.0]
FLAT = np.full((2, 3, 3), 1 / 3)
TOKENS = np.array([[0, 1, 2, 0], [2, 2, 1, 0]])

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "find_transition, steps": lambda x: find_transition(x, {"a": CURVE, "b": CURVE}, "a", "b"),
    "find_transition, distances": lambda x: find_transition(STEPS, {"a": x, "b": CURVE}, "a", "b"),
    "find_formation, steps": lambda x: find_formation(x, CURVE),
    "find_formation, attention": lambda x: find_formation(STEPS, x),
    "find_crossing, steps": lambda x: find_crossing(x, CURVE, "a", "b", "there"),
    "find_crossing, lead": lambda x: find_crossing(STEPS, x, "a", "b", "there"),
    "read_transitions, attention": lambda x: read_transitions(STEPS, {"a": CURVE, "b": CURVE}, x),
    "stationary": chains.stationary,
    "entropy": chains.entropy,
    "entropy_rate": chains.entropy_rate,
    "history_law": chains.history_law,
    "lag_matrices": lambda x: chains.lag_matrices(x, 3),
    "correlations, weights": lambda x: signals.correlations(FLAT, x, 3),
    "repetitions, transition": lambda x: signals.repetitions(x, [0.5, 0.5], 3),
    "predict, tokens": lambda x: ngrams.predict(x, 3, "bigram", 1.0),
    "first_visits, tokens": lambda x: ngrams.first_visits(x, 3, 1),
    "tokens_from_uniforms, transition": lambda x: tokens_from_uniforms(x, FLAT[:, 0], np.zeros((2, 4))),
    "tokens_from_uniforms, law": lambda x: tokens_from_uniforms(FLAT, x, np.zeros((2, 4))),
    "tokens_from_uniforms, uniforms": lambda x: tokens_from_uniforms(FLAT, FLAT[:, 0], x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(MALFORMED)
def test_a_malformed_array_is_taken_or_refused_in_a_sentence(name, value):
    """Nothing else is raised, and no warning either, which would be an error here."""
    try:
        FUNCTIONS[name](value)
    except ValueError as problem:
        sentence = str(problem)
        assert "expected" in sentence, sentence
        assert sentence.endswith((".", "?")), sentence
        assert len(sentence) < 600


GOOD: dict[str, Any] = {
    "find_transition, steps": STEPS,
    "find_transition, distances": CURVE,
    "read_transitions, attention": np.ones((4, 1, 2)),
    "stationary": FLAT[0],
    "entropy": FLAT,
    "predict, tokens": TOKENS,
    "first_visits, tokens": TOKENS,
    "tokens_from_uniforms, uniforms": np.zeros((2, 4)),
    "correlations, weights": [0.5, 0.5],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_array_is_taken(name):
    """So that the functions above can accept something."""
    assert FUNCTIONS[name](GOOD[name]) is not None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: find_transition(STEPS, {"a": CURVE, "b": CURVE[:3]}, "a", "b"), r"distances\[b\] has shape \(3,\)"),
        (lambda: find_transition(STEPS[:2], {"a": CURVE, "b": CURVE}, "a", "b"), r"distances\[a\] .* expected \(2,\)"),
        (lambda: find_transition([0, 2, 1, 3], {"a": CURVE, "b": CURVE}, "a", "b"), "steps = .* that never decrease"),
        (lambda: find_transition([0, 1, np.nan, 3], {"a": CURVE, "b": CURVE}, "a", "b"), "steps = .* finite"),
        (lambda: read_transitions(STEPS, {"a": CURVE, "b": CURVE}, np.ones((4, 1, 1))), "attention has shape"),
        (lambda: read_transitions(STEPS, {"a": CURVE, "b": CURVE}, np.ones((4, 0, 2))), "attention has shape"),
        (lambda: chains.lag_matrices(FLAT, 0), "lags = 0"),
        (lambda: chains.block_law(FLAT, 3), "length = 3"),
        (lambda: ngrams.predict(TOKENS, 2, "bigram", 1.0), "tokens has entries from 0 to 2: expected 0 to 1"),
        (lambda: ngrams.predict(-TOKENS, 3, "bigram", 1.0), "tokens has entries from -2 to 0"),
        (lambda: ngrams.predict(TOKENS[:, :1], 3, "bigram", 1.0), "tokens has shape .*, 1"),
        (lambda: arrays.numbers("x", [1, 2], 3), r"x has shape \(2,\): expected \(3,\)"),
    ],
)
def test_the_sentence_names_the_argument(call, says):
    with pytest.raises(ValueError, match=says):
        call()

"""onset.validate.training.held_out: what is measured of a model along training."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.validate.training.held_out import unseen


@pytest.mark.parametrize(("states", "order"), [(3, 2), (2, 3), (3, 4)])
def test_a_history_is_unseen_the_first_time_only(states, order):
    """By a set of the histories met so far, position by position; a history that is not whole counts as neither."""
    tokens = np.random.default_rng(0).integers(states, size=(7, 40))
    expected = np.zeros(tokens.shape, dtype=bool)
    for n, row in enumerate(tokens.tolist()):
        met = set()
        for t in range(order - 2, len(row)):
            history = tuple(row[t - order + 2 : t + 1])
            expected[n, t] = history not in met
            met.add(history)
    assert np.array_equal(unseen(tokens, states, order), expected)

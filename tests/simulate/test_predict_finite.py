"""onset.simulate: predictions at finite context, and the table of methods."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onset.simulate.finite_context.predict import REPLICATES, finite_context
from onset.simulate.predict import METHODS, predict
from onset.theory.markov import ideal
from onset.theory.setting import Setting


def test_replicates_are_independent_and_repeatable():
    """Independent replicates, one result per seed; the combined mean is that of the replicates; plateaus are the exact
    finite-T losses.
    """
    setting = Setting.of("linear", context=15, steps=30)
    prediction, again = finite_context(setting, seed=2), finite_context(setting, seed=2)
    assert len(prediction.trajectories) == REPLICATES
    losses = np.array([t.loss[1] for t in prediction.trajectories])
    assert len(set(losses)) == REPLICATES
    assert losses.tolist() == [t.loss[1] for t in again.trajectories]
    assert json.loads(json.dumps(prediction.to_dict()))["method"] == "finite-context"
    for name, plateau in prediction.plateaus.items():
        exact = ideal.finite_loss(setting.task.prior, name, 15)
        assert abs(plateau.value - exact.value) <= plateau.error + exact.error


def test_starting_loss_is_that_of_the_initial_model(within):
    """All-zero softmax family: the first recorded loss is ln k exactly, and KL(uniform ‖ model) zero."""
    prediction = finite_context(Setting.of("softmax", states=3, context=8, steps=5))
    for trajectory in prediction.trajectories:
        assert trajectory.loss[0] == pytest.approx(np.log(3), rel=1e-13)
        assert trajectory.distances["uniform"][0] == pytest.approx(0, abs=1e-13)


def test_methods_by_name():
    """predict() runs the named method; an unknown name is answered by the nearest."""
    assert set(METHODS) == {"law", "law-corrected", "mean-field", "mean-field-corrected", "finite-context"}
    assert predict(Setting.of("linear", context=20, steps=20), "mean-field").method == "mean-field"
    with pytest.raises(ValueError, match=r"method = 'meanfield'.*'mean-field'"):
        predict(Setting.of("linear"), "meanfield")

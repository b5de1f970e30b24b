"""onset.simulate: predictions at finite context, and the table of methods."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onset.simulate.finite_context.dynamics import FiniteContext
from onset.simulate.finite_context.predict import REPLICATES, finite_context, seconds
from onset.simulate.predict import METHODS, longest, predict
from onset.theory import costs
from onset.theory.laws.sampling import positions
from onset.theory.markov import ideal
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
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


def test_seconds_are_estimated_for_the_finite_context_alone():
    """In proportion to the heads that a gradient is taken of, and to the square of the context."""
    third, fourth = (Setting.of("linear", states=2, order=order, context=20, steps=100) for order in (3, 4))
    assert longest(fourth, "finite-context") == pytest.approx(1.5 * longest(third, "finite-context"))
    assert longest(third, "law") == 0
    first = Setting.of("linear", states=2, context=20, steps=100)
    assert seconds(first, 40) == pytest.approx(4 * seconds(first, 20))


@pytest.mark.parametrize("what", ["finite context", "corrected mean field", "plateau"])
def test_memory_is_estimated_as_it_is_needed(what, monkeypatch):
    """Within a factor of three of what numpy takes at the most, and in proportion to the context."""
    import tracemalloc

    estimates = []
    monkeypatch.setattr(costs, "require_memory", lambda name, needed, **sizes: estimates.append((needed, sizes)))
    setting = Setting.of("softmax", states=3, context=200)
    generator = np.random.default_rng(0)
    work = {
        "finite context": lambda: FiniteContext(setting).gradient(np.zeros(204)),
        "corrected mean field": lambda: SoftmaxCorrected.of(setting, count=64, generator=generator).gradient(
            np.zeros(10)
        ),
        "plateau": lambda: [None for _ in positions(setting.task.prior, 200, 20_000, generator)],
    }[what]
    tracemalloc.start()
    try:
        work()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    needed, sizes = max(estimates, key=lambda pair: pair[0](**pair[1]))
    print(f"{what}: estimated {needed(**sizes) / 1e6:.1f} MB, taken {peak / 1e6:.1f} MB")
    assert peak / 3 < needed(**sizes) < 3 * peak
    assert needed(**sizes | {"context": 400}) == pytest.approx(2 * needed(**sizes))


@pytest.mark.parametrize(("factor", "method"), [(0.99, "finite-context"), (1.01, "law")])
def test_the_default_is_finite_context_where_that_usually_takes_seconds(monkeypatch, factor, method):
    """At either side of 50 seconds, a fifth of which it takes as a rule."""
    from onset.simulate import predict as predicting

    most = 50.0
    monkeypatch.setattr(predicting, "longest", lambda setting, method: factor * most)
    assert predict(Setting.of("linear", states=2, context=20)).method == method

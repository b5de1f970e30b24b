"""onset.theory.dynamics.adam_steps: Adam with interpolated gradients against Adam with every gradient."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pytest

from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.flow import DENSE, SingleReplicate
from onset.theory.dynamics.layout import Layout
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.setting import Setting


def test_single_strides_are_adam(quadratic, monkeypatch):
    """With adam_steps of one, every step is `descend`'s, to rounding."""
    monkeypatch.setattr("onset.theory.dynamics.adam_steps.GROW", 1.0)
    setting = Setting.of("linear", context=5, optimizer="adam", initialization=1.0, steps=40, record_every=4)
    dynamics = quadratic(setting, np.array([2.0, 3.0, 4.0, 0.5]))
    (computed,), expected = (
        adam_steps(SingleReplicate(dynamics), setting.training, sampling=DENSE),
        descend(dynamics, setting.training),
    )
    assert computed.steps.tolist() == expected.steps.tolist()
    for name, values in expected.parameters.items():
        np.testing.assert_allclose(computed.parameters[name], values, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("family", MEAN_FIELDS)
def test_transitions_are_adams_and_gradients_few(family):
    """Records at the same steps; formation and transition within the tolerance of a stride of what each step's own
    gradient gives."""
    setting = Setting.of(family, states=2, context=50, optimizer="adam", initialization={"match": 0.02})
    dynamics, calls = MEAN_FIELDS[family].of(setting, count=36), []
    evaluate = dynamics.derivatives
    dynamics.derivatives = lambda points: (calls.append(1), evaluate(points))[1]
    (computed,), expected = adam_steps(dynamics, setting.training, sampling=DENSE), descend(dynamics, setting.training)
    shared = min(len(computed.steps), len(expected.steps))
    assert computed.steps[:shared].tolist() == expected.steps[:shared].tolist()
    (*_, transition), formation = computed.transitions()
    (*_, other), formed = expected.transitions()
    print(family, len(calls), "gradients for", computed.steps[-1], "steps;", formation, formed)
    assert formation.step == pytest.approx(formed.step, rel=3e-3)
    assert transition.step == pytest.approx(other.step, rel=3e-3)
    assert len(calls) < computed.steps[-1] * (0.9 if family == "linear" else 0.25)


def test_error_falls_with_the_tolerance():
    """Softmax family: a tighter tolerance brings the path nearer to Adam's."""
    setting = Setting.of("softmax", states=2, context=50, optimizer="adam", steps=120)
    dynamics, errors = SoftmaxMeanField.of(setting, count=36), []
    expected = descend(dynamics, setting.training)
    for tolerance in (3e-2, 3e-3, 3e-4):
        (computed,) = adam_steps(dynamics, setting.training, tolerance=tolerance, sampling=DENSE)
        shared = min(len(computed.steps), len(expected.steps))
        errors.append(
            max(np.abs(computed.parameters[n][:shared] - v[:shared]).max() for n, v in expected.parameters.items())
        )
    print("errors", errors)
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_divergence_is_kept_and_said(quadratic):
    """A gradient that explodes ends the run with its step."""
    setting = Setting.of("linear", context=5, optimizer="adam", initialization=1.0, learning_rate=50.0, record_every=1)
    (computed,) = adam_steps(SingleReplicate(quadratic(setting, 7.0)), setting.training)
    assert computed.diverged is not None
    assert np.all(np.isfinite(computed.loss))
    assert f"diverged at step {computed.diverged}" in computed.transitions()[1].reason


@dataclass(frozen=True)
class InUnits(Layout):
    """Coordinates whose typical sizes are this many times larger."""

    unit: float

    @property
    def scale(self) -> np.ndarray:
        return super().scale * self.unit


def test_units_of_coordinates_do_not_change_the_strides(quadratic):
    """Values, rates and sizes 1,024 times larger, gradients as much smaller: as many gradients, and the same path."""
    runs = []
    for unit in (1.0, 1024.0):
        setting = Setting.of(
            "linear", context=5, optimizer="adam", learning_rate=0.01 * unit, initialization=unit, steps=300
        )
        dynamics, calls = quadratic(setting, np.array([2.0, 3.0, 4.0, 0.5]) / unit**2), []
        dynamics.layout = InUnits(*(getattr(dynamics.layout, field.name) for field in fields(Layout)), unit)
        evaluate = dynamics.gradient
        dynamics.gradient = lambda *at, evaluate=evaluate, calls=calls: (calls.append(1), evaluate(*at))[1]
        (run,) = adam_steps(SingleReplicate(dynamics), setting.training, sampling=DENSE)
        runs.append((len(calls), run.parameters["match.diagonal"] / unit))
    print(runs[0][0], "and", runs[1][0], "gradients of 300")
    assert runs[0][0] == runs[1][0] < 200
    np.testing.assert_allclose(runs[1][1], runs[0][1], atol=1e-4)

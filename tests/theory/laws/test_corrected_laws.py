"""The corrected plateau law against the corrected mean field that it reduces, and its limit for long contexts."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.flow import flow
from onset.theory.dynamics.layout import last_attention
from onset.theory.laws import corrected, law, law_corrected
from onset.theory.laws.corrected import corrected_loss, corrected_manifolds
from onset.theory.laws.slow_manifold import interpolated_manifold
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.corrected.neglected import COUNTS
from onset.theory.setting import Setting


def corrected_field(setting: Setting) -> LinearCorrected:
    field = corrected_loss(setting.task.prior, setting.task.context).field
    assert isinstance(field, LinearCorrected)
    return field


@pytest.mark.parametrize("changes", [{}, {"match": 0.01}])
def test_law_agrees_with_the_integrated_corrected_mean_field(changes):
    """Formation at T = 32, at default rates and with a slow match, within what the law neglects."""
    setting = Setting.of("linear", states=2, context=32, learning_rate=changes, steps=4000)
    integrated = flow(corrected_field(setting), setting.training).transitions()[1].step
    predicted = law_corrected(setting).transitions()[1]
    allowed = sum(max(term) for name, term in predicted.neglected.items() if name != COUNTS)
    print(f"{predicted.step / integrated - 1:+.3f} of {allowed / integrated:.3f}")
    assert abs(predicted.step - integrated) < allowed
    uncorrected = law(setting).transitions()[1].step
    assert abs(predicted.step - integrated) < abs(uncorrected - integrated) / 2


def test_correction_falls_with_the_context(slope):
    """Relative change of the force at E = 1: of order ln T/T."""
    contexts, moved = (32, 64, 128), []
    for context in contexts:
        _, last = corrected_manifolds(Dirichlet(2), context)
        moved.append(last.force[0] / interpolated_manifold(Dirichlet(2), context).force[0] - 1)
    exponent = slope(contexts, np.array(moved) / np.log(contexts))
    print(np.round(moved, 3), exponent)
    # The constant beside the logarithm shifts the slope by about 1/ln T.
    assert abs(exponent + 1) < 1 / np.log(contexts[0])


def test_short_contexts_stay_within_the_interval():
    """At T = 25, where the iteration with the mean field's own Hessian fails.

    Both transitions of the integrated corrected mean field are in the interval, up to the solver's 1e-3.
    """
    setting = Setting.of("linear", states=2, context=25)
    (_, to_bigram), formation = flow(corrected_field(setting), setting.training).transitions()
    (_, predicted_bigram), predicted_formation = law_corrected(setting).transitions()
    for exact, predicted in ((to_bigram.step, predicted_bigram), (formation.step, predicted_formation)):
        print(f"{predicted.low:.1f} < {exact:.1f} < {predicted.high:.1f}")
        assert predicted.low * 0.999 < exact < predicted.high * 1.001


def test_iteration_converges(monkeypatch):
    """As Newton's iteration does: what each round changes of the force falls by ever larger factors."""
    manifolds = []
    for rounds in (2, 3, 4):
        monkeypatch.setattr(corrected, "ROUNDS", rounds)
        manifolds += corrected.corrected_manifolds.__wrapped__(Dirichlet(2), 32)
    first, second, _, third, _, fourth = (manifold.force for manifold in manifolds)
    changes = [np.abs(b / a - 1).max() for a, b in ((first, second), (second, third), (third, fourth))]
    print(np.array(changes))
    assert changes[1] < changes[0] / 2
    assert changes[2] / changes[1] < changes[1] / changes[0]


def test_an_iteration_that_does_not_settle_is_refused(monkeypatch):
    """Where the last round doubles the time."""
    formations = iter([5.0, 2.5])
    monkeypatch.setattr(corrected, "formation", lambda run, manifold: next(formations))
    monkeypatch.setattr(corrected, "planar_law", lambda *_, **__: (None, None, 0.0))
    with pytest.raises(ValueError, match=r"does not settle: .* is 1 of the answer"):
        law_corrected(Setting.of("linear", states=2, context=32))


def test_refusals():
    with pytest.raises(ValueError, match="optimizer"):
        law_corrected(Setting.of("linear", optimizer="adam"))
    with pytest.raises(ValueError, match="family"):
        law_corrected(Setting.of("transformer"))


def test_the_last_round_moves_both_ends_of_the_interval_alike():
    """What the last round of the iteration changes makes the prediction earlier and later by the same share."""
    setting = Setting.of("linear", states=3, context=100)
    prediction = law_corrected(setting)
    before, after = prediction.neglected["rounds of Newton's iteration"]
    (predicted,) = prediction.trajectories
    np.testing.assert_allclose((before.steps + after.steps) / 2, predicted.steps, rtol=1e-12)
    assert (after.steps[1:] > predicted.steps[1:]).all()


def test_the_interval_after_formation_is_the_neglected_order():
    """2 ln³T/T² of the steps between formation and transition."""
    setting = Setting.of("softmax", states=3, context=64)
    prediction = law_corrected(setting)
    curves = [prediction.trajectories[0], *prediction.neglected["counts after formation"]]
    readings = [curve.transitions() for curve in curves]
    formed = readings[0][1].step
    reached, early, late = (transitions[-1].step for transitions, _ in readings)
    share = 2 * np.log(64) ** 3 / 64**2
    print(formed, reached, early, late)
    assert (late - reached) / (reached - formed) == pytest.approx(share, rel=0.01)
    assert (reached - early) / (reached - formed) == pytest.approx(share, rel=0.01)


def test_the_manifold_is_corrected_up_to_six_tenths_of_attention():
    """And up to one point of the table before that, at most."""
    _, last = corrected_manifolds(Dirichlet(2), 32)
    table = interpolated_manifold(Dirichlet(2), 32)
    attention = last_attention(table.lag_logits, 32)[:, 1]
    assert attention[len(last.log_e) - 1] < 0.6 <= attention[len(last.log_e)]

"""onset.theory.laws.planar: the match-limited regime against the integrated mean field, and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.flow import flow
from onset.theory.laws import law
from onset.theory.laws.linear import NEGLECTED, mobility
from onset.theory.laws.planar import INTERPOLATION_ERROR, follow, formation, planar_law
from onset.theory.laws.slow_manifold import SlowManifold, interpolated_manifold
from onset.theory.laws.terms import terms
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.corrected.neglected import COUNTS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.quadrature import rules
from onset.theory.setting import Setting


def mobility_of(setting: Setting) -> np.ndarray:
    return mobility(setting.task.states, setting.task.context, setting.training.optimizer.learning_rate["match"])


def neglected(transition) -> float:
    """Steps that the law neglects of the mean field's."""
    return sum(max(term) for name, term in transition.neglected.items() if name != COUNTS)


def formation_step(setting: Setting) -> float:
    table = interpolated_manifold(setting.task.prior, setting.task.context)
    return formation(follow(table, setting, mobility_of(setting)), table)


@pytest.mark.parametrize(("states", "rate"), [(4, 1e-2), (8, 1e-2), (3, 2.5e-3), (3, 6e-4)])
def test_match_limited_settings_agree_with_the_mean_field(states, rate):
    """Delays of 2 to 300 slow times; both transitions within what the law neglects but for fluctuating counts."""
    setting = Setting.of("linear", states=states, context=100, learning_rate={"match": rate}, steps=20000)
    field = LinearMeanField.of(setting, rule=rules(LinearMeanField, setting.task.prior, 6).mean)
    (_, to_bigram), expected = flow(field, setting.training, rtol=1e-4).transitions()
    prediction = law(setting)
    (_, predicted_bigram), formed = prediction.transitions()
    print(f"{formed.step / expected.step - 1:+.3f}", predicted_bigram.step, to_bigram.step)
    assert "match and lag 1 followed together" in prediction.validity[0]
    assert abs(formed.step - expected.step) < neglected(formed)
    if predicted_bigram.step is None:  # k = 8: the match grows long after lag 1 has all attention, where the table ends
        assert to_bigram.step > prediction.trajectories[0].steps[-1]
    else:
        error = abs(predicted_bigram.step - to_bigram.step)
        assert error < neglected(predicted_bigram)


def test_with_a_fast_match_it_is_the_law_of_the_slow_manifold():
    """Where the delay is a few percent of the slow time, both agree to what the closed form neglects."""
    setting = Setting.of("linear", states=2, context=400, initialization={"match": 1 / 400})
    formed = law(setting).transitions()[1]
    assert abs(formation_step(setting) - formed.step) < neglected(formed) < NEGLECTED * formed.step


def test_time_scales_with_the_rates():
    """Both rates four times: a quarter of the time, to the solver's tolerance."""
    one = Setting.of("linear", states=4, context=100)
    rates = {group: 4 * rate for group, rate in one.training.optimizer.learning_rate.items()}
    assert formation_step(Setting.of("linear", states=4, context=100, learning_rate=rates)) == pytest.approx(
        formation_step(one) / 4, rel=1e-4
    )


def test_match_limited_time_goes_as_the_root_of_both_rates(slope):
    """Where Ω grows from nothing while lag 1 follows, dΩ ∝ η_W, dv_1 ∝ η_v Ω: t goes as (η_W η_v)^-1/2 as η_W → 0, less
    a correction of order t/relaxation."""
    rates = np.array([1e-6, 4e-6])
    times = [
        formation_step(Setting.of("linear", prior=Dirichlet(3), context=100, learning_rate={"match": r})) for r in rates
    ]
    print(times)
    setting = Setting.of("linear", states=3, context=100, learning_rate={"match": float(rates[-1])})
    relaxes = np.linalg.eigvals(
        mobility_of(setting) @ interpolated_manifold(setting.task.prior, 100).hessian[0]
    ).real.max()
    assert abs(slope(rates, times) + 0.5) < relaxes * times[-1]


def test_a_start_too_far_from_the_plateau_is_refused():
    with pytest.raises(ValueError, match="too far from the plateau"):
        law(Setting.of("linear", states=3, context=100, initialization={"match": 1.0}))


def test_a_head_may_have_formed_at_the_start():
    """Each of ten lags starts with a tenth of the attention, the level at which a head counts as formed."""
    _, formed = law(Setting.of("linear", context=10)).transitions()
    assert formed.step == pytest.approx(0)


def test_the_interval_is_what_the_third_order_and_the_table_change():
    """Symmetric about the prediction: the third order's share of the time and the interpolation's error."""
    setting = Setting.of("linear", states=3, context=100, learning_rate={"match": 6e-4}, steps=20000)
    table = interpolated_manifold(setting.task.prior, setting.task.context)
    measure = LinearMeanField.of(setting, rule=rules(LinearMeanField, setting.task.prior, 6).mean).measure
    predicted, (earliest, latest), share = planar_law(setting, table, mobility_of(setting), measure, points=4)
    assert predicted.steps[-1] == follow(table, setting, mobility_of(setting))[-1, 0]
    assert abs(share) > INTERPOLATION_ERROR
    doubt = abs(share) + np.log(2) ** 4 / 24
    np.testing.assert_allclose(earliest.steps, predicted.steps * (1 - doubt), rtol=1e-12)
    np.testing.assert_allclose(latest.steps, predicted.steps * (1 + doubt), rtol=1e-12)
    quadratic = formation(follow(table, setting, mobility_of(setting), cubic=False), table)
    assert share == pytest.approx(1 - quadratic / formation_step(setting))


def changed_manifold(prior: Dirichlet, context: int, *, third: float = 0.0, **columns: float) -> SlowManifold:
    """The manifold with its columns times the given factors, and another third derivative by the match."""
    table = interpolated_manifold(prior, context)
    values = table.columns.copy()
    for name, factor in columns.items():
        values[1:, {"force": 0}[name]] *= factor
    cubic = np.zeros((2, 2, 2))
    cubic[0, 0, 0] = third
    return SlowManifold(context, table.log_e, values, cubic)


def test_a_run_without_an_end_takes_ten_times_the_first_growth():
    """Lag 1 is driven at v_1 = 0 alone: it never reaches the end of the manifold."""
    setting = Setting.of("linear", states=3, context=100)
    table = changed_manifold(setting.task.prior, 100, force=0.0)
    rate = setting.training.optimizer.learning_rate["lag_logits"]
    slowest = 1 / np.linalg.eigvals(mobility_of(setting) @ table.hessian[0]).real.min()
    assert follow(table, setting, mobility_of(setting))[-1, 0] == pytest.approx(
        10 * (slowest + 100 / (table.force[0] * rate))
    )


def test_a_match_that_escapes_is_followed_to_three_times_start_and_plateau():
    """A cubic loss without a minimum drives C away."""
    setting = Setting.of("linear", states=3, context=100, initialization={"match": 0.05})
    table = changed_manifold(setting.task.prior, 100, third=-1.0)
    run = follow(table, setting, mobility_of(setting))
    assert np.abs(run[-1, 1:3]).max() == pytest.approx(3 * (5 + np.abs(table.target).max()), rel=1e-3)


@pytest.mark.parametrize(("rate", "share", "closed"), [(0.0118, 0.084, True), (0.0085, 0.126, False)])
def test_match_and_lag_are_followed_where_the_closed_form_neglects_a_tenth(rate, share, closed):
    prediction = law(Setting.of("linear", states=3, context=100, learning_rate={"match": rate}))
    formation = terms(prediction.setting)["formation"]
    assert formation.neglected / formation.step == pytest.approx(share, rel=0.05)
    assert any(text.startswith("closed form") for text in prediction.validity) == closed

"""The plateau law of the linear family and its slow manifold against the mean field that they reduce."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from onset.theory.dynamics.flow import flow
from onset.theory.dynamics.layout import Layout
from onset.theory.laws import law, linear
from onset.theory.laws.linear import mobility, path, start_delay, start_slope, starts_far
from onset.theory.laws.slow_manifold import (
    SHORTEST_TABLE,
    interpolated_manifold,
    manifold,
    table_contexts,
)
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.mean_fields.corrected.neglected import COUNTS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags
from onset.theory.mean_fields.quadrature import rules
from onset.theory.setting import Setting
from onset.theory.tasks import LARGEST_CONTEXT
from onset.theory.transitions import FORMATION_LEVEL


def formation(prediction) -> float:
    return prediction.transitions()[1].step


def integrated(setting: Setting) -> float:
    """Formation by the integrated mean field, on the chains that the manifold's tables stand for."""
    dynamics = LinearMeanField.of(setting, rule=rules(LinearMeanField, setting.task.prior, 6).mean)
    return flow(dynamics, setting.training, rtol=1e-4).transitions()[1].step


@pytest.mark.parametrize("prior", [Dirichlet(2), Dirichlet(2, 3.0), Dirichlet(3), Dirichlet(3, 0.3)])
def test_law_agrees_with_the_mean_field_and_better_for_longer_contexts(prior):
    """Within 5% from T = 200 on, and within what the law neglects but for fluctuating counts, which narrows with T, and
    the solver's 1e-4 for 100 steps."""
    errors, widths = {}, []
    for context in (50, 200, 400, 1600):
        setting = Setting.of("linear", prior=prior, context=context, initialization={"match": 1 / context})
        predicted, expected = law(setting).transitions()[1], integrated(setting)
        errors[context] = predicted.step / expected - 1
        widths.append(sum(max(term) for name, term in predicted.neglected.items() if name != COUNTS) / predicted.step)
        assert abs(errors[context]) < widths[-1] + 0.01
    print({t: round(e, 4) for t, e in errors.items()})
    assert max(abs(errors[t]) for t in (200, 400, 1600)) < 0.05
    assert widths[-1] == min(widths)


@pytest.mark.parametrize(
    ("prior", "context", "rate"),
    [
        (Dirichlet(2), 9747, 2.1e-6),
        (Dirichlet(2, 0.2), 7150, 1.3e-6),
        (Dirichlet(3, 0.3), 4721, 4.5e-6),
        (Dirichlet(4, 0.5), 14037, 1.1e-6),
    ],
)
def test_starts_far_from_the_plateau(prior, context, rate):
    """From W₀ = .01, that is C = 47 to 140 where the plateau lies near 1: the law is where the mean field is; an
    expansion around the plateau is early by more than what it neglects."""
    setting = Setting.of("linear", prior=prior, context=context, learning_rate={"match": rate})
    assert starts_far(prior, context, 0.01)
    predicted, expected = law(setting).transitions()[1], integrated(setting)
    neglected = sum(max(term) for name, term in predicted.neglected.items() if name != COUNTS)
    print(f"{setting.label}: law {predicted.step:.0f}, mean field {expected:.0f}, neglected {neglected:.0f}")
    assert abs(predicted.step - expected) < neglected + 0.003 * expected
    first, second = (float(part) / rate for part in _expanded(prior, context, 0.01))
    along = path(setting)
    by_expansion = predicted.step - along.start[0] + first + second
    assert expected - by_expansion > 3 * abs(predicted.step - expected)


def _expanded(prior, context, start):
    """First and second order of the start's delay at a unit rate, as from a near start."""
    plateau, gradient, curvature = linear._start_polynomial(prior, context)
    distance = np.array([context * start, 0.0]) - plateau
    return gradient @ distance, distance @ curvature @ distance


def test_delay_of_the_start_is_continuous_and_so_is_its_slope():
    """Where the expansion ends and the integral begins they differ by the third order in the distance."""
    prior, context = Dirichlet(3), 1024
    edge = next(c for c in np.arange(1.5, 20, 0.01) if starts_far(prior, context, c / context)) / context
    starts = edge * np.linspace(0.9, 1.1, 9)
    far = starts[-1]
    delays = np.array([sum(start_delay(prior, context, 1.0, start)) for start in starts])
    steps = np.diff(delays)
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.min()
    slope = start_slope(prior, context, 1.0, far)
    assert slope == pytest.approx(steps[-1] / (starts[1] - starts[0]), rel=0.05)


def test_a_force_that_vanishes_beyond_formation_does_not_disturb_what_comes_before():
    """Dirichlet(3) rows, k = 3: lag 1 ends below full attention, at a pole of ∂ ln h/∂θ; formation is within 5%."""
    setting = Setting.of("linear", prior=Dirichlet(3, 3.0), context=1600, initialization={"match": 1 / 1600})
    assert (manifold(setting.task.prior, 2048).force < 0).any()
    assert formation(law(setting)) == pytest.approx(integrated(setting), rel=0.05)


def test_neglected_order_falls_as_predicted(slope):
    """delay/slow, whose square is neglected, falls like ln T/T: the delay tends to a constant, the slow time grows like
    T/ln T."""
    contexts = 2 ** np.arange(12, 19, 2)
    ratios = []
    for context in contexts:
        along = path(Setting.of("linear", states=3, context=int(context), initialization={"match": 1 / context}))
        at = np.searchsorted(along.manifold.log_e, np.log(context / 9))
        ratios.append((along.delay[:at].sum() + sum(along.start)) / along.slow[:at].sum())
    exponent = slope(contexts, np.array(ratios) / np.log(contexts))
    # The next term of the logarithm changes the slope by about 1/ln T.
    assert abs(exponent + 1) < 1 / np.log(contexts[0])


def test_rates_enter_only_through_the_lag_logits_rate_and_the_mobility():
    """Twice all rates: half of every step.

    A match ten times as fast: the delay falls ten times, the slow time stays.
    """
    setting = Setting.of("linear", states=3, context=200)
    rates = dict(setting.training.optimizer.learning_rate)
    twice = Setting.of("linear", states=3, context=200, learning_rate={g: 2 * r for g, r in rates.items()})
    assert formation(law(twice)) == pytest.approx(formation(law(setting)) / 2, rel=1e-9)
    faster = Setting.of("linear", states=3, context=200, learning_rate=rates | {"match": 10 * rates["match"]})
    one, ten = path(setting), path(faster)
    np.testing.assert_allclose(ten.delay * 10, one.delay, rtol=1e-9)
    np.testing.assert_allclose(ten.slow, one.slow, rtol=1e-12)


def test_mobility_moves_the_entries_of_W():
    """d(C, Ω)/dstep from the orbits' own update: -rate × (derivative / entries) × T, C off the diagonal and C + Ω on
    it."""
    setting = Setting.of("linear", states=4, context=50)
    layout = Layout.of(setting.task, setting.model.initialization, 2)
    by_diagonal, by_off = 0.7, -0.4
    by_c, by_omega = (by_diagonal + by_off) / 50, by_diagonal / 50
    rate = layout.rates(setting.training)[:2] / layout.entries[:2]
    diagonal, off = -50 * rate * [by_diagonal, by_off]
    np.testing.assert_allclose(
        -mobility(4, 50, setting.training.optimizer.learning_rate["match"]) @ [by_c, by_omega],
        [off, diagonal - off],
        rtol=1e-12,
    )


def test_tables_between_powers_of_two_are_interpolated_closely():
    """Columns at T = 100 against the manifold made there: cubic in ln T over octaves, within (ln 2)⁴/4! = 1% of each
    column's range."""
    prior = Dirichlet(2)
    columns, direct = interpolated_manifold(prior, 100).columns, manifold(prior, 100).columns
    worst = (np.abs(columns - direct) / np.ptp(direct, axis=0)).max()
    print(f"largest error {worst:.2g} of the range")
    assert worst < np.log(2) ** 4 / 24


@given(st.integers(2, LARGEST_CONTEXT))
@example(2)
@example(LARGEST_CONTEXT)
def test_four_tables_stand_around_every_context_that_a_task_may_have(context):
    """Tables are made at contexts that tasks allow, two on either side of T wherever there are two more."""
    contexts = table_contexts(context)
    assert len(set(contexts)) == 4
    assert contexts == sorted(contexts)
    assert max(contexts) <= LARGEST_CONTEXT
    assert context <= contexts[3]
    assert context >= contexts[0] or contexts[0] == SHORTEST_TABLE
    assert contexts[1] <= context <= contexts[2] or contexts[0] == SHORTEST_TABLE or contexts[3] == LARGEST_CONTEXT


@pytest.mark.parametrize("context", [LARGEST_CONTEXT // 2, LARGEST_CONTEXT - 1, LARGEST_CONTEXT])
def test_the_law_answers_up_to_the_largest_context(context):
    """Formation is the mean field's to 1e-3: its positions are right to some 2e-4 there, its flow to 1e-4."""
    setting = Setting.of("linear", context=context, initialization={"match": 1 / context})
    assert formation(law(setting)) == pytest.approx(integrated(setting), rel=1e-3)


def test_contexts_beyond_the_largest_are_refused_by_name():
    """One more token than the limit is refused where the task is made."""
    with pytest.raises(ValueError, match=f"context = {LARGEST_CONTEXT + 1}: expected .* at most {LARGEST_CONTEXT}"):
        Setting.of("linear", context=LARGEST_CONTEXT + 1)


def test_manifold_stands_still_and_its_slopes_are_those_of_the_force():
    """At a point of the manifold the gradient by (C, Ω) vanishes; pull is the finite difference of h."""
    prior, context = Dirichlet(2), 64
    table, loss = manifold(prior, context), MatchAndLags(prior, context)
    for n in (0, 10):
        lag_logits = table.lag_logits[n]
        gradient = loss.gradient(table.target[n], lag_logits)
        assert np.abs(gradient[:2]).max() < 1e-8 * np.abs(table.hessian[n]).max() * np.abs(table.target[n]).max()
        for axis in range(2):
            h = 1e-3 * np.eye(2)[axis]
            up, down = (-loss.gradient(table.target[n] + s * h, lag_logits)[3] for s in (1, -1))
            scale = context * np.exp(-table.log_e[n])
            assert table.pull[n, axis] == pytest.approx(scale * (up - down) / 2e-3, rel=1e-5)


def test_other_lags_follow_the_ratio_of_their_drives():
    """dv_r/dv_1 along the table is the ratio of the gradients there, to the second order of the grid's spacing."""
    prior, context = Dirichlet(3), 256
    table, loss = manifold(prior, context), MatchAndLags(prior, context)
    slopes = CubicSpline(table.log_e, table.lag_logits).derivative()(table.log_e)
    for n in range(1, 12):
        gradient = loss.gradient(table.target[n], table.lag_logits[n])[2:]
        np.testing.assert_allclose(slopes[n], gradient / gradient[1], atol=np.diff(table.log_e)[n] ** 2)


def test_intervals_contain_the_prediction_and_the_start_is_the_plateau():
    """Ends are read off earlier and later curves; uniform → unigram is answered by a reason."""
    transitions, formed = law(Setting.of("linear", states=3, context=200)).transitions()
    assert formed.low < formed.step < formed.high
    assert transitions[1].low < transitions[1].step < transitions[1].high
    assert transitions[0].step is None
    assert "already at the first recorded step" in transitions[0].reason


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (Setting.of("transformer", states=3, context=100), "family of the plateau law"),
        (Setting.of("linear", prior=DoublyStochastic(3), context=100), "one best match"),
    ],
)
def test_outside_its_range_the_law_says_why(setting, message):
    with pytest.raises(ValueError, match=message):
        law(setting)


def test_no_delay_of_the_start_is_added_before_the_first_step():
    """Later points are shifted by the start's delay, and never before zero."""
    for start, expected in (((5.0, 1.0), [0.0, 16.0, 26.0]), ((-14.0, 0.0), [0.0, 0.0, 6.0])):
        along = linear.Path(None, np.array([10.0, 10.0]), np.zeros(2), start)  # type: ignore[arg-type]
        np.testing.assert_allclose(along.steps_and_neglected()[0], expected)


def test_what_is_neglected_is_counted_to_the_end_where_heads_are_formed_at_the_start():
    """T = 6: uniform attention gives lag 1 more than the level of formation."""
    setting = Setting.of("linear", states=3, context=6, learning_rate={"lag_logits": 1e-4})
    steps, neglected = linear.path(setting).steps_and_neglected()
    assert linear.predict(setting).trajectories[0].attention[0, 0, 1] > FORMATION_LEVEL
    (said,) = (text for text in linear.predict(setting).validity if "closed form" in text)
    assert f"{neglected[-1] / steps[-1]:.2g} of the time" in said

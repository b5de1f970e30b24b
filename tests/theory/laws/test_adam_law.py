"""onset.theory.laws.adam: variances against the finite context, its bounds, its dispatch, and predictions against exact
dynamics."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.descent import descend
from onset.theory.laws import LAWS, adam, law
from onset.theory.laws.adam import NoisyMeanField, lag_noise, matrix_noise, plateau_point
from onset.theory.laws.plateau import plateau
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting


def _formed(trajectory):
    return trajectory.transitions()[1].step


def _variances(setting, point):
    """Of one sequence's gradient at finite context, in 16 groups of 1024."""
    reduced, sequences = (
        pytest.importorskip("onset.simulate.finite_context.dynamics"),
        pytest.importorskip("onset.simulate.tasks.markov_chains"),
    )
    drawn = (sequences.sample(setting.task, 1024, generator) for generator in np.random.default_rng(1).spawn(16))
    return [reduced.loss_and_gradient(setting, point, one, sampled=True, variance=True).variance for one in drawn]


def test_variances_are_those_of_the_finite_context(within):
    """The linear family on its plateau: sampled here and by `onset.simulate.finite_context.dynamics`, in 16 groups each
    for a standard error."""
    reduced = pytest.importorskip("onset.simulate.finite_context.dynamics")
    setting = Setting.of("linear", states=2, context=16, optimizer="adam")
    scale, match = plateau(setting.task.prior).match / setting.task.context
    dynamics = reduced.FiniteContext(setting, count=1024, held_out=1)
    point = dynamics.layout.start.copy()
    point[:2] = scale + match, scale
    exact = [one[dynamics.layout.lags] / match**2 for one in _variances(setting, point)]
    sampled_here = [lag_noise(setting, generator) for generator in np.random.default_rng(2).spawn(16)]
    spread = np.hypot(np.std(exact, axis=0, ddof=1), np.std(sampled_here, axis=0, ddof=1)) / 4
    sampled = [0, 1, 2, 3, 4, 6, 8, 11]  # between them variances are interpolated
    within("variance", np.mean(sampled_here, axis=0)[sampled], np.mean(exact, axis=0)[sampled], spread[sampled])


def test_what_the_first_lags_gain_the_others_give():
    """The drives of all lags sum to zero, as a common shift changes nothing; those of the first are those of the
    corrected mean field."""
    setting = Setting.of("linear", states=2, context=24, optimizer="adam")
    field = NoisyMeanField(setting)
    point = field.layout.start + np.r_[0.4, -0.1, np.linspace(1, -0.5, 24)]
    derivative, lags = field.gradient(point).derivative, field.layout.lags
    base = field.base.gradient(field.near(point)).derivative
    np.testing.assert_array_equal(derivative[: len(base)], base)
    assert abs(derivative[lags].sum()) < 24 * np.finfo(float).eps * np.abs(derivative).max()
    given = derivative[len(base) :]
    assert (np.sign(given) == np.sign(given[0])).all()
    assert _formed(descend(field, setting.training)) > _formed(
        descend(NoisyMeanField(setting, excess=0.0), setting.training)
    )


def test_noise_grows_with_the_batch_shrinking():
    """Smaller batches leave untracked lags where they are for longer, and so form the head later."""
    settings = (Setting.of("linear", states=2, context=16, optimizer="adam", batch=b) for b in (16, 64, 256))
    formed = [_formed(descend(NoisyMeanField(setting), setting.training)) for setting in settings]
    assert formed[0] > formed[1] > formed[2]


@pytest.mark.parametrize(("family", "states", "context"), [("softmax", 2, 32), ("linear", 2, 32), ("linear", 4, 32)])
def test_against_the_finite_context(family, states, context):
    """Formation within the interval of the law, which is wider than the scatter of one replicate of finite context."""
    reduced = pytest.importorskip("onset.simulate.finite_context.dynamics")
    setting = Setting.of(family, states=states, context=context, optimizer="adam", record_every=2)
    formed = law(setting).transitions()[1]
    exact = _formed(descend(reduced.FiniteContext(setting, count=128, held_out=16), setting.training))
    print(f"{family}: law {formed.step:.0f} [{formed.low:.0f}, {formed.high:.0f}], finite context {exact:.0f}")
    assert formed.low < exact < formed.high
    assert abs(formed.step / exact - 1) < 0.15


@pytest.mark.parametrize("place", [0, 1, 2])
def test_matrix_noise_is_that_of_the_finite_context(place, within):
    """The softmax family at ω = v = 0 and the start's, half of the plateau's and the plateau's μ: U's entries, and W's
    per μ², in 16 groups each."""
    reduced = pytest.importorskip("onset.simulate.finite_context.dynamics")
    setting = Setting.of("softmax", states=2, context=16, optimizer="adam")
    dynamics = reduced.FiniteContext(setting, count=1024, held_out=1)
    level = adam.READOUTS[place] * plateau_point(setting, np.random.default_rng(1))[0]
    point = dynamics.layout.start.copy()
    point[2:4] = level / 2, -level / 2
    scale = [level**2, level**2, 1, 1]
    sampled_here = [matrix_noise(setting, generator)[1][place] for generator in np.random.default_rng(2).spawn(16)]
    exact = [one[:4] for one in _variances(setting, point)]
    counted = slice(0 if place else 2, 4)  # without a read-out W has no gradient
    spread = np.hypot(np.std(exact, axis=0, ddof=1), np.std(np.multiply(sampled_here, scale), axis=0, ddof=1)) / 4
    placed = np.abs(np.mean(exact, axis=0)) * 2 / np.sqrt(1024)  # each group places μ anew, on a pilot of 1024
    expected = np.mean(exact, axis=0)[counted]
    within("variance", (np.mean(sampled_here, axis=0) * scale)[counted], expected, np.hypot(spread, placed)[counted])


def test_matrix_noise_falls_on_the_way_to_the_plateau():
    """U's entries see more noise at μ = 0, where the law is uniform; between sampled read-outs it is interpolated."""
    setting = Setting.of("softmax", states=3, context=32, optimizer="adam")
    field = NoisyMeanField(setting)
    best = plateau_point(setting, np.random.default_rng(1))[0]
    start = field.layout.start

    def variance(share):
        point = start.copy()
        point[2:4] = share * best / 2, -share * best / 2
        return field.gradient(point).variance[2]

    values = [variance(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.5 * values[-1]
    assert values[1] == pytest.approx((values[0] + values[2]) / 2, rel=0.1)  # the plateau is placed anew


def test_the_wait_grows_with_the_logarithm_of_the_context():
    """dt/d ln T lies between 1/(2η) and 1/η, whatever the noise of untouched lags."""
    rate = Setting.of("linear", optimizer="adam").training.optimizer.learning_rate["lag_logits"]
    formed = [
        _formed(descend(NoisyMeanField(s), s.training))
        for s in (Setting.of("linear", states=2, context=t, optimizer="adam") for t in (24, 96))
    ]
    grows = rate * (formed[1] - formed[0]) / np.log(4)
    print(f"η dt/d ln T = {grows:.2f}")
    assert 0.5 < grows < 1


def test_transition_of_the_mixture_at_finite_context():
    """Doubly stochastic and unigram chains: the limit's strategies are 250% late there; within 15%."""
    reduced = pytest.importorskip("onset.simulate.finite_context.dynamics")
    mixture = Mixture((DoublyStochastic(4), Unigram(4)), (0.75, 0.25))
    setting = Setting.of("linear", prior=mixture, context=64, optimizer="adam")
    exact = descend(reduced.FiniteContext(setting, count=128, held_out=2048), setting.training).transitions()[0][1].step
    predicted = descend(NoisyMeanField(setting), setting.training).transitions()[0][1].step
    print(f"law {predicted:.0f}, finite context {exact:.0f}")
    assert abs(predicted / exact - 1) < 0.15


def test_further_lags_share_the_weight_that_gives_the_first_as_much_attention():
    """The loss at finite context with the further lags as they are and with their common weight, on the same sequences,
    beside what their fall changes at all."""
    reduced = pytest.importorskip("onset.simulate.finite_context.dynamics")
    setting = Setting.of("linear", states=3, context=64, optimizer="adam")
    law_of, dynamics = NoisyMeanField(setting), reduced.FiniteContext(setting, count=2, held_out=512)
    point, lags = law_of.layout.start.copy(), law_of.layout.lags
    point[:2] = 0.12, -0.02
    point[lags] = np.r_[-1.1, 1.3, -1.1, 0.1, -1.1, -1.0, -0.9 * np.exp(-np.arange(58) / 40)]
    alike, untouched = point.copy(), point.copy()
    alike[lags.start + law_of.tracked :] = point[lags.start] - law_of.near(point)[lags.start]
    untouched[lags.start + law_of.tracked :] = 0.0
    own, shared, without = (dynamics.measure(one).loss for one in (point, alike, untouched))
    print(f"loss {own:.4f}, with one weight {shared - own:+.5f}, with the start's {without - own:+.5f}")
    # To first order they are alike; what is left is of second order in how unlike the lags' weights are.
    unlike = np.std(np.exp(point[lags][law_of.tracked :])) / np.mean(np.exp(point[lags][law_of.tracked :]))
    assert abs(shared - own) < unlike**2 * abs(without - own)


@pytest.mark.parametrize("context", [3, 6])
def test_contexts_shorter_than_the_tracked_lags(context):
    """All lags but the last are told apart then."""
    field = NoisyMeanField(Setting.of("linear", states=2, context=context, optimizer="adam"))
    assert field.tracked == context - 1
    assert np.isfinite(field.gradient(field.layout.start).variance).all()


def test_dispatch_and_refusals():
    setting = Setting.of("linear", states=2, context=24, optimizer="adam", steps=20)
    assert {pair for pair, entry in LAWS.items() if entry is adam.LAW} == {("linear", "adam"), ("softmax", "adam")}
    assert law(setting).to_dict() == adam.predict(setting).to_dict()
    with pytest.raises(ValueError, match="context = 2000"):
        law(Setting.of("softmax", context=2000, optimizer="adam"))
    with pytest.raises(ValueError, match="context = 2:"):
        law(Setting.of("softmax", context=2, optimizer="adam"))


def test_the_order_of_what_is_neglected_is_said():
    for context in (10, 40):
        validity = law(Setting.of("linear", states=2, context=context, optimizer="adam", steps=20)).validity
        assert f"ln²T/T = {np.log(context) ** 2 / context:.2g};" in validity[0]


def test_variances_of_the_softmax_family_go_with_its_matrices():
    """Of the match's entries as the square of the read-out, of the read-out's not at all, of lags as that of their
    product; between the read-outs at which they are sampled, of which the last is the plateau's, they are interpolated.
    """
    setting = Setting.of("softmax", states=2, context=8, optimizer="adam")
    best, _ = plateau_point(setting, np.random.default_rng(3))
    readouts, _ = matrix_noise(setting, np.random.default_rng(3), count=8)
    assert readouts == pytest.approx([0, best / 2, best])
    field = NoisyMeanField(setting)
    field._readouts, field._matrix_noise = np.array([0.0, 4.0]), np.array([[1.0, 2, 3, 4], [3.0, 4, 5, 6]])
    point = np.array([1.5, 0.5, 2.5, 0.5, *np.linspace(0.2, -0.3, 8)])
    variance = field.gradient(point).variance
    assert variance[:4] == pytest.approx([2 * 4, 3 * 4, 4, 5])
    doubled = field.gradient(np.array([2.5, 0.5, 4.5, 0.5, *point[4:]])).variance
    assert doubled[:4] == pytest.approx([3 * 16, 4 * 16, 5, 6])
    assert doubled[4:] == pytest.approx(16 * variance[4:])


@pytest.mark.parametrize(("context", "refused"), [(2, True), (3, False), (1024, False), (1025, True)])
def test_contexts_that_the_law_follows(monkeypatch, context, refused):
    """Three tokens to 1,024; what it would compute there is left out."""

    class Reached(Exception):
        pass

    def reached(*arguments, **options):
        raise Reached

    monkeypatch.setattr(adam, "NoisyMeanField", reached)
    setting = Setting.of("softmax", states=3, context=context, optimizer="adam")
    with pytest.raises(ValueError if refused else Reached, match="expected 3 … 1024" if refused else None):
        adam.predict(setting)

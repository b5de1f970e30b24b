"""theory.laws.adam: variances against the finite context, its bounds, its dispatch, and predictions against exact dynamics."""

from __future__ import annotations

import numpy as np
import pytest

from theory.dynamics import descend
from theory.laws.adam import NoisyMeanField, _plateau, adam_law, lag_noise, matrix_noise
from theory.laws.plateau import plateau
from theory.laws.plateau_law import law
from theory.priors import DoublyStochastic, Mixture, Unigram
from theory.setting import Setting


def _formed(trajectory):
    return trajectory.transitions()[1].step


def test_variances_are_those_of_the_finite_context(within):
    """The linear family on its plateau: sampled here and by `simulate.reduced`, in 16 groups each for a standard error."""
    reduced = pytest.importorskip("simulate.reduced")
    setting = Setting.of("linear", states=2, context=16, optimizer="adam")
    scale, match = plateau(setting.prior, 1024).match / setting.context
    dynamics = reduced.FiniteContext(setting, count=1024, held_out=1)
    point = dynamics.layout.start.copy()
    point[:2] = scale + match, scale
    exact = [dynamics.gradient(point).variance[dynamics.layout.lags] / match**2 for _ in range(16)]
    found = [lag_noise(setting, generator) for generator in np.random.default_rng(2).spawn(16)]
    spread = np.hypot(np.std(exact, axis=0, ddof=1), np.std(found, axis=0, ddof=1)) / 4
    sampled = [0, 1, 2, 3, 4, 6, 8, 11]  # between them variances are interpolated
    within("variance", np.mean(found, axis=0)[sampled], np.mean(exact, axis=0)[sampled], spread[sampled])


def test_without_noise_it_is_the_mean_field_with_every_lag():
    setting = Setting.of("linear", states=2, context=24, optimizer="adam")
    noiseless = NoisyMeanField(setting, excess=0.0)
    a, b = descend(noiseless, setting), descend(noiseless.base, setting)
    both = min(len(a.steps), len(b.steps))  # runs end by their curves, which differ
    np.testing.assert_array_equal(a.attention[:both], b.attention[:both])
    assert _formed(descend(NoisyMeanField(setting), setting)) > _formed(a)


def test_noise_grows_with_the_batch_shrinking():
    """Smaller batches leave untracked lags where they are for longer, and so form the head later."""
    formed = [
        _formed(adam_law(Setting.of("linear", states=2, context=50, optimizer="adam", batch=b)).trajectories[0])
        for b in (16, 64, 256)
    ]
    assert formed[0] > formed[1] > formed[2]


@pytest.mark.parametrize(("family", "states", "context"), [("softmax", 2, 50), ("linear", 2, 50)])
def test_against_the_finite_context(family, states, context):
    """Formation within the interval of the law, which the law sets wider than one replicate of finite context scatters."""
    reduced = pytest.importorskip("simulate.reduced")
    setting = Setting.of(family, states=states, context=context, optimizer="adam", record_every=2)
    formed = law(setting).transitions()[1]
    exact = _formed(descend(reduced.FiniteContext(setting, count=128, held_out=16), setting))
    print(f"{family}: law {formed.step:.0f} [{formed.low:.0f}, {formed.high:.0f}], finite context {exact:.0f}")
    assert formed.low < exact < formed.high
    assert abs(formed.step / exact - 1) < 0.15


def test_matrix_noise_is_that_of_the_finite_context(within):
    """The softmax family at ω = v = 0 and the plateau's μ: U's entries, and W's per μ², in 16 groups each."""
    reduced = pytest.importorskip("simulate.reduced")
    setting = Setting.of("softmax", states=2, context=16, optimizer="adam")
    dynamics, found, exact = reduced.FiniteContext(setting, count=1024, held_out=1), [], []
    level = _plateau(setting, np.random.default_rng(1))[0]
    point = dynamics.layout.start.copy()
    point[2:4] = level / 2, -level / 2
    for generator in np.random.default_rng(2).spawn(16):
        found.append(matrix_noise(setting, generator) * [level**2, level**2, 1, 1])
        exact.append(dynamics.gradient(point).variance[:4])
    spread = np.hypot(np.std(exact, axis=0, ddof=1), np.std(found, axis=0, ddof=1)) / 4
    placed = np.abs(np.mean(exact, axis=0)) * 2 / np.sqrt(1024)  # each group places μ anew, on a pilot of 1024
    within("variance", np.mean(found, axis=0), np.mean(exact, axis=0), np.hypot(spread, placed))


def test_the_wait_grows_with_the_logarithm_of_the_context():
    """dt/d ln T lies between 1/(2η) and 1/η, whatever the noise of untouched lags."""
    rate = Setting.of("linear", optimizer="adam").optimizer.learning_rate["lag_logits"]
    formed = [
        _formed(descend(NoisyMeanField(s), s))
        for s in (Setting.of("linear", states=2, context=t, optimizer="adam") for t in (32, 128))
    ]
    grows = rate * (formed[1] - formed[0]) / np.log(4)
    print(f"η dt/d ln T = {grows:.2f}")
    assert 0.5 < grows < 1


def test_passage_of_the_mixture_at_finite_context():
    """Doubly stochastic and unigram chains: the limit's strategies are 250% late there; within 15%."""
    reduced = pytest.importorskip("simulate.reduced")
    mixture = Mixture((DoublyStochastic(4), Unigram(4)), (0.75, 0.25))
    setting = Setting.of("linear", prior=mixture, context=64, optimizer="adam")
    exact = descend(reduced.FiniteContext(setting, count=128, held_out=256), setting).transitions()[0][1].step
    found = descend(NoisyMeanField(setting), setting).transitions()[0][1].step
    print(f"law {found:.0f}, finite context {exact:.0f}")
    assert abs(found / exact - 1) < 0.15


def test_dispatch_and_refusals():
    setting = Setting.of("linear", states=2, context=24, optimizer="adam", steps=60)
    assert law(setting).to_dict() == adam_law(setting).to_dict()
    with pytest.raises(ValueError, match="optimizer of the Adam law"):
        adam_law(Setting.of("linear"))
    with pytest.raises(ValueError, match="family of the Adam law"):
        adam_law(Setting.of("transformer", optimizer="adam"))
    with pytest.raises(ValueError, match="context = 200"):
        law(Setting.of("softmax", context=200, optimizer="adam"))


def test_lags_that_no_source_has_yet_do_not_overflow():
    """A strong head on few tokens: the exponents of lags beyond the first token, which nothing reads, stay finite (warnings are errors)."""
    found = law(Setting.of("softmax", states=2, context=12, optimizer="adam"))
    assert np.isfinite(found.trajectories[0].loss).all()

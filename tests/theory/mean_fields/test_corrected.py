"""onset.theory.mean_fields.corrected: exact moments, the corrected loss and its gradient, and steps against finite
context."""

from __future__ import annotations

import itertools
import json
import pkgutil
from dataclasses import replace
from math import factorial

import numpy as np
import pytest

from onset.simulate.finite_context.dynamics import FiniteContext
from onset.simulate.predict import METHODS
from onset.theory.derivations.count_fluctuations import covariance
from onset.theory.dynamics.descent import descend
from onset.theory.markov.chains import stationary
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.corrected.base import COUNT, MEASURING_FACTOR, logit_loss
from onset.theory.mean_fields.corrected.counts import Counts
from onset.theory.mean_fields.corrected.early import SEQUENCES, reach
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.corrected.moments import Memory, Moments, positions
from onset.theory.mean_fields.corrected.predict import CORRECTED, _softmax, mean_field_corrected
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.setting import Setting

EPS = np.finfo(float).eps


def generic(family: str, lags: int) -> np.ndarray:
    matrices = [0.15, 0.02] if family == "linear" else [3.0, -1.0, 2.5, 0.5]
    return np.concatenate([matrices, np.random.default_rng(0).normal(size=lags)])


def enumerated(chain: np.ndarray, point: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the linear family's logits given x_t = 0 by going through all sequences of one chain."""
    k, law, weight = len(chain), stationary(chain), np.exp(np.append(point[2:], np.zeros(context)))
    mean, second = np.zeros((context, k)), np.zeros((context, k, k))
    for tokens in itertools.product(range(k), repeat=context):
        logits, chance = np.zeros(k), law[tokens[0]]
        for t, now in enumerate(tokens):
            chance *= chain[tokens[t - 1], now] if t else 1.0
            measured = sum(weight[r] for r in range(t + 1) if tokens[t - r] == 0) / weight[: t + 1].sum()
            logits[now] += point[1] + (point[0] - point[1]) * measured
            if now == 0:
                share = chance / law[0] / k ** (context - 1 - t)
                mean[t] += share * logits
                second[t] += share * np.outer(logits, logits)
    return mean, second - mean[:, :, None] * mean[:, None, :]


@pytest.mark.parametrize(("states", "context", "lags"), [(2, 8, 3), (2, 6, 6), (3, 6, 2)])
def test_linear_moments_are_exact(states, context, lags):
    """Every position's mean and covariance against all k^T sequences."""
    setting = Setting.of("linear", states=states, context=context)
    dynamics = LinearCorrected.of(setting, lags=lags, followed=lags, count=4)
    dynamics.at = np.arange(1, context + 1)
    dynamics.memory = Memory(dynamics.memory.transition, lags, lags, context, dynamics.at)
    point = generic("linear", lags)
    computed = dynamics.moments(point)
    for n in (0, 3):
        mean, second = enumerated(dynamics.memory.transition[n], point, context)
        np.testing.assert_allclose(computed.mean[:, n], mean, atol=1e3 * EPS * np.abs(mean).max())
        np.testing.assert_allclose(computed.covariance[:, n], second, atol=1e4 * EPS * np.abs(mean).max() ** 2)


def test_counts_by_the_law_of_total_covariance():
    """g = 1, σ = 0 makes S the counts; averaged over the last symbol, their covariance is the fundamental matrix's
    finite sum."""
    chain, context = np.random.default_rng(2).dirichlet(np.ones(3), size=3), 9
    law = stationary(chain)
    means, covariances = [], []
    for last in range(3):
        order = np.roll(np.arange(3), -last)
        memory = Memory(chain[np.ix_(order, order)][None], 2, 2, context, np.array([context]))
        constant = np.zeros((3, context, 3, 1))
        constant[0] = 1.0
        computed = Moments(memory, constant)
        back = np.argsort(order)
        means.append(computed.mean[0, 0][back])
        covariances.append(computed.covariance[0, 0][np.ix_(back, back)])
    means = np.array(means) - context * law
    total = np.einsum("i,ijl->jl", law, covariances) + np.einsum("i,ij,il->jl", law, means, means)
    np.testing.assert_allclose(total, covariance(chain, context), atol=1e4 * EPS)


def test_positions_average_what_is_smooth_in_the_logarithm():
    """1, 1/t, ln t and √t are summed over positions beyond the eighth as over all of them: the rule is exact for
    polynomials of degree 11 in ln t, and what e^{±y}, |y| ≤ h, has beyond them is at most e^h h^12/(2^11 12!), at
    e^{-h} the least."""
    for context in (20, 25, 60, 1000):
        at, share = positions(context, 8)
        every = np.arange(9.0, context + 1)
        for function in (np.ones_like, np.log, lambda t: 1 / t, np.sqrt):
            half = np.log((context + 0.5) / 8.5) / 2
            left = 2 * np.exp(2 * half) * half**12 / 2**11 / factorial(12)
            assert context * share @ function(at.astype(float)) == pytest.approx(
                function(every).sum(), rel=left + 1e-13
            )


@pytest.mark.parametrize("family", CORRECTED)
@pytest.mark.parametrize(("states", "context", "lags"), [(2, 30, 6), (3, 12, 3), (2, 5, 5)])
def test_gradient_against_central_differences(family, states, context, lags):
    """Within |D(2h) - D(h)|/3 for truncation and ε|L|/h for rounding."""
    dynamics = CORRECTED[family].of(Setting.of(family, states=states, context=context), lags=lags, count=16)
    point = generic(family, lags)
    computed = dynamics.gradient(point)
    for n, value in enumerate(computed.derivative):
        h = 2e-4 * (0.1 if family == "linear" and n < 2 else 1.0)

        def difference(h: float, n: int = n) -> float:
            shift = h * np.eye(len(point))[n]
            return (dynamics.gradient(point + shift).loss - dynamics.gradient(point - shift).loss) / (2 * h)

        once, twice = difference(h), difference(2 * h)
        tolerance = abs(twice - once) / 3 + 50 * EPS * abs(computed.loss) / h
        assert abs((4 * once - twice) / 3 - value) < tolerance, dynamics.layout.names[n]
        assert tolerance < 1e-4 * np.abs(computed.derivative).max()


def test_error_of_the_expansion_is_of_third_order(slope):
    """Logits m + h·(two values) have the loss to h²: the remainder falls like h³."""
    row, mean, move = np.array([0.2, 0.5, 0.3]), np.array([0.4, -1.0, 0.3]), np.array([1.0, -0.5, 0.2])
    values, chance = np.array([2.0, -0.5]), np.array([0.2, 0.8])
    sizes, left = 2.0 ** -np.arange(2, 8), []
    for h in sizes:
        second = h**2 * (chance @ values**2) * np.outer(move, move)
        exact = chance @ [np.log(np.exp(mean + h * v * move).sum()) for v in values] - row @ mean
        left.append(exact - logit_loss(mean, second, row)[0])
    assert slope(sizes, left) == pytest.approx(3, abs=0.1)


def test_error_of_the_loss_falls_like_the_square_of_the_context(slope):
    """Loss of the last position at scaled weights, one chain, all sequences: 1/T² with the covariance, 1/T without it.

    The contexts are short enough for the next order in 1/T to change a slope by a few times 1/T.
    """
    contexts, chain = np.array([7, 10, 14, 19]), np.array([[0.55, 0.45], [0.35, 0.65]])
    with_covariance, without = [], []
    for context in contexts:
        point = np.array([3.0 / context, 1.0 / context, *np.zeros(2)])
        free = (np.arange(2 ** (context - 1))[:, None] >> np.arange(context - 1)) & 1
        tokens = np.column_stack([free, np.zeros(len(free), int)])
        chance = stationary(chain)[tokens[:, 0]] / stationary(chain)[0]
        for s in range(1, context):
            chance = chance * chain[tokens[:, s - 1], tokens[:, s]]
        measured = (tokens == 0).cumsum(axis=1) / np.arange(1, context + 1)
        weight = point[1] + (point[0] - point[1]) * measured
        logits = np.stack([(weight * (tokens == j)).sum(axis=1) for j in (0, 1)], axis=1)
        exact = chance @ (np.log(np.exp(logits).sum(axis=1)) - logits @ chain[0])
        weights = np.zeros((3, context, 2, 1))
        weights[0], weights[1] = point[1], ((point[0] - point[1]) / np.arange(1, context + 1))[:, None, None]
        computed = Moments(Memory(chain[None], 2, 2, int(context), np.array([context])), weights)
        mean, spread = computed.mean[-1], computed.covariance[-1]
        with_covariance.append(float(logit_loss(mean, spread, chain[:1])[0][0] - exact))
        without.append(float(logit_loss(mean, 0 * spread, chain[:1])[0][0] - exact))
    print(with_covariance, without)
    assert slope(contexts, with_covariance) == pytest.approx(-2, abs=0.3)
    assert slope(contexts, without) == pytest.approx(-1, abs=0.3)


@pytest.mark.parametrize(("family", "allowed"), [("linear", 2e-3), ("softmax", 1e-2)])
def test_measured_distances_are_those_of_sequences(family, allowed):
    """Near the plateau, T = 100: within five standard errors and `allowed` nats: 1/T in the softmax family, whose early
    positions count and see that the bigram strategy does not use the stationary first token; 20/T² where early logits
    are small."""
    setting = Setting.of(family, context=100)
    point = np.array([0.05, 0.01, 0, 1.0, 0, 0, 0, 0] if family == "linear" else [0.5, 0, 2.5, 0, 0, 1.0, 0, 0, 0, 0])
    computed = CORRECTED[family].of(setting, count=256).measure(point)
    full = np.concatenate([point, np.zeros(94)])
    measured = [FiniteContext(setting, held_out=4096, seed=n).measure(full) for n in range(8)]
    for name, value in computed.distances.items():
        several = np.array([one.distances[name] for one in measured])
        error = several.std(ddof=1) / np.sqrt(8)
        print(family, name, value, several.mean(), error)
        assert abs(several.mean() - value) < 5 * error + allowed
    np.testing.assert_allclose(computed.attention, measured[0].attention[:, :6], rtol=1e-13)


@pytest.mark.parametrize(("states", "concentration"), [(2, 1.0), (2, 0.3)])
def test_steps_of_the_linear_family_at_a_short_context(states, concentration):
    """T = 30: formation and transition within 10% of finite context, the target below T = 100, and
    four standard errors."""
    setting = Setting.of("linear", prior=Dirichlet(states, concentration), context=30)
    transitions, formation = mean_field_corrected(setting).transitions()
    runs = [
        descend(FiniteContext(setting, count=256, held_out=2048, seed=n), setting.training).transitions()
        for n in range(3)
    ]
    for predicted, expected in ((formation, [f for _, f in runs]), (transitions[1], [p[1] for p, _ in runs])):
        steps = np.array([one.step for one in expected], float)
        error = steps.std(ddof=1) / np.sqrt(3)
        print(predicted.step, steps.mean(), error)
        assert predicted.step is not None
        assert abs(predicted.step / steps.mean() - 1) < 0.1 + 4 * error / steps.mean()


def test_prediction_is_registered_and_plain():
    """Registered by name; repeats itself; JSON; families without one are named."""
    assert pkgutil.resolve_name(METHODS["mean-field-corrected"]) is mean_field_corrected
    setting = Setting.of("softmax", states=3, context=12, steps=20)
    computed, again = mean_field_corrected(setting, seed=1), mean_field_corrected(setting, seed=1)
    assert [t.loss.tolist() for t in computed.trajectories] == [t.loss.tolist() for t in again.trajectories]
    text = json.loads(json.dumps(computed.to_dict()))
    assert text["method"] == "mean-field-corrected"
    assert text["assumptions"]
    assert text["validity"]
    assert mean_field_corrected(Setting.of("softmax", context=5, optimizer="adam", steps=10)).trajectories
    with pytest.raises(ValueError, match="family of a corrected mean-field prediction = 'transformer'"):
        mean_field_corrected(Setting.of("transformer"))
    with pytest.raises(ValueError, match="lags = 6 at context = 4"):
        CORRECTED["linear"].of(Setting.of("linear", context=4))


def test_cumulants_of_counts_by_all_sequences():
    """Mean, variance and κ₃(N_j, N_l, N_0) given x_t = 0, and what is counted later than a source, k = 3, T = 7."""
    states, context = 3, 7
    chain = np.random.default_rng(0).dirichlet(np.ones(states), size=states)
    memory = Memory(chain[None], 2, 2, context, np.array([4, context]))
    computed, law = Counts.of(memory), stationary(chain)
    for n, length in enumerate(memory.at):
        tokens = np.array([(*free, 0) for free in itertools.product(range(states), repeat=length - 1)])
        chance = law[tokens[:, 0]] * chain[tokens[:, :-1], tokens[:, 1:]].prod(axis=1) / law[0]
        held = tokens[:, :, None] == np.arange(states)
        counts = held.sum(axis=1)
        off = counts - chance @ counts
        third = np.einsum("q,qj,ql,q->jl", chance, off, off, off[:, 0])
        np.testing.assert_allclose(computed.third[n, 0], third, atol=1e3 * EPS * length**3)
        np.testing.assert_allclose(computed.variance[n, 0], chance @ off[:, 0] ** 2, atol=1e3 * EPS * length**2)
        np.testing.assert_allclose(computed.mean[n, 0], chance @ counts[:, 0], atol=1e3 * EPS * length)
        after = held[::, ::-1, 0].cumsum(axis=1)[:, ::-1] - held[:, :, 0]
        for state in range(states):
            joint = (chance[:, None] * held[:, :, state] * after).sum(axis=0) / law[state]
            np.testing.assert_allclose(computed.later[0, state, n, :length], joint, atol=1e3 * EPS * length)


def test_match_is_driven_down_where_finite_context_is_trapped():
    """Softmax family, k = 3, T = 50, concentration 0.3, on the way to the plateau: the match's gradient as at finite
    context, positive, where covariances of the read without third cumulants give the wrong sign; what the next order
    leaves is less than half of what these add."""
    setting = Setting.of("softmax", prior=Dirichlet(3, 0.3), context=50)
    point = np.array([0, 0, 1.0, -0.5, *np.zeros(6)])
    full = np.concatenate([point, np.zeros(44)])
    measured = [FiniteContext(setting, count=2048, held_out=1, seed=n).gradient(full).derivative[0] for n in range(8)]
    error = np.std(measured, ddof=1) / np.sqrt(8)
    generators = np.random.default_rng(0).spawn(4)
    dynamics = [SoftmaxCorrected.of(setting, count=128, generator=generator) for generator in generators]
    computed = [one.gradient(point).derivative[0] for one in dynamics]
    scatter = np.hypot(error, np.std(computed, ddof=1) / 2)
    assert np.mean(measured) > 5 * error
    for one in dynamics:
        one.skewness = np.zeros_like(one.skewness)
    without = [one.gradient(point).derivative[0] for one in dynamics]
    print(np.mean(computed), np.mean(without), np.mean(measured), scatter)
    assert max(without) < 0
    assert abs(np.mean(computed) - np.mean(measured)) < 5 * scatter + (np.mean(computed) - np.mean(without)) / 2


@pytest.mark.parametrize("family", CORRECTED)
def test_distances_are_means_over_chains_spread_evenly(family):
    """k = 3: what is measured is what a rule of `MEASURING_FACTOR` times as many chains measures alone, whatever the
    gradient's are; what is stood in for the prior by hand is measured itself."""
    setting, point = Setting.of(family, states=3, context=12), generic(family, 6)
    dynamics = CORRECTED[family].of(setting, count=16, generator=np.random.default_rng(1))
    other = CORRECTED[family].of(setting, count=16, generator=np.random.default_rng(2))
    even = dynamics.calibrated(MEASURING_FACTOR * 16, np.random.default_rng(1))
    other.stand_for(*even)
    computed, expected = dynamics.measure(point), other.measure(point)
    assert computed.distances == pytest.approx(expected.distances, rel=1e-12)
    dynamics.stand_for(even[0][:9], np.full(9, 1 / 9))
    assert abs(dynamics.measure(point).loss - expected.loss) > 1e-3
    assert dynamics.measure(point).loss == pytest.approx(dynamics.gradient(point).loss, rel=1e-12)


def test_lags_that_no_source_has_yet_do_not_overflow():
    """A strong head on few tokens: the exponents of lags beyond the first token, which nothing reads, stay finite
    (warnings are errors)."""
    dynamics = SoftmaxCorrected.of(Setting.of("softmax", states=2, context=12), count=8)
    point = np.zeros_like(dynamics.layout.start)
    point[0], point[2], point[dynamics.layout.lags.start + 1] = 10.0, 5.0, 8.0
    assert np.isfinite(dynamics.gradient(point).derivative).all()


@pytest.mark.parametrize("states", range(2, 12))
def test_as_many_positions_are_enumerated_as_the_most_sequences_allow(states):
    """k^{t-1} sequences end at position t in one state."""
    last = reach(states, 1000)
    assert states ** (last - 1) <= SEQUENCES < states**last
    assert reach(states, 3) == 3


def test_the_softmax_family_takes_the_same_number_of_chains_however_they_are_scrambled():
    """Two states, whose chains have two dimensions, need one scrambling."""
    counts = {k: [run["count"] for run in _softmax(Setting.of("softmax", states=k), 0)] for k in (2, 3)}
    assert counts == {2: [2 * COUNT], 3: [COUNT, COUNT]}


@pytest.mark.parametrize("family", CORRECTED)
def test_progress_never_goes_back_and_ends_at_the_end(family):
    """Over all runs together."""
    setting, calls = Setting.of(family, states=3, context=12), []
    setting = replace(setting, training=replace(setting.training, steps=4, record_every=1))
    mean_field_corrected(setting, progress=lambda done, total: calls.append((done, total)))
    shares = [done / total for done, total in calls]
    assert len({total for _, total in calls}) == 1
    assert shares[-1] == 1
    assert shares == sorted(shares)

"""onset.theory.laws.basins: signs where training and exact sums know them, standard errors, limits, and what it
refuses."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.derivations import signals, trapped
from onset.theory.laws import basins, sampling
from onset.theory.laws.basins import escapes, limit_constants
from onset.theory.markov.chains import lag_matrices, stationary
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.markov.signals import correlations
from onset.theory.setting import Setting


@pytest.mark.parametrize(
    ("family", "concentration", "states", "context", "optimizer", "sign"),
    [
        ("softmax", 1.0, 2, 25, "sgd", -1),
        ("softmax", 1.0, 2, 25, "adam", 1),
        ("softmax", 1.0, 3, 10, "sgd", -1),
        ("softmax", 1.0, 3, 50, "sgd", 1),
        ("softmax", 0.3, 4, 25, "sgd", -1),
        ("softmax", 0.3, 4, 100, "sgd", 1),
        ("linear", 1.0, 2, 25, "sgd", 1),
        ("linear", 0.3, 2, 10, "sgd", -1),
    ],
)
def test_signs_of_trained_models(family, concentration, states, context, optimizer, sign):
    """Each of these was trained: ω left zero that way (the last with a rate of 0.1 for the lag logits), and lag 1
    gained or lost."""
    prior = Dirichlet(states, concentration)
    basin = escapes(Setting.of(family, prior=prior, context=context, optimizer=optimizer))
    print(basin.explanation)
    assert basin.sign == sign
    assert (1 in basin.lags) == (sign > 0)
    assert ({0, 2} <= set(basin.lags)) == (sign < 0)


def test_three_states_at_the_start_agree_with_exact_correlations(within):
    """Lags and match at μ → 0: means over sequences against `signals.softmax`, the prior by independent points with
    their spread."""
    context, setting = 10, Setting.of("softmax", states=3, context=10, optimizer="adam")
    basin, exact = escapes(setting, count=32768), []
    inner, mean = signals.kernel(context)
    lag1 = signals.kernel(context, 1)
    for generator in np.random.default_rng(5).spawn(8):
        known = correlations(*nodes(setting.task.prior, 512, generator), context)
        exact.append(
            [-signals.evaluate(signals.softmax, T=context, mu=1.0, K=k, M=m, C=known) for k, m in ((inner, mean), lag1)]
        )
    expected, spread = np.mean(exact, axis=0), np.std(exact, axis=0, ddof=1) / np.sqrt(8)
    within("push", basin.size, expected[0], np.hypot(basin.error, spread[0]))
    assert abs(basin.drives[1] / expected[1] - 1) < 0.1


def test_errors_fall_and_cover(within):
    """Independent seeds scatter by the standard error; four times the sequences halve it."""
    setting = Setting.of("softmax", states=2, context=12)
    basins_by_seed = [escapes(setting, count=1024, seed=seed) for seed in range(16)]
    sizes, error = (
        np.array([basin.size for basin in basins_by_seed]),
        np.mean([basin.error for basin in basins_by_seed]),
    )
    within("scatter", sizes, sizes.mean(), error)
    chi2 = ((sizes - sizes.mean()) ** 2).sum() / error**2
    print(f"chi² = {chi2:.1f} of 15")
    assert 2.5 < chi2 < 44  # 1e-4 quantiles of chi² with 15 degrees of freedom
    assert abs(escapes(setting, count=4096).error / error - 0.5) < 0.1


def test_readout_is_the_optimum():
    """Of two states, against the exact slope's zero; a pilot of n sequences misses it by about 1/√n of its size."""
    matrices, weights = nodes(Dirichlet(2), 256)
    exact = trapped.plateau_two_states(matrices, weights, 25)
    readout = escapes(Setting.of("softmax", states=2, context=25), count=2).readout
    assert abs(readout / exact - 1) < 4 / np.sqrt(sampling.PILOT_SEQUENCES)


def test_limit_constants_by_summing_powers():
    """Y and X as sums over powers, V as the sum of covariances over lags, for a chain whose memory fades by then."""
    generator = np.random.default_rng(3)
    chain, level = 0.5 * generator.dirichlet(np.ones(3), size=3)[None] + 0.5 / 3, 1.7
    law = stationary(chain)[0]
    excess = lag_matrices(chain, 200)[:, 0] - law
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, 200))])
    passed, delayed = excess.sum(axis=0), np.tensordot(harmonic, excess, axes=1)
    model = np.exp(level * law) / np.exp(level * law).sum()
    one_way = law[:, None] * excess[1:].sum(axis=0)
    covariance = np.diag(law) - np.outer(law, law) + one_way + one_way.T
    residual = law[:, None] * (chain[0] - model)
    expected = ((residual * law[:, None] * passed).sum(), (residual * (law[:, None] * delayed + covariance)).sum())
    np.testing.assert_allclose(limit_constants(chain, np.ones(1), level), expected, rtol=1e-10)


def test_a_wrong_covariance_changes_the_sign_of_the_start(monkeypatch):
    """Without what the frequencies share with the mean score the trapped setting would seem to escape: the term
    matters."""
    setting = Setting.of("softmax", states=2, context=12, optimizer="adam")
    assert escapes(setting).sign == -1
    monkeypatch.setattr(basins, "relative", lambda sums, counts, t: sums / t)
    assert escapes(setting).sign == 1


def test_what_it_refuses():
    with pytest.raises(ValueError, match="family of a basin"):
        escapes(Setting.of("transformer"))
    with pytest.raises(ValueError, match="count"):
        escapes(Setting.of("softmax"), count=1)
    assert escapes(Setting.of("softmax", prior=DoublyStochastic(2), context=16), count=64).readout == pytest.approx(
        0, abs=1
    )


@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_curvatures_by_the_divergence_of_models_nearby(family, within):
    """By read-out and match at v = 0, ω = 0, against the divergence from a model nearby at finite context on other
    sequences."""
    dynamics = pytest.importorskip("onset.simulate.finite_context.dynamics")
    sequences = pytest.importorskip("onset.simulate.tasks.markov_chains")
    setting = Setting.of(family, states=2, context=12)
    readout, step = (0.05, 0.004) if family == "linear" else (0.7, 0.05)

    def at(mu: float, omega: float) -> np.ndarray:
        """Both families at v = 0: the linear one's read-out is what all its match's entries share."""
        matrices = [mu + omega, mu] if family == "linear" else [omega, 0.0, mu, 0.0]
        return np.array([*matrices, *np.zeros(setting.task.context)])

    computed, expected = [], []
    for generator in np.random.default_rng(3).spawn(24):
        ours, drawn = generator.spawn(2)
        computed.append(basins._moments(setting, readout, 512, ours)[1])
        tokens = sequences.sample(setting.task, 512, drawn).tokens
        base = dynamics.log_predictions(setting, at(readout, 0.0), tokens)

        def divergence(mu: float, omega: float, base=base, tokens=tokens) -> float:
            """KL of the model there from the one at the base: half of its curvature is that of the loss."""
            moved = dynamics.log_predictions(setting, at(readout + mu, omega), tokens)
            return float((np.exp(base) * (base - moved)).sum(axis=-1).mean())

        by_mu, by_omega = (divergence(*d) + divergence(*-d) for d in (np.array([step, 0]), np.array([0, step])))
        mixed = sum(a * b * divergence(a * step, b * step) for a in (-1, 1) for b in (-1, 1)) / 4
        expected.append(np.array([by_mu, mixed, by_omega]) / step**2)
    means, errors = (np.array([f(values, axis=0) for values in (computed, expected)]) for f in (np.mean, np.std))
    within(f"curvatures, {family}", means[0], means[1], np.hypot(*errors) / np.sqrt(24))


def test_parts_of_a_sample_count_by_their_sequences(monkeypatch):
    """One sequence more than a chunk: means of all sequences, and the match where push meets curvature."""
    setting, curvatures = Setting.of("linear", states=2, context=12), []
    moments = basins._moments

    def noted(*arguments):
        slopes, curvature = moments(*arguments)
        curvatures.append((slopes.shape[1], curvature))
        return slopes, curvature

    monkeypatch.setattr(basins, "_moments", noted)
    basin = escapes(setting, count=basins.CHUNK + 1)
    (many, first), (alone, second) = curvatures
    assert (many, alone) == (basins.CHUNK, 1)
    mean = (many * first + second) / (many + 1)
    assert basin.match == pytest.approx(basin.size / (mean[2] - mean[1] ** 2 / mean[0]), rel=1e-12)


@pytest.mark.parametrize(("drives", "lags", "head"), [([0, 3, 2], (1, 2), True), ([1, 2, 3], (2, 1, 0), False)])
def test_the_most_driven_lag_comes_first(monkeypatch, drives, lags, head):
    """An induction head forms if that is lag 1."""

    def moments(setting, readout, count, generator):
        slopes = np.zeros((8, count))
        slopes[1] = 1 + np.resize([0.1, -0.1], count)
        slopes[2:5] = np.array(drives)[:, None]
        return slopes, np.array([1.0, 0.0, 1.0])

    monkeypatch.setattr(basins, "_moments", moments)
    basin = escapes(Setting.of("linear", states=2, context=12), count=100)
    assert basin.lags == lags
    assert basin.explanation.endswith("; an induction head forms.") == head

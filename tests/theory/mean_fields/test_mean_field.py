"""onset.theory.mean_fields.limit: the loss and gradient both toy families share."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from onset.theory.dynamics.flow import flow
from onset.theory.markov.expectations import RICH, calibrated_nodes, nodes
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.mean_fields import limit as mean_field
from onset.theory.mean_fields import positions
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.setting import Setting

EPS = np.finfo(float).eps


def start(family: str, lags: int, seed: int = 0) -> np.ndarray:
    """A generic point, its match of the size it has in training."""
    generator = np.random.default_rng(seed)
    matrices = [0.8, 0.15] if family == "linear" else [3.0, -1.0, 2.5, 0.5]
    return np.concatenate([matrices, generator.normal(size=lags)])


def naive_loss(family: str, dynamics: mean_field.MeanField, point: np.ndarray, context: int) -> float:
    """The mean-field loss as a plain sum over positions, sources and lags, all lags tracked (k = 2 or more)."""
    v = point[dynamics.layout.lags]
    attention = [np.exp(v[:s]) / np.exp(v[:s]).sum() for s in range(1, context + 1)]
    total = 0.0
    for chain, law, weight in zip(dynamics.transition, dynamics.stationary, dynamics.weights, strict=True):
        loss = 0.0
        for t in range(1, context + 1):
            if family == "linear":
                omega, c = point[0] - point[1], point[1]
                f = sum(
                    sum(omega * a * law[0] * np.linalg.matrix_power(chain, r)[0] for r, a in enumerate(row)) + c * law
                    for row in attention[:t]
                )
            else:
                held = sum(source_law(chain, law, (point[0] - point[1]) * row) for row in attention[:t])
                f = (point[2] - point[3]) * held / held.sum()
            loss += np.log(np.exp(f).sum()) - chain[0] @ f
        total += weight * loss / context
    return total


def source_law(chain: np.ndarray, law: np.ndarray, score: np.ndarray) -> np.ndarray:
    """E[exp(Σ_r score_r 1[x_{s-r} = 0]) 1[x_s = j]] by pushing the law forward from the oldest lag."""
    held = law * np.exp(score[-1] * (np.arange(len(law)) == 0))
    for entry in score[-2::-1]:
        held = (held @ chain) * np.exp(entry * (np.arange(len(law)) == 0))
    return held


@pytest.mark.parametrize("family", MEAN_FIELDS)
@pytest.mark.parametrize("states", [2, 3])
def test_loss_is_the_plain_sum_when_all_lags_are_tracked(family, states):
    """With R = T the loss is Σ_t/T of the expectation logits' cross-entropy, one source at a time: no quadrature is
    left."""
    context = 7
    dynamics = MEAN_FIELDS[family].of(Setting.of(family, states=states, context=context), lags=context, count=16)
    point = start(family, context)
    assert dynamics.gradient(point).loss == pytest.approx(naive_loss(family, dynamics, point, context), rel=1e-13)


@pytest.mark.parametrize("family", MEAN_FIELDS)
@pytest.mark.parametrize(("context", "lags", "states"), [(6, 6, 2), (5, 8, 3), (60, 4, 2), (1000, 3, 3)])
def test_gradient_against_central_differences(family, context, lags, states, monkeypatch):
    """Every partial agrees with central differences within what they cost: |D(2h) - D(h)|/3 for truncation, ε|L|/h for
    rounding."""
    monkeypatch.setattr(positions, "EXTRA_NODES", 40)
    dynamics = MEAN_FIELDS[family].of(Setting.of(family, states=states, context=context), lags=lags, count=16)
    point = start(family, lags)
    if family == "linear":
        point[:2] *= 10 / context
    computed = dynamics.gradient(point)
    for n, value in enumerate(computed.derivative):
        h = 2e-4 * (10 / context if family == "linear" and n < 2 else 1.0)

        def difference(h: float, n: int = n) -> float:
            shift = h * np.eye(len(point))[n]
            return (dynamics.gradient(point + shift).loss - dynamics.gradient(point - shift).loss) / (2 * h)

        once, twice = difference(h), difference(2 * h)
        tolerance = abs(twice - once) / 3 + 10 * EPS * computed.loss / h
        assert abs((4 * once - twice) / 3 - value) < tolerance, dynamics.layout.names[n]
        assert tolerance < 1e-4 * np.abs(computed.derivative).max()


def test_gradient_of_a_tiny_case_symbolically():
    """k = 2, T = R = 2, doubly stochastic with two nodes: sympy differentiates the plain loss; 30 digits against
    doubles."""
    dynamics = LinearMeanField.of(Setting.of("linear", prior=DoublyStochastic(2), context=2), lags=2, count=2)
    diagonal, off, v0, v1 = symbols = sp.symbols("d o v0 v1")
    share = sp.exp(v1) / (sp.exp(v0) + sp.exp(v1))
    loss = 0
    for chain, weight in zip(dynamics.transition, dynamics.weights, strict=True):
        p = sp.Rational(float(chain[0, 0]))
        rows = [sp.Matrix([[1, 0]]), sp.Matrix([[p, 1 - p]])]
        first = (diagonal - off) / 2 * rows[0] + off / 2 * sp.ones(1, 2)
        second = first + (diagonal - off) / 2 * ((1 - share) * rows[0] + share * rows[1]) + off / 2 * sp.ones(1, 2)
        for f in (first, second):
            loss += sp.Rational(float(weight)) / 2 * (sp.log(sp.exp(f[0]) + sp.exp(f[1])) - p * f[0] - (1 - p) * f[1])
    point = np.array([1.5, -0.25, 0.5, 1.25])
    at = dict(zip(symbols, map(sp.Rational, point), strict=True))
    computed = dynamics.gradient(point)
    assert computed.loss == pytest.approx(float(loss.evalf(30, subs=at)), rel=1e-14)
    np.testing.assert_allclose(
        computed.derivative, [float(sp.diff(loss, s).evalf(30, subs=at)) for s in symbols], rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("family", MEAN_FIELDS)
def test_measure_agrees_with_the_loss(family):
    """measure() and gradient() give one loss, and KL(bigram ‖ model) is that loss minus its entropy rate; at zero
    logits KL(uniform ‖ model) = 0."""
    dynamics = MEAN_FIELDS[family].of(Setting.of(family, states=3, context=40), lags=3, count=32)
    point = start(family, 3) / (10 if family == "linear" else 1)
    measured = dynamics.measure(point)
    assert measured.loss == pytest.approx(dynamics.gradient(point).loss, rel=1e-13)
    zero = dynamics.measure(np.zeros(len(point)))
    missed = abs(dynamics.logits(np.zeros((1, 1, len(point)))).weights.sum() - 1)
    assert missed < 1e-9
    assert zero.distances["uniform"] == pytest.approx(0, abs=1e-14 + np.log(3) * missed)
    assert zero.loss == pytest.approx(np.log(3) * dynamics.weights.sum(), rel=1e-13 + missed)
    gap = zero.loss - zero.distances["bigram"]
    assert measured.loss - measured.distances["bigram"] == pytest.approx(gap, rel=1e-12)
    assert measured.attention[0] == pytest.approx(
        np.exp(point[dynamics.layout.lags]) / (np.exp(point[dynamics.layout.lags]).sum() + 37), rel=1e-14
    )
    with pytest.raises(ValueError, match="lags = 1"):
        MEAN_FIELDS[family](dynamics.task, lags=1)


@pytest.mark.parametrize(
    "prior", [Dirichlet(3, 0.5), DoublyStochastic(4), Mixture((Dirichlet(3), Unigram(3)), (0.7, 0.3))]
)
def test_calibrated_nodes_integrate_the_signals_as_the_large_rule_does(prior):
    """Same generator, 128 points against the 4,096 they are cut from: equal to the rank that lstsq keeps."""
    few, weight = calibrated_nodes(prior, 128, lambda m: mean_field.signals(m, 6), np.random.default_rng(3))
    many, all_weights = nodes(prior, RICH * 128 // (2 if isinstance(prior, Mixture) else 1), np.random.default_rng(3))
    assert len(few) == 128
    computed, expected = weight @ mean_field.signals(few, 6), all_weights @ mean_field.signals(many, 6)
    np.testing.assert_allclose(computed, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("family", MEAN_FIELDS)
def test_calibration_narrows_the_scatter_and_moves_no_mean(family, within):
    """Gradient by v_1 at a plateau-like point over 24 scramblings: calibrated variance below plain by more than chance,
    means alike."""
    setting = Setting.of(family, states=3, context=100)
    scale = [0.08, 0.01] if family == "linear" else [0.5, 0.0, 1.0, 0.0]
    point = np.array([*scale, *np.zeros(6)])
    plain, calibrated = np.empty(24), np.empty(24)
    for n in range(24):
        dynamics = MEAN_FIELDS[family].of(setting, count=64, generator=np.random.default_rng(n))
        calibrated[n] = dynamics.gradient(point).derivative[len(scale) + 1]
        matrices, weights = nodes(setting.task.prior, 64, np.random.default_rng(n))
        dynamics.stand_for(matrices, weights)
        plain[n] = dynamics.gradient(point).derivative[len(scale) + 1]
    ratio = plain.var() / calibrated.var()
    print(f"{family}: variance falls {ratio:.1f} times")
    assert ratio > stats.f.isf(1e-4, 23, 23)
    within("mean", plain.mean(), calibrated.mean(), np.hypot(plain.std(), calibrated.std()) / np.sqrt(23))


@pytest.mark.parametrize(("family", "context"), [("linear", 50), ("softmax", 100)])
def test_as_many_lags_are_tracked_as_it_takes(family, context):
    """Twice as many move no transition by 1%, half as many move one by more."""
    setting = Setting.of(family, states=3, context=context)
    field = MEAN_FIELDS[family]

    def steps(lags: int) -> np.ndarray:
        dynamics = field.of(setting, lags=lags, rule=nodes(setting.task.prior, 64))
        transitions, formation = flow(dynamics, setting.training).transitions()
        return np.array([transitions[-1].step, formation.step])

    half, chosen, twice = (steps(lags) for lags in (LAGS // 2, LAGS, 2 * LAGS))
    print(f"{family}: half {half / twice - 1}, chosen {chosen / twice - 1}")
    assert np.abs(chosen / twice - 1).max() < 0.01 < np.abs(half / twice - 1).max()

"""onset.theory.mean_fields.ngram_linear: the linear family for chains of higher order, as T → ∞."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import entr

from onset.simulate.finite_context.dynamics import loss_and_gradient
from onset.simulate.tasks.markov_chains import sample
from onset.theory.dynamics.flow import flow
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.chains import block_law
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields import linear
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.ngram_linear import NgramLinearMeanField, signals
from onset.theory.mean_fields.positions import PositionGrid
from onset.theory.mean_fields.predict import mean_field
from onset.theory.mean_fields.quadrature import SCRAMBLINGS
from onset.theory.models import FAMILIES
from onset.theory.setting import Setting


def point_of(dynamics: NgramLinearMeanField, context: int) -> np.ndarray:
    point = np.random.default_rng(3).standard_normal(len(dynamics.layout.start))
    point[: dynamics.layout.lags.start] *= 3 / context
    return point


def test_order_two_is_the_plain_mean_field(monkeypatch):
    """With one head, on the same chains, loss and gradient tend to those of onset.theory.mean_fields.linear as
    positions are resolved."""
    monkeypatch.setattr(linear, "ROOT_NODES", 24)
    setting = Setting.of("linear", states=3, context=100)
    plain, other = LinearMeanField.of(setting, lags=4, count=16), NgramLinearMeanField.of(setting, lags=4, count=16)
    chains = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 3))
    for dynamics in (plain, other):
        dynamics.stand_for(chains, np.full(5, 0.2))
    point = point_of(other, 100)
    a, b = plain.gradient(point), other.gradient(point)
    # The other sums up to t + 1/2 by the integrand at t, which misses |a'|/8 of each lag: here of ω a_r at the first
    # source beyond R.
    weight = np.exp(point[2:])
    missed = abs(point[0] - point[1]) * weight.max() / (8 * (4.5 + weight.sum() - 4) ** 2)
    print(f"missed at most {missed:.1e} of a logit")
    assert b.loss == pytest.approx(a.loss, abs=missed)
    np.testing.assert_allclose(b.derivative, a.derivative, rtol=1e-6, atol=missed * np.abs(a.derivative).max())
    measured = plain.measure(point), other.measure(point)
    assert list(measured[1].distances.values()) == pytest.approx(list(measured[0].distances.values()), abs=missed)


@pytest.mark.parametrize(("states", "order"), [(2, 3), (3, 3), (2, 4)])
def test_gradient_is_the_slope_of_the_loss(states, order):
    """Central differences, whose error falls with their square: Richardson's extrapolation to 1e-7 of the largest."""
    setting = Setting.of("linear", states=states, order=order, context=60)
    dynamics = NgramLinearMeanField.of(setting, lags=order + 1, count=8)
    point, computed = point_of(dynamics, 60), None
    computed = dynamics.gradient(point).derivative
    size = np.where(np.array(dynamics.layout.groups) == "match", 1e-5, 1e-3)

    def slopes(h: float) -> np.ndarray:
        shifts = h * np.diag(size)
        pairs = [(dynamics.gradient(point + s).loss, dynamics.gradient(point - s).loss) for s in shifts]
        return np.array([a - b for a, b in pairs]) / (2 * h * size)

    better = (4 * slopes(1.0) - slopes(2.0)) / 3
    np.testing.assert_allclose(computed, better, atol=1e-7 * np.abs(computed).max())


def test_measured_loss_and_distances():
    """The loss is that of the gradient; distances less the loss are the strategies' entropies, whatever the model."""
    setting = Setting.of("linear", order=3, context=60)
    dynamics = NgramLinearMeanField.of(setting)
    point = point_of(dynamics, 60)
    measured, zero = dynamics.measure(point), dynamics.measure(0 * point)
    assert measured.loss == pytest.approx(dynamics.gradient(point).loss, rel=1e-12)
    assert measured.loss - measured.distances["trigram"] == pytest.approx(
        zero.loss - zero.distances["trigram"], rel=1e-12
    )
    assert zero.distances["uniform"] == pytest.approx(0, abs=1e-13)
    assert measured.attention.shape == (2, len(point[dynamics.layout.lags]) // 2)


def test_gradient_of_finite_contexts_tends_to_the_mean_field(slope):
    """At C, Ω_1, Ω_2 fixed, both heads grown in proportion to T, the loss at context T approaches the limit like 1/T,
    but for ln T."""
    gaps, contexts = [], (16, 32, 64, 128)
    chains = np.random.default_rng(0).dirichlet(np.full(2, 4.0), size=(4, 4))
    chains = np.concatenate([chains, chains.reshape(-1, 2, 2, 2)[:, ::-1, ::-1, ::-1].reshape(-1, 4, 2)])
    for context in contexts:
        setting = Setting.of("linear", order=3, context=context)
        dynamics = NgramLinearMeanField.of(setting, lags=4, count=8)
        dynamics.stand_for(chains, np.full(len(chains), 1 / len(chains)))
        lags = np.zeros((2, 4))
        lags[0, 1], lags[1, 2] = np.log(context), np.log(context / 2)
        match = np.array([[3.0, 1.0], [2.0, 0.0]]).ravel() / context
        drawn = sample(setting.task, 12_000, np.random.default_rng(1))
        chosen = np.random.default_rng(2).integers(len(chains), size=len(drawn.tokens))
        from onset.simulate.tasks.markov_chains import MarkovSample, tokens_from_uniforms
        from onset.theory.markov.chains import history_law

        picked = chains[chosen]
        law = history_law(chains)[chosen]
        tokens = tokens_from_uniforms(picked, law, np.random.default_rng(3).random(drawn.tokens.shape))
        full = np.zeros((2, context))
        full[:, :4] = lags
        exact = loss_and_gradient(setting, np.concatenate([match, full.ravel()]), MarkovSample(tokens, picked, law))
        gaps.append(exact.loss - dynamics.gradient(np.concatenate([match, lags.ravel()])).loss)
    print("gaps", gaps)
    assert -1.25 < slope(contexts, gaps) < -0.75


def test_grid_resolves_the_head_that_has_grown_least():
    """∫ a_r du over heads of very different weight, against the sum over all sources."""
    logits, context = np.array([[0.0, 7.0, 0.0], [0.3, 0.0, -0.2]]), 2000
    grid = PositionGrid(logits, context, 16, shared=True)
    weight = np.exp(logits)
    for head in range(2):
        total = np.zeros(3)
        for s in range(1, context + 1):
            there = np.where(np.arange(3) < s, weight[head], 0)
            total += there / (there.sum() + max(0, s - 3))
        np.testing.assert_allclose(grid.attention[head] @ grid.weights, total / context, rtol=2e-3)


def test_bigrams_are_where_the_linear_family_ends():
    """It passes to bigram, forms the lag-2 head later than the previous-token head, and never comes nearer to trigram
    than to bigram."""
    setting = Setting.of("linear", order=3, context=30)
    transitions, formations = flow(NgramLinearMeanField.of(setting), setting.training).read(0.1)
    assert transitions[1].step is not None
    assert transitions[2].step is None
    assert "never nearer to trigram" in transitions[2].reason
    assert formations[0].step < formations[1].step


def test_replicates_are_those_of_the_prediction():
    """Four scramblings, each with its own chains; two lags need a head."""
    prediction = mean_field(Setting.of("linear", order=3, context=20, steps=4))
    assert len({trajectory.loss[0] for trajectory in prediction.trajectories}) == SCRAMBLINGS
    assert prediction.trajectories[0].lags == (1, 2)


def test_what_knows_pairs_only_says_so():
    for family, method in (("softmax", "mean-field"), ("linear", "law"), ("linear", "mean-field-corrected")):
        from onset.simulate.predict import predict

        with pytest.raises(ValueError, match=r"order|higher order"):
            predict(Setting.of(family, order=3, context=20), method)
    assert Layout.of(MarkovChains.of(order=3), FAMILIES["softmax"].initialization, 2).names[:7] == (
        "match_1.diagonal",
        "match_1.off_diagonal",
        "match_2.diagonal",
        "match_2.off_diagonal",
        "readout.diagonal",
        "readout.off_diagonal",
        "lag_logits_1.0",
    )


def test_small_rules_integrate_moments_of_the_stationary_law():
    """Of one symbol's probability, its square, its product with the sum of squares and with the entropy."""
    transition, _ = nodes(Dirichlet(3, order=3), 16, np.random.default_rng(0))
    law = block_law(transition, 1)
    query = law[:, 0]
    moments = [np.ones(16), query, query**2, query * (law**2).sum(axis=1), query * entr(law).sum(axis=1)]
    assert signals(transition, 4, 3)[:, :5] == pytest.approx(np.stack(moments, axis=1), abs=1e-14)

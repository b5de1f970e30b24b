"""onset.theory.dynamics: the orbits' gradient, optimisers on them, gradient flow."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.flow import SingleReplicate, curvatures, flow, sharpness
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_orbit_gradient_is_the_projection_on_identity_and_ones(k):
    """For any k × k gradient G: partials by the shared values over `entries` are G = a·11ᵀ + b·I with b = (g_ω -
    g_c/k)/(k-1), a = (g_c/k - b)/k."""
    layout = Layout.of(MarkovChains.of(states=k), {"match": 0.01, "lag_logits": 0.0}, 2)
    gradient = sp.Matrix(k, k, lambda i, j: sp.Symbol(f"g{i}{j}"))
    shared_diagonal, shared_off = gradient.trace(), sum(gradient) - gradient.trace()
    g_omega, g_c = gradient.trace(), sum(gradient)
    b = (g_omega - g_c / k) / (k - 1)
    a = (g_c / k - b) / k
    diagonal, off = (
        partial / sp.Integer(int(n)) for partial, n in zip((shared_diagonal, shared_off), layout.entries, strict=False)
    )
    assert sp.expand(diagonal - (a + b)) == 0
    assert sp.expand(off - a) == 0
    projected, identity, ones = a * sp.ones(k) + b * sp.eye(k), sp.eye(k), sp.ones(k)
    assert all(sp.expand(sum((gradient - projected).multiply_elementwise(basis))) == 0 for basis in (identity, ones))


def test_layout():
    """Coordinates come in order match, readout, lags; entries count the ties; start and rates are the setting's."""
    setting = Setting.of(
        "softmax",
        states=3,
        context=9,
        initialization={"match": 0.5, "readout": -0.25},
        learning_rate={"match": 2.0, "lag_logits": 0.5},
    )
    layout = Layout.of(setting.task, setting.model.initialization, 2)
    assert layout.names == (
        "match.diagonal",
        "match.off_diagonal",
        "readout.diagonal",
        "readout.off_diagonal",
        "lag_logits.0",
        "lag_logits.1",
    )
    assert layout.entries.tolist() == [3, 6, 3, 6, 1, 1]
    assert layout.start.tolist() == [0.5, 0.5, -0.25, -0.25, 0, 0]
    assert layout.rates(setting.training).tolist() == [2, 2, 1, 1, 0.5, 0.5]
    assert layout.lags == slice(4, None)


def test_descent_and_flow_of_a_quadratic(quadratic):
    """θ_n = (1 - ηλ/m)^n θ_0 for descent, e^{-ηλt/m} θ_0 for flow, m entries per orbit; largest
    ηλ/m is the sharpness."""
    setting = Setting.of(
        "linear", states=3, context=5, initialization=1.0, learning_rate={"match": 0.6, "lag_logits": 0.05}, steps=20
    )
    dynamics = quadratic(setting, np.array([2.0, 3.0, 4.0, 0.5]))
    exponent = np.array([0.6, 0.6, 0.05, 0.05]) * dynamics.curvature / np.array([3, 6, 1, 1])
    for computed, decay, error in (
        (descend(dynamics, setting.training), 1 - exponent, 1e-14),
        (flow(dynamics, setting.training, rtol=1e-9), np.exp(-exponent), 1e-9),
    ):
        points = np.array([computed.parameters[name] for name in dynamics.layout.names]).T
        assert np.array_equal(points[0], dynamics.layout.start)
        assert computed.steps[-1] == 20
        np.testing.assert_allclose(points, decay ** computed.steps[:, None], rtol=0, atol=error * len(points))
    hessians = curvatures(SingleReplicate(dynamics), np.ones((1, 1, 4)))
    computed = sharpness(hessians, dynamics.layout, setting.training)
    assert computed == pytest.approx(exponent.max(), rel=1e-6)


def test_flow_is_the_limit_of_descent(slope):
    """At fixed η × steps the distance between descent and flow falls linearly with η (mean field, k = 2)."""
    halvings, gaps, limit = [8, 16, 32], [], None
    for n in halvings:
        setting = Setting.of(
            "linear",
            states=2,
            context=50,
            learning_rate={"lag_logits": 2.0 / n, "match": 0.08 / n},
            steps=40 * n,
            record_every=40 * n,
        )
        dynamics = LinearMeanField.of(setting, lags=3, count=64)
        trajectories = (
            [descend(dynamics, setting.training)]
            if limit is not None
            else [descend(dynamics, setting.training), flow(dynamics, setting.training, rtol=1e-8)]
        )
        ends = [np.array([t.parameters[name][-1] for name in dynamics.layout.names]) for t in trajectories]
        limit = ends[-1] if limit is None else limit
        gaps.append(np.abs((ends[0] - limit) * np.where(np.arange(5) < 2, setting.task.context, 1)).max())
    print("gaps", gaps)
    assert slope(halvings, gaps) == pytest.approx(-1, abs=0.1)


def test_flow_brackets_its_own_transitions():
    """Transitions of an accurate solution lie between the records that the default solver puts around them."""
    setting = Setting.of("linear", states=3, context=100)
    dynamics = LinearMeanField.of(setting, lags=3, count=64)
    (coarse, head), (fine, exact_head) = (
        flow(dynamics, setting.training, rtol=rtol).transitions() for rtol in (1e-3, 1e-6)
    )
    for computed, exact in zip([coarse[-1], head], [fine[-1], exact_head], strict=True):
        print(computed, exact)
        assert computed.low <= exact.step <= computed.high

"""onset.theory.mean_fields.positions: the grids of positions and sources."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy import integrate
from scipy.special import digamma

from onset.theory.mean_fields import linear
from onset.theory.mean_fields.linear import LagShares
from onset.theory.mean_fields.positions import PositionGrid

EPS = np.finfo(float).eps


@pytest.mark.parametrize("context", [2, 5, 6, 7, 50, 10**6])
def test_weights_and_sources_sum_to_one(context):
    """Positions weigh one in all; a source gives at most all of its attention to tracked lags,
    exactly all while s ≤ R."""
    grid = PositionGrid(np.array([0.0, 3.0, 0.5, 0.0, 0.0, 1.0]), context)
    assert grid.weights.sum() == pytest.approx(1, rel=1e-13)
    early = min(6, context)
    np.testing.assert_allclose(grid.attention[:, :early].sum(axis=0), 1, rtol=4 * EPS)
    assert np.all(grid.attention[:, early:].sum(axis=0) <= 1 + 4 * EPS)
    assert np.all(np.triu(np.ones((6, early)), 0)[:, :early] * grid.attention[:, :early] == grid.attention[:, :early])


def test_attention_of_every_source():
    """Source s gives lag r the share e^{v_r}/(s + Σ_r (e^{v_r} - 1)) once s ≥ R, and
    e^{v_r}/Σ_{r'<s} e^{v_r'} before."""
    v, context = np.array([0.2, 4.0, 1.0]), 300
    grid, weight = PositionGrid(v, context), np.exp(v)
    late = grid.u[3:] * context
    np.testing.assert_allclose(grid.attention[:, 3:], weight[:, None] / (late + (weight - 1).sum()), rtol=1e-12)
    np.testing.assert_allclose(grid.attention[:, 2], weight / weight.sum(), rtol=4 * EPS)
    np.testing.assert_allclose(grid.attention[:, 1], [*weight[:2] / weight[:2].sum(), 0], rtol=4 * EPS)
    assert np.all((late > 3.5) & (late < context + 0.5))


def test_short_contexts_are_summed_exactly():
    """T ≤ R: positions are 1/T … 1, weights 1/T, sources a running sum."""
    grid = PositionGrid(np.zeros(9), 4)
    np.testing.assert_allclose(grid.weights @ np.arange(len(grid.u)).clip(max=4), (0 + 1 + 2 + 3) / 4, atol=1e-15)
    np.testing.assert_allclose(grid.u[:4], np.arange(1, 5) / 4, rtol=EPS)
    np.testing.assert_allclose(
        (grid.cumulative @ grid.attention[0, :])[:4], np.cumsum(1 / np.arange(1, 5)) / 4, rtol=4 * EPS
    )


def test_running_sums_of_the_grid():
    """(cumulative @ g)[n] is Σ_{s ≤ u_n T} g(s/T)/T: exact for g = 1, within Euler-Maclaurin's |g'|/(8T²) + |g'|/(24T²)
    for g = u and 1/(Q + u)."""
    v, context = np.array([0.2, 4.0, 1.0]), 300
    grid, excess = PositionGrid(v, context, 12), np.exp(v).sum() - 3
    late = grid.u[3:] * context
    harmonic = digamma(late + excess + 1) - digamma(excess + 1)
    shift = excess / context
    for g, total, steepest in (
        (np.ones_like, late / context, 0.0),
        (lambda u: u, late * (late + 1) / (2 * context**2), 1.0),
        (lambda u: 1 / (u + shift), harmonic, 1 / (3.5 / context + shift) ** 2),
    ):
        computed = (grid.cumulative @ g(grid.u))[3:]
        assert np.abs(computed - total).max() <= steepest * (1 / 8 + 1 / 24) / context**2 + 1e-12


def test_mean_over_positions_of_the_grid():
    """weights @ g is Σ_t g(t/T)/T: exact for g = 1, within the midpoint rule's |g'|/(12T²) for g = 1/(Q + u)."""
    v, context = np.array([0.2, 4.0, 1.0]), 300
    grid, excess = PositionGrid(v, context, 12), np.exp(v).sum() - 3
    computed = grid.weights @ (1 / (grid.u + excess / context))
    slope_at_edge = (context / (3.5 + excess)) ** 2
    assert computed == pytest.approx(
        digamma(context + excess + 1) - digamma(excess + 1), abs=slope_at_edge / (12 * context**2)
    )


def test_lag_share_of_the_grid_tends_to_the_closed_form(slope):
    """At fixed q the grid's p_r(u) approaches (q_r/u) ln(1 + u/Q) with slope -1 in T."""
    share, contexts, errors = np.array([0.15, 0.05]), [10**3, 10**4, 10**5], []
    total = float(share.sum())
    for context in contexts:
        grid = PositionGrid(np.log1p(share * context), context)
        computed = grid.weights @ (grid.attention @ grid.cumulative.T).T
        shape = sp.lambdify(linear.u, linear.u * linear.lag_share().subs({linear.q: 1, linear.Q: total}), "numpy")
        closed = share * integrate.quad(shape, 0, 1, epsabs=1e-13)[0]
        errors.append(np.abs(computed - closed).max())
    print("T × error", np.array(errors) * contexts)
    assert slope(contexts, errors) == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("context", [3, 6, 7, 300, 10**6])
def test_lag_shares_are_sums_over_sources(context):
    """reach is Σ_{s ≤ t} a_r(s)/T: exact at the first R positions, beyond within the midpoint rule's |a'|/24 at the
    edge of its integral."""
    v = np.array([0.2, 4.0, 1.0, 0.0, -0.5, 0.3])
    shares, weight = LagShares(v, context), np.exp(v)
    first, excess = min(6, context), weight.sum() - 6
    sources = np.arange(1, first + 1)
    early = weight[:, None] * (sources > np.arange(6)[:, None]) / weight.cumsum()[:first]
    np.testing.assert_allclose(shares.reach[:, :first], early.cumsum(axis=1) / context, rtol=8 * EPS)
    late = shares.u[first:] * context
    harmonic = digamma(late + excess + 1) - digamma(first + excess + 1)
    expected = (early.sum(axis=1)[:, None] + weight[:, None] * harmonic) / context
    bound = weight[:, None] / (24 * context) * (1 / (6.5 + excess) ** 2 + 1 / (late + 0.5 + excess) ** 2)
    assert np.all(np.abs(shares.reach[:, first:] - expected) <= bound + 8 * EPS)
    assert shares.weights.sum() == pytest.approx(1, rel=1e-14)


def test_nodes_of_lag_shares_serve_every_context():
    """A mean of the sort that the family asks for, from start to head, is that of 64 nodes to 2e-4,
    at T = 10² to 10⁶."""

    def drive(v: np.ndarray, context: int, nodes: int | None = None) -> float:
        shares = LagShares(v, context, nodes)
        return float((shares.weights * shares.reach[1] * np.exp(-3 * shares.u)).sum())

    for context in (10**2, 10**4, 10**6):
        for grown in (0.0, 0.5, 1.0, 1.2):
            v = np.array([0.0, grown * np.log(context), 0.0, 0.0, 0.0, 0.0])
            assert drive(v, context) == pytest.approx(drive(v, context, 64), rel=2e-4)


def test_pullback_of_lag_shares_is_their_derivative():
    """Σ ∂reach/∂v against central differences, nodes included: none of them moves."""
    v, context = np.array([0.3, 1.0, -0.5, 0.2]), 60
    by_reach = np.random.default_rng(0).normal(size=LagShares(v, context).reach.shape)
    h, unit = 1e-5, np.eye(4)
    numeric = [
        ((LagShares(v + h * e, context).reach - LagShares(v - h * e, context).reach) * by_reach).sum() / (2 * h)
        for e in unit
    ]
    np.testing.assert_allclose(LagShares(v, context).by_lag_logits(by_reach), numeric, atol=10 * (h**2 + EPS / h))


def test_pullback_of_attention_is_its_derivative():
    """Σ_s ∂a_r/∂v_s by the softmax rule equals central differences of a at early sources, where no node moves."""
    v, by_attention = np.array([0.3, 1.0, -0.5, 0.2]), np.random.default_rng(0).normal(size=(4, 4))
    grid = PositionGrid(v, 4)
    padded = np.zeros_like(grid.attention)
    padded[:, :4] = by_attention
    h, unit = 1e-5, np.eye(4)
    numeric = [
        ((PositionGrid(v + h * e, 4).attention - PositionGrid(v - h * e, 4).attention)[:, :4] * by_attention).sum()
        / (2 * h)
        for e in unit
    ]
    np.testing.assert_allclose(grid.by_lag_logits(padded), numeric, atol=10 * (h**2 + EPS / h))

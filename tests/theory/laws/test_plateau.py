"""onset.theory.laws.plateau: the fixed point of the linear family, its height and its drives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from onset.theory.laws import plateau as module
from onset.theory.laws.plateau import plateau
from onset.theory.markov.chains import entropy, stationary
from onset.theory.markov.expectations import expectation, nodes
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.quadrature import rules
from onset.theory.setting import Setting

ERROR = 1e-6
"""Asked of the cubature."""


def loss_by_cubature(match: np.ndarray) -> float:
    """L₀ of two states as a threefold integral, adaptively; the chain's uniforms for a flat prior are its off-diagonal
    entries."""

    def integrand(points: np.ndarray) -> np.ndarray:
        a, b, u = points.T
        law = np.stack([b, a], axis=1) / (a + b)[:, None]
        rows = [np.stack([1 - a, a], axis=1), np.stack([b, 1 - b], axis=1)]
        total = np.zeros(len(points))
        for i, row in enumerate(rows):
            f = (u * (match[0] + match[1] * law[:, i]))[:, None] * law
            total += law[:, i] * (np.logaddexp(f[:, 0], f[:, 1]) - (row * f).sum(axis=1))
        return total

    return float(integrate.cubature(integrand, [0, 0, 0], [1, 1, 1], rtol=0, atol=ERROR).estimate)


def test_plateau_is_the_minimum_of_the_threefold_integral():
    """Flat prior, two states: height equal to cubature at (C*, Ω*), and higher by ½ δᵀHδ at displaced matches, to third
    order in δ."""
    limit = plateau(Dirichlet(2))
    height = loss_by_cubature(limit.match)
    assert limit.height == pytest.approx(height, abs=10 * ERROR)
    for shift in np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.7], [0.3, -0.7]]):
        rise = loss_by_cubature(limit.match + shift) - height
        assert rise == pytest.approx(shift @ limit.hessian @ shift / 2, rel=0.2, abs=10 * ERROR)


@pytest.mark.parametrize(
    "prior", [Dirichlet(2), Dirichlet(3), Dirichlet(4, 0.5), Mixture((Dirichlet(3), Unigram(3)), (0.5, 0.5))]
)
def test_plateau_is_where_the_mean_field_stands_still(prior, slope):
    """On the same chains, no lag grown: the mean field's gradient by (C, Ω) falls like ln T/T, and lag r is driven as
    A_r ln T."""
    limit = plateau(prior)
    contexts, by_match, drives = 4 ** np.arange(4, 8), [], []
    for context in contexts:
        setting = Setting.of("linear", prior=prior, context=int(context))
        dynamics = LinearMeanField.of(setting, rule=rules(LinearMeanField, prior, 6).mean)
        point = np.concatenate([[limit.match.sum() / context, limit.match[0] / context], np.zeros(6)])
        gradient = dynamics.gradient(point).derivative
        by_match.append(np.abs([gradient[:2].sum(), gradient[0]]).max() / context)
        drives.append(-gradient[2:] * context)
    rate = slope(np.log(contexts) / contexts, by_match)
    print(f"slope {rate:.3f}")
    # A constant beside ln T shifts the slope by about its ratio to ln T, squared off over three decades.
    assert abs(rate - 1) < 1 / np.log(contexts[0])
    growth = np.diff(drives, axis=0)[-1] / np.log(4)
    np.testing.assert_allclose(growth, limit.drives, atol=np.log(contexts[-2]) ** 2 / contexts[-2])


@pytest.mark.parametrize("states", [2, 3, 4, 8])
def test_a_linear_read_out_stays_above_the_ideal_loss(states):
    """Height less E H(π) is positive, and both are ordered below ln k."""
    limit = plateau(Dirichlet(states))
    assert limit.excess > 0
    assert limit.height < np.log(states)
    assert np.linalg.eigvalsh(limit.hessian)[0] > 0


def test_doubly_stochastic_matrices_have_no_plateau():
    """All stationary laws are uniform: the match is free."""
    with pytest.raises(ValueError, match="do not fix the match of the plateau"):
        plateau(DoublyStochastic(3))


def test_height_does_not_depend_on_the_rule():
    """The loss at that match on a large rule: within the scatter that expectation() reports for the entropy of π."""
    prior, limit = Dirichlet(3), plateau(Dirichlet(3))
    error = expectation(prior, lambda m: entropy(stationary(m)), tolerance=1e-2).error
    chains = module._Chains(prior, nodes(prior, 4096, np.random.default_rng(9)))
    height = -float((chains.measure * chains.row[:, :, None] * np.log(chains.model(limit.match)[0])).sum())
    assert abs(limit.height - height) < 5 * error


@pytest.mark.parametrize("prior", [Dirichlet(2), Dirichlet(3)])
def test_the_offset_is_that_of_the_integral_over_the_logarithm(prior):
    """B against adaptive quadrature of ∫ S₁ ln u du, with the logarithm as its weight; 16 plain Gauss-Legendre nodes on
    the logarithm miss it by a thousandth."""
    limit, (transition, weights) = plateau(prior), rules(LinearMeanField, prior, 6).mean
    law, row = stationary(transition), transition[:, 0]

    def signal(u: float) -> float:
        f = u * (limit.match[0] + limit.match[1] * law[:, :1]) * law
        model = np.exp(f - np.logaddexp.reduce(f, axis=1)[:, None])
        return float(weights @ (law[:, 0] ** 2 * ((row - model) * (row - law)).sum(axis=1)))

    by_log, _ = integrate.quad(signal, 0, 1, weight="alg-loga", wvar=(0, 0), epsabs=1e-13)
    exact = by_log / integrate.quad(signal, 0, 1, epsabs=1e-13)[0] - 1
    x, w = np.polynomial.legendre.leggauss(16)
    values = w * np.array([signal(u) for u in (1 + x) / 2])
    plain = values @ np.log((1 + x) / 2) / values.sum() - 1
    print(limit.offset, exact, plain)
    assert limit.offset == pytest.approx(exact, abs=1e-9)
    assert abs(plain - exact) > 1e-3


@pytest.mark.parametrize("prior", [Dirichlet(2), Dirichlet(2, 0.5), Dirichlet(3)], ids=str)
def test_the_offset_is_the_logarithm_averaged_over_the_signal(prior):
    """B = -1 + ∫ S ln u du/∫ S du of lag 1, by adaptive quadrature of the same signal over u; -2.04607 for flat rows of
    two states."""
    chains = module._Chains(prior, rules(LinearMeanField, prior, 6).mean)
    fixed = plateau(prior)

    model, _ = chains.model(fixed.match)
    at_nodes = np.einsum("nj,njg->g", chains.lever[1], chains.residual(model))
    x, w = np.polynomial.legendre.leggauss(len(at_nodes))
    through = np.polynomial.legendre.Legendre.fit(x, 2 * at_nodes / w, len(x) - 1, domain=[-1, 1])
    whole, _ = integrate.quad(lambda u: through(2 * u - 1), 0, 1)
    logarithm, _ = integrate.quad(lambda u: through(2 * u - 1) * np.log(u), 0, 1, epsabs=1e-12)
    assert fixed.offset == pytest.approx(-1 + logarithm / whole, rel=1e-7)
    if prior == Dirichlet(2):
        assert fixed.offset == pytest.approx(-2.04607, abs=2e-5)

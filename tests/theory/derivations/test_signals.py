"""First gradients of both layers, the signals in them (onset.theory.markov.signals), and that the checks can fail."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from onset.theory.derivations import alternation, signals
from onset.theory.markov import expectations, priors
from onset.theory.markov.chains import stationary
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.markov.signals import correlations, repetitions, signal

EPS = np.finfo(float).eps


@pytest.mark.parametrize("reference", alternation.REFERENCES)
@pytest.mark.parametrize("lag", [0, 1, 4, 7])
def test_closed_signals_against_cubature(reference, lag):
    """Flat rows, k = 2: the closed form agrees with `onset.theory.markov.expectations` within its error estimate."""
    found = signal(Dirichlet(2), lag, reference=reference)
    by_cubature = expectations.expectation(
        Dirichlet(2), lambda p: alternation.chain_signals(p, lag + 1, reference)[:, lag], tolerance=1e-6
    )
    assert abs(found.value - by_cubature.value) <= by_cubature.error
    assert found.error <= EPS * abs(found.value)


def test_a_far_lag_does_not_lose_its_digits():
    """S_201, where terms of order one cancel to 10⁻⁶, against enough Gauss-Legendre nodes."""
    matrices, weights = alternation.flat_rule(160)
    found = signal(Dirichlet(2), 201).value
    assert found == pytest.approx(weights @ alternation.chain_signals(matrices, 202)[:, 201], rel=1e-9)


def test_signals_of_other_priors(within):
    """Mixtures are weighted sums; memoryless chains have none beyond lag 0; other priors by expectation."""
    mixture = Mixture((Dirichlet(2), Unigram(2)), (0.25, 0.75))
    assert signal(mixture, 1).value == pytest.approx(signal(Dirichlet(2), 1).value / 4, rel=4 * EPS)
    assert signal(Unigram(5), 3, reference="uniform") == (0.0, 0.0)
    assert signal(Unigram(2), 0, reference="uniform", tolerance=1e-5).value > 0
    assert signal(DoublyStochastic(2), 3).value == pytest.approx(1 / 20, rel=EPS)
    matrices = priors.sample(Dirichlet(3), np.random.default_rng(1), 20_000)
    drawn = alternation.chain_signals(matrices, 2)[:, 1]
    found = signal(Dirichlet(3), 1)
    within("s_1, k = 3", found.value, drawn.mean(), np.hypot(found.error, drawn.std() / np.sqrt(len(drawn))))
    both = signal(Mixture((Dirichlet(3), Unigram(3)), (0.5, 0.5)), 1)
    assert both == pytest.approx((found.value / 2, found.error / 2), rel=4 * EPS)
    half = signal(Dirichlet(2, 0.5), 1, tolerance=1e-3)
    assert signal(Dirichlet(2), 1).value < half.value < signal(DoublyStochastic(2), 1).value


def test_the_literatures_table_differs_by_a_constant():
    """The table's S_m at reference 1/k less its S_4 are these signals' differences, to rounding and 20,000 chains."""
    table = np.array([0.1025, 0.1252, 0.0891, 0.1048, 0.0896])
    found = np.array([signal(Dirichlet(2), m, reference="uniform").value for m in range(5)])
    drawn = alternation.chain_signals(priors.sample(Dirichlet(2), np.random.default_rng(0), 20_000), 5, "uniform")
    scatter = (drawn[:, :4] - drawn[:, 4:]).std(axis=0) / np.sqrt(20_000)
    limit = stats.norm.isf(1e-4 / 8) * scatter + 1e-4
    assert np.all(np.abs((table - table[4] - found + found[4])[:4]) < limit)


def test_correlations_by_enumeration():
    """C and u against sums over all 2⁵ and 3⁴ sequences of random chains, to rounding."""
    for states, context in ((2, 5), (3, 4)):
        generator = np.random.default_rng(states)
        chains, weights = generator.dirichlet(np.ones(states), size=(3, states)), generator.dirichlet(np.ones(3))
        found, often = correlations(chains, weights, context), repetitions(chains, weights, context)
        plain, again = np.zeros_like(found), np.zeros_like(often)
        for chain, weight, law in zip(chains, weights, stationary(chains), strict=True):
            for tokens in itertools.product(range(states), repeat=context):
                chance = weight * law[tokens[0]] * np.prod([chain[x, y] for x, y in itertools.pairwise(tokens)])
                for q, s, t in itertools.product(range(1, context + 1), repeat=3):
                    if max(q, s) <= t and tokens[q - 1] == tokens[t - 1]:
                        plain[q, s, t] += chance * (chain[tokens[t - 1], tokens[s - 1]] - 1 / states)
                for d in range(context - 1):
                    again[d] += chance * ((tokens[0] == tokens[d + 1]) - 1 / states)
        terms = 3 * states**context * context
        np.testing.assert_allclose(found, plain, atol=terms * EPS)
        np.testing.assert_allclose(often[:-1], again[:-1], atol=terms * EPS)


def test_fluctuations_of_counts_in_the_softmax_family():
    """Factor by which the limit overstates the first gradient of W, as the derivation's validity says."""
    flat = alternation.flat_rule(20)
    ratios = {context: _overstated(*flat, context) for context in (16, 32, 64, 128)}
    assert ratios[16] < 0
    np.testing.assert_allclose([ratios[T] for T in (32, 64, 128)], [8.2, 4.4, 3.2], atol=0.05)
    scrambled = [expectations.nodes(Dirichlet(3), 512, g) for g in np.random.default_rng(0).spawn(8)]
    for context, printed in ((25, 4.8), (50, 3.2), (100, 2.6)):
        found = np.array([_overstated(*rule, context) for rule in scrambled])
        error = found.std(ddof=1) / np.sqrt(len(found))
        print(f"T = {context}: {found.mean():.3f} ± {error:.3f}")
        assert error < 0.05
        assert abs(found.mean() - printed) < 0.05 + stats.t.isf(1e-4, len(found) - 1) * error


def _overstated(matrices, weights, context):
    inner, mean = signals.kernel(context)
    exact = signals.evaluate(
        signals.softmax, T=context, mu=1.0, K=inner, M=mean, C=correlations(matrices, weights, context)
    )
    s_n = weights @ alternation.chain_signals(matrices, context, "uniform")
    return signals.evaluate(signals.by_match_limit, T=context, mu=1.0, signal=s_n) / exact


@pytest.mark.parametrize(
    ("label", "check", "share"),
    [
        ("statement", "mean-field", 6),
        ("statement", "limit", 6),
        ("statement", "rate", 2),
        ("linear", "rate", 2),
        ("linear", "limit", 6),
        ("by_match", "mean-field", 6),
        ("softmax", "softmax-rate", 1),
    ],
)
def test_slightly_wrong_formulas_are_found(label, check, share, theory_derivation):
    """Each formula changed by a part in 10^share turns each check that reads it red."""
    derivation = theory_derivation("signals")
    (chosen,) = (known for known in derivation.checks if known.name == check)
    printed, factor = derivation.equations[label], 1 + sp.Rational(1, 10**share)
    wrong = sp.Eq(printed.lhs, printed.rhs * factor) if label == "statement" else printed * factor
    assert derivation.run(chosen, **{label: wrong}).passed is False


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lag": -1}, "lag = -1"), ({"reference": "bigram"}, "reference = 'bigram'"), ({"tolerance": 0}, "tolerance = 0")],
)
def test_bad_arguments_are_named(change, message):
    """Each bad argument of signal is named with its value."""
    with pytest.raises(ValueError, match=message):
        signal(Dirichlet(3), **{"lag": 1} | change)

"""onset.simulate.strategies.ngrams: predictive laws against plain loops, and against Bayes in exact arithmetic."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from onset.simulate.strategies.ngrams import predict
from onset.theory.markov.task import STRATEGIES


def draw(states: int, count: int = 21, length: int = 50) -> np.ndarray:
    return np.random.default_rng(states).integers(states, size=(count, length), dtype=np.uint8)


def naive(tokens: np.ndarray, states: int, strategy: str, alpha: float) -> np.ndarray:
    """The formulas by the letter: recount the whole prefix at every position."""
    count, length = tokens.shape
    out = np.empty((count, length - 1, states))
    for n, row in enumerate(tokens.tolist()):
        for t in range(1, length):
            prefix, last = row[:t], row[t - 1]
            for j in range(states):
                if strategy == "uniform":
                    out[n, t - 1, j] = 1 / states
                elif strategy == "unigram":
                    out[n, t - 1, j] = (prefix.count(j) + alpha) / (t + states * alpha)
                else:
                    moves = list(itertools.pairwise(prefix))
                    leaving = sum(a == last for a, _ in moves)
                    out[n, t - 1, j] = (moves.count((last, j)) + alpha) / (leaving + states * alpha)
    return out


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("states", "alpha"), [(2, 1.0), (3, 1.0), (3, 0.5), (5, 0.25), (9, 2.5)])
def test_kernels_equal_the_plain_loop(strategy, states, alpha):
    """Exactly equal: with these pseudo-counts every count is a dyadic number and each probability one correctly rounded
    quotient.
    """
    tokens = draw(states)
    assert np.array_equal(predict(tokens, states, strategy, alpha), naive(tokens, states, strategy, alpha))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_prefix_is_predicted_as_within_the_whole(strategy):
    """Predictions of a prefix are the prefix of the predictions: one pass, and no later token is used."""
    tokens = draw(3)
    whole = predict(tokens, 3, strategy, 1.0)
    for length in (2, 7, 33):
        assert np.array_equal(predict(tokens[:, :length], 3, strategy, 1.0), whole[:, : length - 1])
    changed = tokens.copy()
    changed[:, -1] = (changed[:, -1] + 1) % 3
    assert np.array_equal(predict(changed, 3, strategy, 1.0), whole)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_predictions_are_laws_that_relabelling_permutes(strategy):
    """Rows sum to one; renaming the states renames the predictions; positive everywhere."""
    tokens, order = draw(4), np.array([2, 0, 3, 1], dtype=np.uint8)
    law = predict(tokens, 4, strategy, 0.7)
    np.testing.assert_allclose(law.sum(axis=-1), 1, rtol=4 * np.finfo(float).eps)
    assert law.min() > 0
    np.testing.assert_array_equal(predict(order[tokens], 4, strategy, 0.7)[..., order], law)


@pytest.mark.parametrize("alpha", [Fraction(1), Fraction(1, 2), Fraction(3)])
def test_bigram_is_the_posterior_mean_of_the_row(alpha):
    """k = 2: ∫ p^{c+α} (1-p)^{n-c+α-1} dp / ∫ p^{c+α-1} (1-p)^{n-c+α-1} dp = (c+α)/(n+2α), by Beta integrals in exact
    arithmetic.
    """
    tokens = np.array([[0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0]], dtype=np.uint8)
    predicted = predict(tokens, 2, "bigram", float(alpha))[0]
    a = sp.Rational(alpha.numerator, alpha.denominator)
    for t in range(1, tokens.shape[1]):
        row = tokens[0, :t].tolist()
        after = [y for x, y in itertools.pairwise(row) if x == row[-1]]
        ones, n = sum(after), len(after)
        mean = sp.gammasimp(
            sp.gamma(ones + a + 1) * sp.gamma(n + 2 * a) / (sp.gamma(ones + a) * sp.gamma(n + 2 * a + 1))
        )
        assert predicted[t - 1, 1] == pytest.approx(float(mean), rel=4e-16)


def test_bad_arguments_are_named():
    """An unknown strategy and a pseudo-count of zero."""
    with pytest.raises(ValueError, match="strategy = 'trigrams'"):
        predict(draw(2), 2, "trigrams", 1.0)
    with pytest.raises(ValueError, match="pseudo_count = 0"):
        predict(draw(2), 2, "bigram", 0)

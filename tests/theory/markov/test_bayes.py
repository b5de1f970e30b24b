"""onset.theory.markov.bayes: exact losses of unigram, bigram and Bayes for two states, position by position."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate
from scipy.special import betaln

from onset.simulate.losses import strategy_losses
from onset.simulate.strategies.ngrams import predict
from onset.theory.markov.bayes import MOST_TOKENS, class_evidence, class_sizes, position_losses
from onset.theory.markov.ideal import finite_loss
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting

PRIORS = [Dirichlet(2), Dirichlet(2, 3.0), DoublyStochastic(2), Unigram(2), Unigram(2, 0.4)]
ROUNDING = 1e-12
"""Relative: a dozen log-Gamma functions of size up to T ln T ≈ 1,000."""


def beta_rule(concentration: float, points: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) and weights, folded on the smaller over the larger; for whole concentrations all but 1/(1 + ratio) is a
    polynomial."""
    x, w = np.polynomial.legendre.leggauss(points)
    ratio, large = (grid.ravel() for grid in np.meshgrid((x + 1) / 2, (x + 1) / 2))
    weights = np.outer(w, w).ravel() / 4 * large
    pairs = np.hstack([[ratio * large, large], [large, ratio * large]])
    density = np.prod((pairs * (1 - pairs)) ** (concentration - 1), axis=0) / math.exp(
        2 * betaln(*2 * (concentration,))
    )
    return pairs, np.tile(weights, 2) * density


def rows(prior) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) and weights that integrate over `prior`."""
    if isinstance(prior, Dirichlet):
        return beta_rule(prior.concentration)
    x, w = np.polynomial.legendre.leggauss(60)
    a = (x + 1) / 2
    if isinstance(prior, DoublyStochastic):
        return np.stack([a, a]), w / 2
    # P_01 = 1 - P_10, and a = t^{1/α} takes the singularity of a^{α-1} at 0, symmetry that at 1.
    power = 1 / prior.concentration
    half = (a / 2**prior.concentration) ** power
    density = (1 - half) ** (prior.concentration - 1) / prior.concentration / 2**prior.concentration
    density /= math.exp(betaln(prior.concentration, prior.concentration))
    return np.hstack([[half, 1 - half], [1 - half, half]]), np.tile(w / 2 * density, 2)


def enumerated(prior, context: int, alpha: float) -> np.ndarray:
    """Losses (3, T) as sums over all 2^(T+1) sequences, their probabilities by quadrature."""
    (a, b), weights = rows(prior)
    moves, start = np.array([[1 - a, a], [b, 1 - b]]), np.array([b, a]) / (a + b)

    def probability(tokens: np.ndarray) -> np.ndarray:
        each = start[tokens[:, 0]]
        for i, j in itertools.pairwise(tokens.T):
            each = each * moves[i, j]
        return each @ weights

    tokens = np.array(list(itertools.product(range(2), repeat=context + 1)), dtype=np.uint8)
    joint = probability(tokens)
    assert joint.sum() == pytest.approx(1, abs=1e-12)
    losses = np.empty((3, context))
    for n, strategy in enumerate(("unigram", "bigram")):
        predicted = np.take_along_axis(predict(tokens, 2, strategy, alpha), tokens[:, 1:, None].astype(int), axis=2)
        losses[n] = -joint @ np.log(predicted[..., 0])
    for t in range(1, context + 1):
        losses[2, t - 1] = -joint @ np.log(probability(tokens[:, : t + 1]) / probability(tokens[:, :t]))
    return losses


@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize(("context", "alpha"), [(1, 1.0), (6, 1.0), (8, 0.3)])
def test_against_all_sequences(prior, context, alpha):
    """Each strategy at every position equals the sum over all sequences, to 1e-10."""
    computed = position_losses(prior, context, pseudo_count=alpha)
    np.testing.assert_allclose(computed, enumerated(prior, context, alpha), atol=1e-10, rtol=0)


def test_probabilities_sum_to_one_at_every_length():
    """Half of all probability starts in 0; the evidence of each class is that of its two continuations; any
    concentration."""
    for prior in (
        Dirichlet(2, 0.1),
        Dirichlet(2, 0.5),
        Dirichlet(2, 20.0),
        Mixture((Dirichlet(2), Unigram(2)), (0.7, 0.3)),
    ):
        for length in (1, 2, 5, 40, 121):
            same, other = class_evidence(prior, length)
            sizes = class_sizes(length)
            assert np.sum(sizes[0] * same) + np.sum(sizes[1] * other) == pytest.approx(0.5, rel=ROUNDING)
        longer = class_evidence(prior, length + 1)
        exists = sizes[0] > 0
        again, leave = longer[0][: len(same), 1:], np.pad(longer[1], ((0, 1), (0, 0)))[1 : len(same) + 1, :-1]
        np.testing.assert_allclose((again + leave)[exists], same[exists], rtol=ROUNDING)


def test_first_positions_in_closed_form():
    """T = 2, flat: bigram is ln 2 at t = 1, where Bayes is h(2 E[π_0 a]), E[π_0 a] = E ab/(a+b) = (2 - 2 ln 2)/3."""
    change = 4 * (1 - math.log(2)) / 3
    assert change == pytest.approx(2 * integrate.dblquad(lambda a, b: a * b / (a + b), 0, 1, 0, 1)[0], abs=1e-8)
    computed = position_losses(Dirichlet(2), 2)
    assert computed.bigram[0] == pytest.approx(math.log(2), rel=ROUNDING)
    entropy = -change * math.log(change) - (1 - change) * math.log(1 - change)
    assert computed.bayes[0] == pytest.approx(entropy, rel=ROUNDING)


@pytest.mark.parametrize("prior", [*PRIORS, Dirichlet(2, 0.1)], ids=str)
def test_bayes_is_never_worse(prior):
    """At all positions up to 60, whatever the pseudo-count, up to rounding."""
    for alpha in (None, 0.1, 10.0):
        computed = position_losses(prior, 60, pseudo_count=alpha)
        assert np.all(computed.bayes <= np.minimum(computed.unigram, computed.bigram) + ROUNDING)


def test_where_bayes_is_known():
    """Without memory Bayes is the unigram strategy; doubly stochastic, it counts changes: E -ln (c + 1)/(t + 1), c
    uniform on 0 … t-1."""
    memoryless = position_losses(Unigram(2, 0.4), 100)
    np.testing.assert_allclose(memoryless.bayes, memoryless.unigram, rtol=ROUNDING)
    computed = position_losses(DoublyStochastic(2), 30).bayes
    for t, loss in enumerate(computed, start=1):
        share = np.arange(1, t + 1) / (t + 1)
        closed = -np.mean(share * np.log(share) + (1 - share) * np.log(1 - share))
        assert loss == pytest.approx(closed, rel=ROUNDING)


def test_the_first_token_is_all_that_bigram_lacks():
    """Flat rows: Σ_t (bigram - Bayes) rises with T, and stays below ln 2 - E H(π) = π²/12 - ln 2."""
    computed = position_losses(Dirichlet(2), 200)
    lost = np.cumsum(computed.bigram - computed.bayes)
    assert np.all(np.diff(lost) > 0)
    assert lost[-1] < math.pi**2 / 12 - math.log(2)


@pytest.mark.parametrize("prior", [Dirichlet(2), Dirichlet(2, 0.5), DoublyStochastic(2)], ids=str)
def test_mean_over_positions_is_that_of_ideal(prior):
    """Against the split-logarithm recursion of onset.theory.markov.ideal at T = 50, to its error estimate."""
    exact = position_losses(prior, 50)
    for strategy in ("unigram", "bigram"):
        computed = finite_loss(prior, strategy, 50, tolerance=1e-6)
        assert abs(computed.value - getattr(exact, strategy).mean()) <= computed.error + ROUNDING


def test_against_sampled_sequences(within):
    """Mean losses at T = 30 against onset.simulate.losses, which samples chains and sequences."""
    exact = position_losses(Dirichlet(2, 0.5), 30)
    sampled = strategy_losses(Setting.of(prior=Dirichlet(2, 0.5), context=30), 20000, seed=3)
    for strategy in ("unigram", "bigram"):
        within(strategy, sampled[strategy].mean, getattr(exact, strategy).mean(), sampled[strategy].error)


def test_longer_contexts_continue_shorter_ones():
    """Losses at positions 1 … 40 do not depend on where the sequence ends."""
    for short, long in zip(position_losses(Dirichlet(2), 40), position_losses(Dirichlet(2), 160), strict=True):
        np.testing.assert_allclose(short, long[:40], rtol=ROUNDING)


def test_longest_lengths_stay_within_doubles():
    """At the longest length no class underflows or overflows, even where the prior leaves least: α = 20."""
    sizes = class_sizes(MOST_TOKENS + 1)
    evidence = class_evidence(Dirichlet(2, 20.0), MOST_TOKENS + 1)
    total = 0.0
    for size, computed in zip(sizes, evidence, strict=True):
        assert np.all(np.isfinite(size))
        assert np.all(computed[size > 0] > 0)
        total += np.sum(size * computed)
    # log-Gamma of (T + 40) is about 6,000: its rounding is 6,000 × 2e-16 in a dozen terms.
    assert total == pytest.approx(0.5, rel=12 * 6000 * 2.3e-16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: position_losses(Dirichlet(3), 4), "3 states"),
        (lambda: position_losses(Dirichlet(2), 0), "context = 0"),
        (lambda: position_losses(Dirichlet(2), MOST_TOKENS + 1), f"context = {MOST_TOKENS + 1}"),
        (lambda: position_losses(Dirichlet(2), 4, pseudo_count=0), "pseudo_count = 0"),
        (lambda: class_evidence(Dirichlet(2), 0), "length = 0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    """Each bad argument is named with its value."""
    with pytest.raises(ValueError, match=message):
        call()

"""onset.theory.markov.ideal: expected losses of the ideal strategies, in the limit and at finite T."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
from scipy import integrate

from onset.simulate.losses import strategy_losses
from onset.simulate.strategies.ngrams import predict
from onset.theory.markov import ideal, priors
from onset.theory.markov.chains import stationary
from onset.theory.markov.ideal import finite_loss, limit_loss
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Prior, Unigram
from onset.theory.markov.task import STRATEGIES
from onset.theory.setting import Setting

STATE_DEPENDENT = ("unigram", "bigram")


@pytest.mark.parametrize(
    ("prior", "unigram", "bigram"),
    [
        (DoublyStochastic(2), np.log(2), 1 / 2),
        (Unigram(2), 1 / 2, 1 / 2),
        (Unigram(2, 3.0), 37 / 60, 37 / 60),
        (Mixture((DoublyStochastic(2), Unigram(2)), (0.75, 0.25)), 0.75 * np.log(2) + 1 / 8, 1 / 2),
    ],
)
def test_limits_in_closed_form(prior, unigram, bigram):
    """k = 2: ln 2 and ∫h = 1/2 for doubly stochastic chains, ψ(2α+1) - ψ(α+1) without memory (α = 3: 1/4 + 1/5 + 1/6);
    to 1e-10."""
    assert limit_loss(prior, "uniform") == (np.log(2), 0)
    assert limit_loss(prior, "unigram", tolerance=1e-11).value == pytest.approx(unigram, abs=1e-10)
    assert limit_loss(prior, "bigram", tolerance=1e-11).value == pytest.approx(bigram, abs=1e-10)


def test_limits_of_flat_chains_by_independent_quadrature():
    """Dirichlet(2): ∫∫ h(a/(a+b)) da db = ∫ h(r/(1+r)) dr and ∫∫ 2 h(a) b/(a+b) da db = ∫ 2 h(a) (1 - a ln(1 + 1/a))
    da, to 1e-10."""

    def h(p: float) -> float:
        return -p * math.log(p) - (1 - p) * math.log1p(-p)

    unigram = integrate.quad(lambda r: h(r / (1 + r)), 0, 1, epsabs=1e-13)[0]
    bigram = integrate.quad(lambda a: 2 * h(a) * (1 - a * math.log1p(1 / a)), 0, 1, epsabs=1e-13)[0]
    assert limit_loss(Dirichlet(2), "unigram", tolerance=4e-9).value == pytest.approx(unigram, abs=1e-10)
    assert limit_loss(Dirichlet(2), "bigram", tolerance=4e-9).value == pytest.approx(bigram, abs=1e-10)


def test_limit_of_doubly_stochastic_chains_beyond_two_states(within):
    """k = 3: unigram is ln 3 exactly; bigram 3 E[-P_00 ln P_00] with the density 8(s² - 5s³/6), s = 1 - x."""
    closed = 3 * integrate.quad(lambda x: -x * np.log(x) * 8 * ((1 - x) ** 2 - 5 * (1 - x) ** 3 / 6), 0, 1)[0]
    assert limit_loss(DoublyStochastic(3), "unigram").value == pytest.approx(np.log(3), abs=1e-12)
    computed = limit_loss(DoublyStochastic(3), "bigram", tolerance=2e-4)
    within("bigram", computed.value, closed, computed.error)


def enumerated(chain: np.ndarray, strategy: str, context: int, alpha: float) -> float:
    """Loss of one chain as a sum over all k^T contexts, the next token averaged out."""
    k, law, total = len(chain), stationary(chain), 0.0
    contexts = np.array(list(itertools.product(range(k), repeat=context)), dtype=np.uint8)
    probability = law[contexts[:, 0]] * np.prod(chain[contexts[:, :-1], contexts[:, 1:]], axis=1)
    predicted = predict(np.hstack([contexts, contexts[:, :1]]), k, strategy, alpha)
    total = -np.einsum("n,ntj,ntj->", probability, chain[contexts], np.log(predicted))
    return total / context


@pytest.mark.parametrize("strategy", STATE_DEPENDENT)
@pytest.mark.parametrize(
    ("states", "context", "alpha"), [(2, 1, 1.0), (2, 6, 1.0), (2, 5, 0.3), (3, 2, 1.0), (3, 6, 1.0), (3, 4, 2.5)]
)
def test_finite_context_against_all_sequences(strategy, states, context, alpha):
    """Averaged over the k! names of its states, the recursion gives each chain the loss of the sum over all k^T
    contexts, to 1e-13."""
    loss = partial(ideal.ngram_loss, order=STRATEGIES.index(strategy))
    chains = priors.sample(Dirichlet(states), np.random.default_rng(0), 4)
    orders = [list(order) for order in itertools.permutations(range(states))]
    for chain in chains:
        computed = loss(np.stack([chain[np.ix_(order, order)] for order in orders]), context, alpha).mean()
        assert computed == pytest.approx(enumerated(chain, strategy, context, alpha), rel=1e-13)


def gauss(points: int, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Chains and weights of a Gauss rule for k = 2, flat rows folded on a = ratio × b < b, where the stationary law is
    smooth."""
    x, w = np.polynomial.legendre.leggauss(points)
    x, w = (x + 1) / 2, w / 2
    if prior.dimension == 1:
        return prior.transform(x[:, None])[0], w
    ratio, b = (grid.ravel() for grid in np.meshgrid(x, x))
    return np.stack([1 - ratio * b, ratio * b, b, 1 - b], axis=1).reshape(-1, 2, 2), 2 * np.outer(w, w).ravel() * b


@pytest.mark.parametrize("strategy", STATE_DEPENDENT)
@pytest.mark.parametrize("prior", [DoublyStochastic(2), Unigram(2), Dirichlet(2)])
def test_finite_context_over_a_prior(prior: Prior, strategy):
    """finite_loss equals Gauss quadrature of the sum over all 2^5 contexts, to 1e-10; T = 1 bigram is ln 2."""
    chains, weights = gauss(20, prior)
    expected = sum(w * enumerated(chain, strategy, 5, 1.0) for chain, w in zip(chains, weights, strict=True))
    computed = finite_loss(prior, strategy, 5, tolerance=1e-11)
    assert computed.value == pytest.approx(expected, abs=1e-10)
    assert finite_loss(prior, "bigram", 1, tolerance=1e-11).value == pytest.approx(np.log(2), abs=1e-10)


@pytest.mark.parametrize(("states", "context"), [(2, 1), (2, 150), (3, 40), (5, 12)])
def test_unigram_without_memory_in_closed_form(states, context, within):
    """Unigram(k): a count is Beta-binomial(1, k-1), so E loss_t = k Σ_n C(t-n+k-2, k-2)/C(t+k-1, k-1) φ((n+1)/(t+k)),
    φ(x) = -x ln x."""
    k, closed = states, 0.0
    for t in range(1, context + 1):
        for n in range(t + 1):
            x = (n + 1) / (t + k)
            closed -= k * math.comb(t - n + k - 2, k - 2) / math.comb(t + k - 1, k - 1) * x * math.log(x) / context
    computed = finite_loss(Unigram(k), "unigram", context, tolerance=1e-11 if k == 2 else 2e-4)
    if k == 2:
        assert computed.value == pytest.approx(closed, abs=1e-10)
    else:
        within(f"k = {k}", computed.value, closed, computed.error)


@pytest.mark.parametrize(
    "prior",
    [
        Dirichlet(2),
        Dirichlet(3),
        DoublyStochastic(3),
        Unigram(4, 0.5),
        Mixture((DoublyStochastic(3), Unigram(3)), (0.75, 0.25)),
    ],
)
def test_finite_context_against_sampled_sequences(prior, within):
    """Exact losses at T = 20 against onset.simulate.losses, z over both errors."""
    sampled = strategy_losses(Setting.of(prior=prior, context=20), 8000, seed=1)
    for strategy in STATE_DEPENDENT:
        exact = finite_loss(prior, strategy, 20)
        within(
            f"{prior.kind} {strategy}",
            sampled[strategy].mean,
            exact.value,
            np.hypot(sampled[strategy].error, exact.error),
        )


def test_longer_contexts_never_hurt_and_the_limit_is_below():
    """Losses fall with T towards the limit, bigram below unigram below uniform at T = 100, by more than the errors."""
    losses = [finite_loss(Dirichlet(2), "bigram", t) for t in (1, 5, 25, 100)]
    others = (
        limit_loss(Dirichlet(2), "bigram"),
        finite_loss(Dirichlet(2), "unigram", 100),
        limit_loss(Dirichlet(2), "uniform"),
    )
    ordered = [others[0], *losses[::-1]]
    assert all(high.value - low.value > high.error + low.error for low, high in itertools.pairwise(ordered))
    assert losses[-1].value < others[1].value < others[2].value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: finite_loss(Dirichlet(2), "trigram", 4), "strategy = 'trigram'"),
        (lambda: limit_loss(Dirichlet(2), "bigrams"), "strategy = 'bigrams'"),
        (lambda: finite_loss(Dirichlet(2), "bigram", 0), "context = 0"),
        (lambda: finite_loss(Dirichlet(2), "bigram", 4, pseudo_count=0), "pseudo_count = 0"),
        (lambda: limit_loss(Dirichlet(2), "bigram", tolerance=-1), "tolerance = -1"),
    ],
)
def test_bad_arguments_are_named(call, message):
    """Each bad argument is named with its value."""
    with pytest.raises(ValueError, match=message):
        call()

"""onset.simulate.losses: Monte-Carlo losses against expectations in closed form, and the honesty of their standard
errors.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from onset.simulate import losses
from onset.simulate.losses import strategy_losses
from onset.theory.markov.chains import entropy
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Unigram
from onset.theory.setting import Setting


def bayes_without_memory(t: np.ndarray) -> np.ndarray:
    """Expected loss of unigram after t tokens of a flat memoryless chain, k = 2: N is uniform on 0 … t and the next
    token has the predicted law.
    """
    return np.array([np.mean([entropy([(n + 1) / (s + 2), (s + 1 - n) / (s + 2)]) for n in range(s + 1)]) for s in t])


def test_unigram_without_memory_at_every_position(within):
    """Unigram(2): E loss_t = Σ_n h((n+1)/(t+2))/(t+1), at each position, on the average and at the last; uniform is ln
    2 exactly.
    """
    context = 30
    estimates = strategy_losses(Setting.of(prior=Unigram(2), context=context), 6000, seed=1)
    closed = bayes_without_memory(np.arange(1, context + 1))
    unigram = estimates["unigram"]
    within("by position", unigram.by_position, closed, unigram.by_position_error)
    within(
        "mean and last", [unigram.mean, unigram.last], [closed.mean(), closed[-1]], [unigram.error, unigram.last_error]
    )
    assert estimates["uniform"].mean == pytest.approx(np.log(2), rel=1e-15)
    assert estimates["uniform"].error < 1e-8


def test_first_position_knows_nothing(within):
    """After one token bigram has counted nothing, and its loss is ln k exactly; unigram's is ln(k+1) - Σ_i E π_i P_ii
    ln 2 (doubly stochastic: E = 1/k).
    """
    estimates = strategy_losses(Setting.of(prior=DoublyStochastic(3), context=5), 4000)
    assert estimates["bigram"].by_position[0] == pytest.approx(np.log(3), rel=1e-14)
    within(
        "unigram",
        estimates["unigram"].by_position[0],
        np.log(4) - np.log(2) / 3,
        estimates["unigram"].by_position_error[0],
    )


def test_mean_is_the_average_over_positions():
    """`mean` averages `by_position`; `last` is its last entry; order bigram < unigram < uniform for long flat Dirichlet
    contexts.
    """
    estimates = strategy_losses(Setting.of(prior=Dirichlet(2), context=200), 1000)
    for estimate in estimates.values():
        assert estimate.mean == pytest.approx(estimate.by_position.mean(), rel=1e-12)
        assert (estimate.last, estimate.last_error) == (estimate.by_position[-1], estimate.by_position_error[-1])
    assert estimates["bigram"].mean < estimates["unigram"].mean < estimates["uniform"].mean


def test_standard_errors_are_honest():
    """The spread of 48 independent runs is the reported standard error: their ratio of variances is χ²_47/47."""
    setting = Setting.of(prior=Dirichlet(2), context=10)
    runs = [strategy_losses(setting, 200, seed=seed) for seed in range(48)]
    for name in ("unigram", "bigram"):
        for kind in ("", "last"):
            values = np.array([getattr(run[name], kind or "mean") for run in runs])
            errors = np.array([getattr(run[name], "last_error" if kind else "error") for run in runs])
            ratio = values.var(ddof=1) / np.mean(errors**2) * 47
            p = 2 * min(stats.chi2.cdf(ratio, 47), stats.chi2.sf(ratio, 47))
            print(name, kind, f"variance ratio {ratio / 47:.2f}, p = {p:.3g}")
            assert p > 1e-4


def test_error_falls_with_the_square_root_of_the_count(slope):
    """Standard errors have slope -1/2 in the number of sequences."""
    counts = [500, 2000, 8000]
    errors = [strategy_losses(Setting.of(context=10), count)["bigram"].error for count in counts]
    assert slope(counts, errors) == pytest.approx(-0.5, abs=3 / np.sqrt(2 * counts[0]))


def test_chunks_are_an_implementation_detail(monkeypatch):
    """Progress counts every sequence once, a last short chunk included; one seed, one result."""
    monkeypatch.setattr(losses, "CHUNK", 100)
    calls: list[tuple[int, int]] = []
    setting = Setting.of(context=5)
    estimates = strategy_losses(setting, 250, seed=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(100, 250), (200, 250), (250, 250)]
    again = strategy_losses(setting, 250, seed=3)
    assert all(np.array_equal(np.hstack(estimates[s]), np.hstack(again[s])) for s in estimates)
    assert estimates["bigram"].mean != strategy_losses(setting, 250, seed=4)["bigram"].mean


def test_merged_moments_are_those_of_all_rows():
    """Chunks of unequal size merge to the mean and standard error of all rows at once, without cancellation at a mean
    of 10⁸ spreads.
    """
    rows = 1e8 + np.random.default_rng(0).normal(size=(257, 4))
    moments = losses._Moments(4)
    for part in np.split(rows, [100, 101, 200]):
        moments.add(part)
    estimates, error = moments.estimate(), rows.std(axis=0, ddof=1) / np.sqrt(257)
    np.testing.assert_allclose([*estimates.by_position, estimates.mean], rows.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(
        [*estimates.by_position_error, estimates.error], error, rtol=257 * 1e8 * np.finfo(float).eps
    )
    assert (estimates.last, estimates.last_error) == (estimates.by_position[-1], estimates.by_position_error[-1])


def test_pseudo_count_is_the_concentration_by_default():
    """Left out, it is the prior's; bad counts are named."""
    setting = Setting.of(prior=Dirichlet(2, 0.5), context=10)
    assert strategy_losses(setting, 64)["bigram"].mean == strategy_losses(setting, 64, pseudo_count=0.5)["bigram"].mean
    assert strategy_losses(setting, 64)["bigram"].mean != strategy_losses(setting, 64, pseudo_count=1.0)["bigram"].mean
    with pytest.raises(ValueError, match="sequences = 1"):
        strategy_losses(setting, 1)
    with pytest.raises(ValueError, match="pseudo_count = -1"):
        strategy_losses(setting, 64, pseudo_count=-1)


@pytest.mark.parametrize("states", [2, 8, 20])
def test_memory_of_one_sequence_is_as_estimated(states, monkeypatch):
    """The peak at a context at which a chunk has one sequence, within a fifth of the estimate."""
    estimates, context = [], 20_000
    monkeypatch.setattr(losses, "CHUNK_ENTRIES", context)
    monkeypatch.setattr(losses.costs, "require_memory", lambda _, needed, **sizes: estimates.append(needed(**sizes)))
    setting = Setting.of(states=states, context=context)
    strategy_losses(setting, 2)  # imports and tables
    tracemalloc.start()
    try:
        strategy_losses(setting, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{peak / 1e6:.0f} MB, estimated {estimates[0] / 1e6:.0f}")
    assert peak == pytest.approx(estimates[0], rel=0.2)

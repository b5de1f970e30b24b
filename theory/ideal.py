r"""Expected losses of the ideal strategies: uniform, unigram, bigram; as T → ∞ and at finite T.

As T → ∞ counts concentrate: uniform ln k, unigram E H(π), bigram E Σ_i π_i H(P_i), in nats per token.

At finite T, with pseudo-count α and t tokens seen, the last of them i,

    unigram  -ln (N_j + α)/(t + kα)        bigram  -ln (c_ij + α)/(c_i· + kα).

The logarithm of a ratio splits, so only laws of *single* counts are needed: of N_j, of c_ij and of c_i·, each with the
current state. Each is a linear recursion over positions, exact for any k, in O(T²k²) per chain; the prior is left to
`theory.priors` (quadrature for k = 2, randomised QMC with an error estimate beyond). Exchangeability leaves one state and
one pair of states to follow. Derived here ("split logarithm").
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr, gammaln

from theory import arguments
from theory.chains import Array, entropy, entropy_rate, stationary
from theory.expectations import Expectation, expectation
from theory.priors import Prior
from theory.transitions import STRATEGIES

__all__ = ["finite_loss", "limit_loss"]

BLOCK = 256
"""Chains followed at a time: few enough to stay in a processor's cache."""


def limit_loss(prior: Prior, strategy: str, *, tolerance: float = 1e-3) -> Expectation:
    """Expected loss of `strategy` as T → ∞, in nats per token, with its error estimate.

    Raises
    ------
    ValueError
        If the strategy is unknown, or the error estimate exceeds `tolerance`.
    """
    arguments.one_of("strategy", strategy, STRATEGIES)
    if strategy == "uniform":
        return Expectation(float(np.log(prior.states)), 0.0)
    return expectation(prior, entropy_rate if strategy == "bigram" else _entropy_of_stationary, tolerance=tolerance)


def finite_loss(
    prior: Prior,
    strategy: str,
    context: int,
    *,
    pseudo_count: float | None = None,
    tolerance: float = 2e-3,
    seed: int = 0,
) -> Expectation:
    """Expected loss of `strategy` averaged over positions 1 … T, in nats per token, for stationary starts.

    Parameters
    ----------
    prior : Prior
    strategy : {"uniform", "unigram", "bigram"}
    context : int
        T.
    pseudo_count : float, optional
        By default the prior's concentration.
    tolerance : float
        Largest acceptable error estimate, nats.
    seed : int
        Seed of the randomised QMC (k > 2).

    Raises
    ------
    ValueError
        If an argument is out of range, or the error estimate exceeds `tolerance`.
    """
    arguments.one_of("strategy", strategy, STRATEGIES)
    context = arguments.integer("context", context, least=1)
    alpha = prior.pseudo_count if pseudo_count is None else arguments.positive("pseudo_count", pseudo_count)
    if strategy == "uniform":
        return Expectation(float(np.log(prior.states)), 0.0)
    loss, limit = (_unigram, _unigram_limit) if strategy == "unigram" else (_bigram, _bigram_limit)

    def in_blocks(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda m: np.concatenate([function(m[i : i + BLOCK]) for i in range(0, len(m), BLOCK)])

    if prior.states == 2:
        return expectation(prior, in_blocks(lambda m: loss(m, context, alpha)), tolerance=tolerance)
    # The limit carries most of the variance over chains and is cheap, so it is averaged over many more of them.
    share = tolerance / np.sqrt(2)
    regret = in_blocks(lambda m: loss(m, context, alpha) - limit(m))
    extra = expectation(prior, regret, tolerance=share, seed=seed)
    rest = limit_loss(prior, strategy, tolerance=share)
    return Expectation(rest.value + extra.value, float(np.hypot(rest.error, extra.error)))


def _entropy_of_stationary(transition: Array) -> Array:
    return entropy(stationary(transition))


def _unigram(transition: Array, context: int, alpha: float) -> Array:
    """Σ_j E[P_{x_t j} (ln(t + kα) - ln(N_j + α))], state 0 standing for all j."""
    k = transition.shape[-1]
    arriving = np.zeros((k, k), dtype=bool)
    arriving[:, 0] = True
    logarithm = _expected_log(transition, arriving, transition[:, :, 0], context, alpha, counts_first=True)
    return k * (stationary(transition)[:, 0] * _mean_log_total(context, k, alpha) - logarithm)


def _bigram(transition: Array, context: int, alpha: float) -> Array:
    """Σ_ij P_ij E[1(x_t = i) (ln(c_i· + kα) - ln(c_ij + α))], state 0 and the pairs (0, 0), (0, 1) standing for all."""
    k = transition.shape[-1]
    at_0 = np.zeros(transition.shape[:2])
    at_0[:, 0] = 1.0

    def logarithm(targets: slice, offset: float) -> Array:
        counted = np.zeros((k, k), dtype=bool)
        counted[0, targets] = True
        return _expected_log(transition, counted, at_0, context, offset)

    visits = logarithm(slice(None), k * alpha)
    same, other = (transition[:, 0, j] * (visits - logarithm(slice(j, j + 1), alpha)) for j in (0, 1))
    return k * (same + (k - 1) * other)


def _unigram_limit(transition: Array) -> Array:
    """-Σ_j π_j ln π_j, with the same state standing for all as in `_unigram`."""
    return transition.shape[-1] * entr(stationary(transition)[:, 0])


def _bigram_limit(transition: Array) -> Array:
    """-Σ_ij π_i P_ij ln P_ij, with the same pairs standing for all as in `_bigram`."""
    k = transition.shape[-1]
    return k * stationary(transition)[:, 0] * (entr(transition[:, 0, 0]) + (k - 1) * entr(transition[:, 0, 1]))


def _mean_log_total(context: int, states: int, alpha: float) -> float:
    """(1/T) Σ_t ln(t + kα)."""
    offset = states * alpha + 1
    return float(gammaln(context + offset) - gammaln(offset)) / context


def _expected_log(
    transition: Array, counted: Array, weight: Array, context: int, offset: float, *, counts_first: bool = False
) -> Array:
    """(1/T) Σ_t E[weight(x_t) ln(n_t + offset)], n_t the number of `counted` moves up to token t.

    `counted` (k, k) marks the moves that count, `weight` has shape (n, k), and `counts_first` says that a first token 0 counts too.
    """
    count, k, _ = transition.shape
    law = np.zeros((count, context + 1, k))
    law[:, 0] = stationary(transition)
    if counts_first:
        law[:, 1, 0], law[:, 0, 0] = law[:, 0, 0], 0.0
    logarithm = np.log(np.arange(context + 1) + offset)
    silent, loud = transition * np.logical_not(counted), transition * counted
    total = np.zeros(count)
    for t in range(1, context + 1):
        reach = min(t, context) + 1
        total += np.einsum("nck,c,nk->n", law[:, :reach], logarithm[:reach], weight, optimize=True)
        if t < context:
            moved = law[:, :reach] @ loud
            law[:, :reach] = law[:, :reach] @ silent
            law[:, 1 : reach + 1] += moved
    return total / context

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

import numpy as np
from scipy.special import gammaln

from theory import arguments, priors
from theory.chains import Array, entropy, entropy_rate, stationary
from theory.priors import Expectation, Prior
from theory.transitions import STRATEGIES

__all__ = ["finite_loss", "limit_loss"]


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
    return priors.expectation(
        prior, entropy_rate if strategy == "bigram" else lambda m: entropy(stationary(m)), tolerance=tolerance
    )


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
    loss = _unigram if strategy == "unigram" else _bigram
    return priors.expectation(prior, lambda matrices: loss(matrices, context, alpha), tolerance=tolerance, seed=seed)


def _unigram(transition: Array, context: int, alpha: float) -> Array:
    """Σ_j E[P_{x_t j} (ln(t + kα) - ln(N_j + α))], state 0 standing for all j."""
    k = transition.shape[-1]
    arriving = np.zeros((k, k), dtype=bool)
    arriving[:, 0] = True
    next_is_0 = transition[:, :, 0]
    logarithm = _expected_log(transition, arriving, next_is_0, context, alpha, counts_first=True)
    return _mean_log_total(context, k, alpha) - k * logarithm


def _bigram(transition: Array, context: int, alpha: float) -> Array:
    """Σ_i E[1(x_t = i) (ln(c_i· + kα) - Σ_j P_ij ln(c_ij + α))], state 0 and the pairs (0, 0), (0, 1) standing for all."""
    k = transition.shape[-1]
    at_0 = np.zeros(transition.shape[:2])
    at_0[:, 0] = 1.0
    leaving = np.zeros((k, k), dtype=bool)
    leaving[0] = True
    loss = k * _expected_log(transition, leaving, at_0, context, k * alpha)
    for target, pairs in ((0, k), (1, k * (k - 1))):
        edge = np.zeros((k, k), dtype=bool)
        edge[0, target] = True
        loss -= pairs * _expected_log(transition, edge, at_0 * transition[:, 0, target, None], context, alpha)
    return loss


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

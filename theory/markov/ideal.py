r"""Expected losses of the ideal strategies: uniform, unigram, bigram, …; as T → ∞ and at finite T.

As T → ∞ counts concentrate: uniform ln k, unigram E H(π), bigram E Σ_i π_i H(P_i), in nats per token; for chains of
higher order the m-gram strategy's loss is the entropy of a symbol given the m - 1 before it.

At finite T, with pseudo-count α after t tokens, the last of them i, the losses are

    unigram -ln (N_j + α)/(t + kα),    bigram -ln (c_ij + α)/(c_i· + kα),    trigram -ln (c_hij + α)/(c_hi· + kα), ….

The logarithm of a ratio splits, so only laws of *single* counts are needed: of N_j, of c_ij and of c_i·, each with the
current state. Each is a linear recursion over positions on the chain of histories (`onset.theory.markov.chains.lift`),
exact for any k, in O(T²k²) per chain; a fictitious history before the first token makes the start stationary. Means
over the prior are those of `onset.theory.markov.expectations` (quadrature for k = 2, randomised QMC with an error
estimate beyond). By exchangeability one block of symbols of each pattern is enough. Derived here ("split logarithm").
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from math import perm

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.expectation import Expectation
from onset.theory.markov.chains import block_law, conditional_entropy, history_law, lift, stationary
from onset.theory.markov.expectations import expectation, has_product_rule
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import strategies

__all__ = ["finite_loss", "limit_loss", "limit_losses", "ngram_limit", "ngram_loss", "sum_over_counts"]

CHAINS_TOGETHER = 256
"""Chains evaluated together: few enough to stay in a processor's cache."""

TOLERANCE = 2e-3
"""Largest error of a plateau's loss, nats per token."""


def limit_loss(prior: Prior, strategy: str, *, tolerance: float = 1e-3) -> Expectation:
    """Expected loss of `strategy` as T → ∞, in nats per token, with its error estimate.

    Raises
    ------
    ValueError
        If the strategy is unknown, or the error estimate exceeds `tolerance`.
    """
    order = _order(prior, strategy)
    if order == 0:
        return Expectation(float(np.log(prior.states)), 0.0)
    return expectation(prior, lambda transition: conditional_entropy(transition, order), tolerance=tolerance)


@lru_cache(maxsize=256)
def limit_losses(prior: Prior) -> dict[str, Expectation]:
    """Expected loss of every ideal strategy as T → ∞, in nats per token, by name."""
    return {name: limit_loss(prior, name, tolerance=TOLERANCE) for name in strategies(prior.order)}


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
    strategy : str
        Of `onset.theory.markov.task.strategies` for the prior's order.
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
    order = _order(prior, strategy)
    context, seed = arguments.integer("context", context, least=1), arguments.seed("seed", seed)
    alpha = prior.pseudo_count if pseudo_count is None else arguments.scale("pseudo_count", pseudo_count)
    if order == 0:
        return Expectation(float(np.log(prior.states)), 0.0)
    loss, limit = partial(ngram_loss, context=context, alpha=alpha, order=order), partial(ngram_limit, order=order)

    def in_blocks(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda m: np.concatenate(
            [function(m[i : i + CHAINS_TOGETHER]) for i in range(0, len(m), CHAINS_TOGETHER)]
        )

    if has_product_rule(prior):
        return expectation(prior, in_blocks(loss), tolerance=tolerance)
    # The limit carries most of the variance over chains and is cheap, so it is averaged over many more of them.
    share = tolerance / np.sqrt(2)
    regret = in_blocks(lambda m: loss(m) - limit(m))
    extra = expectation(prior, regret, tolerance=share, seed=seed)
    rest = limit_loss(prior, strategy, tolerance=share)
    return Expectation(rest.value + extra.value, float(np.hypot(rest.error, extra.error)))


def _order(prior: Prior, strategy: str) -> int:
    """m of an m-gram strategy, 0 for uniform."""
    known = strategies(prior.order)
    return known.index(arguments.one_of("strategy", strategy, known))


def _patterns(states: int, length: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Blocks of `length` symbols that differ by more than names, each with the number of blocks that it stands for."""
    for block in itertools.product(range(min(states, length)), repeat=length):
        distinct = 0
        for symbol in block:
            if symbol > distinct:
                break
            distinct = max(distinct, symbol + 1)
        else:
            yield block, perm(states, distinct)


def _ending_with(states: int, rows: int, symbols: tuple[int, ...]) -> NDArray[np.bool_]:
    """Marks the histories, shape (rows,), whose latest symbols are these."""
    code = sum(symbol * states**place for place, symbol in enumerate(reversed(symbols)))
    return np.arange(rows) % states ** len(symbols) == code


def ngram_loss(transition: Array, context: int, alpha: float, *, order: int) -> Array:
    """Loss of the m-gram strategy, m = `order` ≥ 1, averaged over positions 1 … T, nats per token, shape (n,).

    For chains (n, k^{n-1}, k).
    One block of each pattern stands for all: right on the average over an exchangeable prior, not chain by chain.
    """
    rows, states = transition.shape[-2:]
    chain, total = lift(transition), np.zeros(len(transition))
    after: dict[tuple[int, ...], Array] = {}

    def mean_log(here: NDArray[np.bool_], arriving: NDArray[np.bool_], offset: float) -> Array:
        """(1/T) Σ_t E[ln(n_t + offset); x_t = state], n_t the moves from `here` to `arriving` so far."""
        logarithm = np.log(np.arange(context + 1) + offset)
        counted = np.outer(here, arriving)
        return sum_over_counts(chain, counted, context, lambda t: logarithm[: t + 1], first=order) / context

    for (*before, symbol), number in _patterns(states, order):
        history = tuple(before)
        here, arriving = _ending_with(states, rows, history), _ending_with(states, rows, (symbol,))
        if history not in after:
            # How often the history was followed by anything; the empty one by every token.
            after[history] = (
                mean_log(here, np.ones(rows, bool), states * alpha)
                if history
                else history_law(transition) * _mean_log_total(context, states, alpha)
            )
        followed = mean_log(here, arriving, alpha)
        total += number * ((after[history] - followed) * (here * transition[:, :, symbol])).sum(axis=1)
    return total


def ngram_limit(transition: Array, *, order: int) -> Array:
    """The same as T → ∞, with the same blocks standing for all, shape (n,)."""
    states = transition.shape[-1]
    blocks, histories = block_law(transition, order), block_law(transition, order - 1)
    total = np.zeros(len(transition))
    for block, number in _patterns(states, order):
        law, given = blocks[:, *block], histories[:, *block[:-1]]
        total -= number * xlogy(law, np.divide(law, given, out=np.ones_like(law), where=law > 0))
    return total


def _mean_log_total(context: int, states: int, alpha: float) -> float:
    """(1/T) Σ_t ln(t + kα)."""
    offset = states * alpha + 1
    return float(gammaln(context + offset) - gammaln(offset)) / context


def sum_over_counts(
    chain: Array, counted: NDArray[np.bool_], context: int, value: Callable[[int], Array | None], *, first: int
) -> Array:
    """Σ_t E[value(t)[n_t]; x_t = state] for t = 1 … T, shape (n, K).

    n_t is the number of `counted` moves (K, K) that arrive at tokens `first` … t; `value(t)`, shape (t + 1,), may be
    None for zero. A move arrives at token 1 from a fictitious history; it counts if it would from any.
    """
    number, k, _ = chain.shape
    law = np.zeros((number, context + 1, k))
    law[:, 0] = stationary(chain)
    if first == 1:
        always = counted.all(axis=0)
        law[:, 1, always], law[:, 0, always] = law[:, 0, always], 0.0
    uncounted, counted_moves = chain * np.logical_not(counted), chain * counted
    total = np.zeros((number, k))
    for t in range(1, context + 1):
        reached = t + 1
        if (values := value(t)) is not None:
            total += np.einsum("nck,c->nk", law[:, :reached], values)
        if reached < first:
            law[:, :reached] = law[:, :reached] @ chain
        elif t < context:
            moved = law[:, :reached] @ counted_moves
            law[:, :reached] = law[:, :reached] @ uncounted
            law[:, 1 : reached + 1] += moved
    return total

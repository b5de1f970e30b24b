"""Whether a prior of the user's is what the theory assumes: a law of matrices in which all symbols are alike.

The library's own priors are so by construction. Another is sampled once: means of entries, of their squares and
products, and of the stationary law have to be the same for all symbols, and for all pairs of different ones.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.estimates import largest_score
from onset.theory.markov import chains, priors
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Prior, Unigram

__all__ = ["largest_difference", "require_exchangeable"]

MATRICES = 8192
"""Matrices that are sampled: a difference of a fifth of a standard deviation is 18 standard errors."""

FALSE_ALARM = 1e-6
"""Probability that an exchangeable prior is refused, by Bonferroni's bound."""

KNOWN = (Dirichlet, DoublyStochastic, Unigram)


def require_exchangeable(prior: Prior, method: str) -> None:
    """Raise ``ValueError`` unless `prior` gives transition matrices, in law the same when symbols are relabelled."""
    if isinstance(prior, Mixture):
        for component in prior.components:
            require_exchangeable(component, method)
    elif not isinstance(prior, KNOWN):
        z, where, most = _sampled(prior)
        if z > most:
            raise ValueError(
                f"prior = {arguments.shown(prior)}: expected a law that stays the same when symbols are relabelled, "
                f"which {method} assumes, but {where} is {z:.0f} standard errors from its mean over all symbols; train "
                "it, or make its map symmetric."
            )


@lru_cache(maxsize=64)
def _sampled(prior: Prior) -> tuple[float, str, float]:
    """Largest |z|, of what, and the largest that chance allows."""
    shown, shape = arguments.shown(prior), (prior.states ** (prior.order - 1), prior.states)
    given = np.shape(prior.transform(np.full((1, prior.dimension), 0.5))[0])  # type: ignore[union-attr]
    if given != (1, *shape):
        raise ValueError(
            f"prior = {shown}: its map gives one matrix the shape {given}: expected {(1, *shape)}, a row for each "
            "history and a column for each symbol; correct `transform`."
        )
    try:
        return largest_difference(priors.sample(prior, np.random.default_rng(0), MATRICES))
    except ValueError as problem:
        raise ValueError(f"prior = {shown}: its map gives no transition matrices ({problem})") from None


def largest_difference(matrices: Array) -> tuple[float, str, float]:
    """Largest |z| of a statistic of one symbol, or pair, of matrices (n, k^{m}, k) against its mean over all.

    Returns
    -------
    (float, str, float)
        |z|, infinite for a difference without spread; the statistic in words; the |z| that chance reaches with
        probability `FALSE_ALARM`.
    """
    states = matrices.shape[-1]
    law = chains.block_law(matrices, 1)
    first = matrices.reshape(len(matrices), *[states] * chains.order_of(matrices))
    stay = np.stack([first[(slice(None), *[i] * (first.ndim - 1))] for i in range(states)], axis=1)
    # After the same history of one symbol, the next one: P_ij for order 2.
    rows = np.stack([first[(slice(None), *[i] * (first.ndim - 2))] for i in range(states)], axis=1)
    i, j = np.nonzero(~np.eye(states, dtype=bool))
    move, back = rows[:, i, j], rows[:, j, i]
    statistics = {
        "the mean stationary probability of symbol {}": law,
        "the mean square of the stationary probability of symbol {}": law**2,
        "the mean probability to repeat symbol {}": stay,
        "the mean square of the probability to repeat symbol {}": stay**2,
        "the mean probability to go from {} to {}": move,
        "the mean square of the probability to go from {} to {}": move**2,
        "the mean product of going from {} to {} and back": move * back,
    }
    worst, where, count = 0.0, "", 0
    for name, values in statistics.items():
        difference = values - values.mean(axis=1, keepdims=True)
        mean, error = difference.mean(axis=0), difference.std(axis=0) / np.sqrt(len(values))
        mean[np.abs(mean) < np.sqrt(np.finfo(float).eps)] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.nan_to_num(np.abs(mean) / error, posinf=np.inf)
        count += len(z)
        if z.max() > worst:
            worst = float(z.max())
            at = int(z.argmax())
            where = name.format(at) if name.count("{}") == 1 else name.format(int(i[at]), int(j[at]))
    return worst, where, largest_score(FALSE_ALARM, count)

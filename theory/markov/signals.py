r"""What an uninformed model's first gradients are made of: signals of a prior, and correlations within a sequence.

The *signal* of lag m says how much attention to the symbol m before a source tells about what follows the query,

    s_m = E Σ_i π_i² Σ_j (P_ij - p_j) ((P^m)_ij - π_j),

with p the model's prediction: 1/k at the start (reference "uniform"), π on the plateau ("unigram"). At finite context,
signals are limits of correlations between three positions, which `correlations` holds exactly.
`onset.theory.derivations.signals` derives both, `onset.theory.derivations.alternation` the closed forms that are
evaluated here. (The literature's table leaves out the π_j that is subtracted from (P^m)_ij; with reference "uniform"
that adds E Σ_i π_i² Σ_j (P_ij - 1/k) π_j to every lag alike.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from onset.theory import arguments
from onset.theory.arrays import Array, numbers
from onset.theory.derivations import alternation
from onset.theory.expectation import Expectation
from onset.theory.markov.chains import check_transition, lag_matrices, stationary
from onset.theory.markov.expectations import expectation
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Prior, Unigram

__all__ = ["correlations", "repetitions", "signal"]

DIGITS, MOST_DIGITS = 17, 1000
"""Digits of a closed form's value, and of the terms that cancel in it: some 4 log10(lag) times the concentration."""


def signal(
    prior: Prior, lag: int, *, reference: str = "unigram", tolerance: float = 1e-4, seed: int = 0
) -> Expectation:
    """Signal s_lag of `prior`, with an estimate of its error; dimensionless.

    Closed form for two states with Dirichlet rows of whole concentration or doubly stochastic chains, and for chains
    without memory beyond lag 0; otherwise `onset.theory.markov.expectations.expectation`.

    Parameters
    ----------
    prior : Prior
    lag : int
        m ≥ 0, in tokens.
    reference : {"unigram", "uniform"}
        What the model predicts: the stationary law or 1/k.
    tolerance : float
        Largest acceptable error estimate where there is no closed form.
    seed : int
        Scrambles the points that stand for a prior with more than two states.

    Raises
    ------
    ValueError
        Naming a bad argument, or if the expectation does not reach `tolerance`.
    """
    lag = arguments.integer("lag", lag, least=0)
    arguments.one_of("reference", reference, alternation.REFERENCES)
    if isinstance(prior, Mixture):
        options: dict[str, Any] = {"reference": reference, "tolerance": tolerance, "seed": seed}
        return Expectation.mixture((share, signal(part, lag, **options)) for share, part in prior.parts)
    if isinstance(prior, Unigram) and (lag > 0 or reference == "unigram"):
        return Expectation(0.0, 0.0)
    if prior.states == 2 and isinstance(prior, DoublyStochastic):
        return _evaluated(alternation.doubly_stochastic(), lag)
    if prior.states == 2 and isinstance(prior, Dirichlet) and float(prior.concentration).is_integer():
        return _evaluated(alternation.closed_form(reference, int(prior.concentration)), lag)
    return expectation(
        prior,
        lambda matrices: alternation.chain_signals(matrices, lag + 1, reference)[:, lag],
        tolerance=tolerance,
        seed=seed,
    )


def _evaluated(closed: sp.Expr, lag: int) -> Expectation:
    value = float(closed.subs(alternation.m, lag).evalf(DIGITS, maxn=MOST_DIGITS, strict=True))
    return Expectation(value, float(np.spacing(abs(value))))


def correlations(transition: Array, weights: Array, context: int) -> Array:
    r"""Correlations that train layer 2, for positions 1 ≤ q, s ≤ t ≤ T of stationary sequences.

    C[q, s, t] = E Σ_ij Pr(x_q = i, x_s = j, x_t = i) (P_ij - 1/k). The token at q is the one that the query at t holds,
    and the token at s is predicted to follow it: layer 2 is trained by C if its score of source s rises with the symbol
    at q. For s - q = m and s far before t it tends to s_m (reference "uniform") plus a constant.

    Parameters
    ----------
    transition : array, shape (n, k, k)
    weights : array, shape (n,)
        Weights of the chains, summing to one.
    context : int
        T.

    Returns
    -------
    array, shape (T + 1, T + 1, T + 1)
        Index 0 is not a position; zero there and where q or s exceeds t.
    """
    context = arguments.integer("context", context, least=1)
    transition = check_transition(numbers("transition", transition, None, None, None))
    weights = numbers("weights", weights, len(transition), finite=True)
    powers, law = lag_matrices(transition, context), stationary(transition)
    residual = weights[:, None, None] * (transition - 1 / transition.shape[-1])
    # By the lag s - q and the distance t - s; then, for q after s, by q - s and t - q.
    before = law[:, :, None] * residual * powers
    ahead = before.reshape(context, -1) @ powers.swapaxes(-1, -2).reshape(context, -1).T
    after = np.einsum("nj,gnji,nij->gni", law, powers, residual)
    behind = after.reshape(context, -1) @ np.einsum("dnii->dni", powers).reshape(context, -1).T
    q, s, t = np.ogrid[: context + 1, : context + 1, : context + 1]
    # Indices out of range belong to no positions; they are wrapped here and dropped below.
    gap, to_query, to_symbol = (np.maximum(difference, 0) % context for difference in (abs(s - q), t - s, t - q))
    known = np.where(q <= s, ahead[gap, to_query], behind[gap, to_symbol])
    return np.where((q >= 1) & (s >= 1) & (q <= t) & (s <= t), known, 0.0)


def repetitions(transition: Array, weights: Array, context: int) -> Array:
    """Excess probability that a symbol d + 1 later is the same, for d = 0 … T - 1, shape (T,).

    u[d] = E Σ_j π_j (P^{d+1})_jj - 1/k. It tends to E Σ_j π_j² - 1/k, the unigram strategy's signal.
    """
    transition = check_transition(numbers("transition", transition, None, None, None))
    weights = numbers("weights", weights, len(transition), finite=True)
    powers, law = lag_matrices(transition, context + 1), stationary(transition)
    return np.einsum("n,nj,dnjj->d", weights, law, powers[1:]) - weights.sum() / transition.shape[-1]

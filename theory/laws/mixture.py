r"""The linear family on unigram chains mixed into doubly stochastic ones: where its match rests.

Doubly stochastic chains alone have no plateau: counts say nothing, and match and lag 1 grow together
("ballistic-growth"). With a share 1 - w of unigram chains the match rests at Ω = Ω_u + (w/(1 - w)) g/H, where the push
g of the doubly stochastic chains balances the curvature H that the unigram chains give it around their own best match
Ω_u, by which a linear read-out of counts bends its logits towards ln π. From four states on Ω_u is *negative* (with two
and three it is positive, and w_c = 0). Lag 1 is driven by Ω. So

    w > w_c = b/(b + g):             it grows; faster than without unigram chains where Ω is large, slower near w_c,
    w < w_c:                         the plateau drives it down, and the induction head does not form from it,

with b = ∂L/∂Ω ≈ H |Ω_u| of the unigram chains at Ω = 0. g falls like ln T/T, so that w_c tends to one: at long contexts
few unigram chains suffice. Derived here, "mixture-delay".

Range of validity: linear family, SGD as gradient flow, mean field.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from onset.theory import arguments
from onset.theory.derivations.mixture import critical_weight, push, resting_match
from onset.theory.markov.priors import DoublyStochastic, Unigram
from onset.theory.markov.signals import signal
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags

__all__ = ["PRIOR_NODES", "Balance", "balance", "unigram_loss", "unigram_slope"]

PRIOR_NODES = 1024
"""Matrices for each kind of chains: H is so small that Ω_u from 128 would be off by half."""

LARGEST_SCALE = 1e3
"""Largest C at which the best read-out of counts is looked for."""

SIGNAL_TOLERANCE = 1e-4
"""Error of the signals, which are a hundredth or more."""


@dataclass(frozen=True)
class Balance:
    """Where the match rests.

    Attributes
    ----------
    push : float
        g = -∂L/∂Ω of doubly stochastic chains at Ω = 0 and v = 0, nats per token.
    unigram_match : float
        Ω_u, the best match of unigram chains alone.
    stiffness : float
        H: second derivative of their loss by Ω, C following; nats per token.
    match : float
        Ω at the given weight.
    critical : float
        w_c; 0 where any share lets lag 1 grow.
    """

    push: float
    unigram_match: float
    stiffness: float
    match: float
    critical: float


def balance(states: int, context: int, weight: float) -> Balance:
    """Where the match of a mixture of doubly stochastic and unigram chains rests before a lag has grown.

    Parameters
    ----------
    states : int
    context : int
    weight : float
        w in (0, 1), the share of doubly stochastic chains.
    """
    if not 0 < arguments.real("weight", weight) < 1:
        raise ValueError(f"weight = {weight}: expected a share between 0 and 1; give for instance 0.75.")
    gain, unigram_match, stiffness, slope = _constants(states, context)
    match = float(resting_match(gain, unigram_match, stiffness, weight))
    return Balance(gain, unigram_match, stiffness, match, max(0.0, float(critical_weight(gain, slope))))


@lru_cache(maxsize=1024)
def _constants(states: int, context: int) -> tuple[float, float, float, float]:
    """g, Ω_u, H and b."""
    prior = DoublyStochastic(states)
    strengths = [signal(prior, r, reference="uniform", tolerance=SIGNAL_TOLERANCE).value for r in range(LAGS)]
    gain = float(sum(strength * push(context, r) for r, strength in enumerate(strengths)))
    loss, lag_logits = unigram_loss(states, context), np.zeros(LAGS)
    theta = loss.best_match(np.array([1.0, 0.0]), lag_logits)
    hessian = loss.slopes(theta, lag_logits)[:2]
    stiffness = float(hessian[1, 1] - hessian[0, 1] * hessian[1, 0] / hessian[0, 0])
    return gain, float(theta[1]), stiffness, unigram_slope(loss)


def unigram_loss(states: int, context: int, count: int = PRIOR_NODES) -> MatchAndLags:
    """Loss of the linear family on unigram chains alone, with `count` matrices that stand for them."""
    field = LinearMeanField(MarkovChains(Unigram(states), context), lags=LAGS, count=count)
    return MatchAndLags(Unigram(states), context, field)


def unigram_slope(loss: MatchAndLags) -> float:
    """b: ∂L/∂Ω at Ω = 0 and the best C there."""
    lag_logits = np.zeros(LAGS)
    best = brentq(lambda c: loss.gradient(np.array([c, 0.0]), lag_logits)[0], 0.0, LARGEST_SCALE)
    return float(loss.gradient(np.array([best, 0.0]), lag_logits)[1])  # pyright: ignore[reportArgumentType]

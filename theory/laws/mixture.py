r"""What unigram chains mixed into doubly stochastic ones do to the linear family: they hold the match where it does not help, or below zero.

Doubly stochastic chains alone have no plateau: counts say nothing, and match and lag 1 grow together ("ballistic-growth"). With a share 1 - w of unigram chains the match
rests at Ω = Ω_u + (w/(1 - w)) g/H, where the push g of the doubly stochastic chains balances the curvature H that the unigram chains give it around
their own best match Ω_u, by which a linear read-out of counts bends its logits towards ln π. From four states on Ω_u is *negative* (with two and three it
is positive, and w_c = 0). Lag 1 is driven by Ω. So

    w > w_c = b/(b + g):             it grows; faster than without unigram chains where Ω is large, slower near w_c,
    w < w_c:                         the plateau drives it down, and the induction head does not form from it.

with b = ∂L/∂Ω ≈ H |Ω_u| of the unigram chains at Ω = 0. g falls like ln T/T, so that w_c tends to one: at long contexts few unigram chains suffice. Derived here, "mixture-delay".

Range of validity: linear family, SGD as gradient flow, mean field.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from onset.theory import arguments
from onset.theory.derivations.mixture import critical_weight, push, resting_match
from onset.theory.dynamics.flow import flow
from onset.theory.laws.escape import Reduced
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.markov.signals import signal
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting

__all__ = ["Balance", "Delay", "balance", "delay", "unigram_slope"]

NODES = 1024
"""For each kind of chains: H is so small that Ω_u of 128 would be off by half."""

FARTHEST = 1e3
"""C beyond which no read-out of counts is best."""

TOLERANCE = 1e-4
"""Of the signals, which are a hundredth or more."""


@dataclass(frozen=True)
class Balance:
    """Where the match rests.

    Attributes
    ----------
    push : float
        g = -∂L/∂Ω of doubly stochastic chains at Ω = 0 and v = 0, nats per token.
    own : float
        Ω_u, the best match of unigram chains alone.
    stiffness : float
        H: second derivative of their loss by Ω, C following; nats per token.
    match : float
        Ω at the weight asked for.
    critical : float
        w_c; 0 where any share lets lag 1 grow.
    """

    push: float
    own: float
    stiffness: float
    match: float
    critical: float


@dataclass(frozen=True)
class Delay:
    """Formation of the head with and without unigram chains.

    Attributes
    ----------
    weight : float
        w, share of doubly stochastic chains.
    pure, mixed : float or None
        Steps of formation; None if it does not form.
    factor : float or None
        w × mixed/pure: the delay counted in doubly stochastic sequences, at equal signal.
    balance : Balance
    """

    weight: float
    pure: float | None
    mixed: float | None
    factor: float | None
    balance: Balance


def balance(states: int, context: int, weight: float) -> Balance:
    """Where the match of doubly stochastic chains with a share 1 - `weight` of unigram chains rests before a lag has grown.

    Parameters
    ----------
    states : int
    context : int
    weight : float
        w in (0, 1).
    """
    if not 0 < arguments.real("weight", weight) < 1:
        raise ValueError(f"weight = {weight}: expected a share between 0 and 1; give for instance 0.75.")
    gain, own, stiffness, slope = _constants(states, context)
    return Balance(
        gain,
        own,
        stiffness,
        float(resting_match(gain, own, stiffness, weight)),
        max(0.0, float(critical_weight(gain, slope))),
    )


@lru_cache(maxsize=1024)
def _constants(states: int, context: int) -> tuple[float, float, float, float]:
    """g, Ω_u, H and b."""
    prior = DoublyStochastic(states)
    strengths = [signal(prior, r, reference="uniform", tolerance=TOLERANCE).value for r in range(LAGS)]
    gain = float(sum(s * push(context, r) for r, s in enumerate(strengths)))
    reduced, level = Reduced(Unigram(states), context, NODES), np.zeros(LAGS)
    theta = reduced.relax(np.array([1.0, 0.0]), level)
    hessian = reduced.slopes(theta, level)[:2]
    stiffness = float(hessian[1, 1] - hessian[0, 1] * hessian[1, 0] / hessian[0, 0])
    return gain, float(theta[1]), stiffness, unigram_slope(reduced)


def unigram_slope(reduced: Reduced) -> float:
    """b: ∂L/∂Ω at Ω = 0 of chains whose best C is found there."""
    level = np.zeros(LAGS)
    best = brentq(lambda c: reduced.gradient(np.array([c, 0.0]), level)[0], 0.0, FARTHEST)
    return float(reduced.gradient(np.array([best, 0.0]), level)[1])  # pyright: ignore[reportArgumentType]


def delay(setting: Setting, weight: float) -> Delay:
    """By how much a share 1 - `weight` of unigram chains delays the head, integrated in the mean field.

    Parameters
    ----------
    setting : Setting
        Of the linear family under SGD, with the doubly stochastic prior; followed for `setting.training.steps`.
    weight : float
        w in (0, 1).
    """
    arguments.one_of("family of the mixture's delay", setting.model.family, ("linear",))
    arguments.one_of("optimizer of the mixture's delay", setting.training.optimizer.name, ("sgd",))
    if not isinstance(setting.task.prior, DoublyStochastic):
        raise ValueError(
            f"prior = {setting.task.prior}: expected doubly stochastic chains alone; the mixture is made here."
        )
    states = setting.task.states
    found = balance(states, setting.task.context, weight)
    mixture = Mixture((DoublyStochastic(states), Unigram(states)), (weight, 1 - weight))
    pure, mixed = (_formed(one) for one in (setting, setting.replace(prior=mixture)))
    factor = None if pure is None or mixed is None else weight * mixed / pure
    return Delay(weight, pure, mixed, factor, found)


def _formed(setting: Setting) -> float | None:
    field = LinearMeanField.of(setting, count=NODES, generator=np.random.default_rng(0))
    return flow(field, setting.training).transitions()[1].step

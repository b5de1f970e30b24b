r"""The unigram plateau of the linear family as T → ∞: its match, its height, and its drives of the lags.

No lag has grown, f_j = u π_j (C + Ω π_i), and the loss

    L₀(C, Ω) = E Σ_i π_i ∫₀¹ du [ -Σ_j P_ij f_j + ln Σ_j exp f_j ]

is convex in (C, Ω); its minimum is the plateau (C*, Ω*), its value the plateau's height. A linear read-out of counts
cannot be ln π_j at every position, so the height exceeds the ideal unigram loss E H(π). With σ the model there and

    S_r(u) = E Σ_i π_i² Σ_j (P_ij - σ_j(u)) ((P^r)_ij - π_j),

lag r is driven by A_r = Ω* ∫₀¹ S_r du; for lag 1, h = A (ln(T/E) + B) with B = -1 + ∫ S₁ ln u du / ∫ S₁ du. Derived
here, "plateau".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import softmax

from onset.theory.arrays import Array
from onset.theory.markov.chains import entropy, lag_matrices, stationary
from onset.theory.markov.priors import Prior
from onset.theory.mean_fields import linear
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.quadrature import rules

__all__ = ["Plateau", "plateau"]

POSITIONS = 16
"""Nodes of the Gauss-Legendre rule in u."""

NEWTON_STEPS = 50
"""Most steps of Newton's iteration for the match."""

EPS = np.finfo(float).eps
"""Spacing of floating-point numbers at one."""


@dataclass(frozen=True)
class Plateau:
    """The plateau of a prior.

    Attributes
    ----------
    match : array, shape (2,)
        (C*, Ω*).
    height : float
        Loss, nats per token.
    excess : float
        Height above the ideal unigram loss of the same chains, nats per token.
    hessian : array, shape (2, 2)
        Second derivatives of L₀ by (C, Ω). The rates of approach are M hessian, with M of
        `onset.theory.laws.linear.mobility`.
    drives : array, shape (R,)
        A_r of every lag, nats per token.
    offset : float
        B.
    """

    match: Array
    height: float
    excess: float
    hessian: Array
    drives: Array
    offset: float


class _Chains:
    """Chains that stand for the prior, and the loss with no lag grown."""

    def __init__(self, prior: Prior, rule: tuple[Array, Array]) -> None:
        transition, weights = rule
        self.law, self.row = stationary(transition), transition[:, 0, :]
        self.query = self.law[:, 0]
        self.lever = self.query[:, None] * (lag_matrices(transition, LAGS)[:, :, 0, :] - self.law)
        x, w = np.polynomial.legendre.leggauss(POSITIONS)
        self.u, self.measure = (x + 1) / 2, (prior.states * weights * self.query)[:, None, None] * w / 2
        self.times_log = _logarithmic(x, w) / w

    def model(self, match: Array) -> tuple[Array, Array]:
        """The model's law σ, and ∂f/∂(C, Ω) less its mean under σ."""
        pi_i, pi_j = self.query[:, None, None], self.law[:, :, None]
        logits, *slopes, _ = linear.logit_and_slopes(self.u, match[0], match[1], pi_i, pi_j, 0.0)
        model = softmax(logits, axis=1)
        slopes = np.stack(np.broadcast_arrays(*slopes))
        return model, slopes - (slopes * model).sum(axis=2, keepdims=True)

    def residual(self, model: Array) -> Array:
        """P - σ, weighted."""
        return self.measure * (self.row[:, :, None] - model)


def _logarithmic(x: Array, w: Array) -> Array:
    """Weights with which the Gauss-Legendre nodes integrate S(u) ln u over u = (1 + x)/2, exactly as they do S.

    The polynomial through S at the nodes is Σ_n (n + ½) P_n(x) Σ_i w_i P_n(x_i) S_i, and ∫₀¹ P_n(2u - 1) ln u du = -1
    for n = 0, (-1)^{n+1}/(n(n + 1)) beyond.
    """
    n = np.arange(1, len(x))
    moments = np.append(-1.0, (-1.0) ** (n + 1) / (n * (n + 1)))
    return w * (np.polynomial.legendre.legvander(x, len(x) - 1) @ ((2 * np.arange(len(x)) + 1) * moments))


@lru_cache(maxsize=256)
def plateau(prior: Prior) -> Plateau:
    """The plateau of `prior`, by Newton's iteration, on the mean rule of `onset.theory.mean_fields.quadrature`.

    Raises
    ------
    ValueError
        If the loss does not fix the match, as for doubly stochastic matrices, whose stationary law says nothing.
    """
    chains = _Chains(prior, rules(linear.LinearMeanField, prior, LAGS).mean)
    match, hessian = np.array([1.0, 1.0]), np.eye(2)
    for _ in range(NEWTON_STEPS):
        model, slopes = chains.model(match)
        hessian = np.einsum("anjg,bnjg,njg->ab", slopes, slopes, chains.measure * model)
        if np.linalg.eigvalsh(hessian)[0] < EPS:
            raise ValueError(
                f"prior = {prior}: expected stationary laws that differ, but they do not fix the match of the plateau; "
                "predict with the mean field."
            )
        # Σ_j of the residual vanishes, so centred slopes suffice.
        step = np.linalg.solve(hessian, (slopes * chains.residual(model)).sum(axis=(1, 2, 3)))
        match = match + step
        if np.abs(step).max() < np.sqrt(EPS) * (1 + np.abs(match).max()):
            break
    model, _ = chains.model(match)
    signal = np.einsum("rnj,njg->rg", chains.lever, chains.residual(model))
    height = -float((chains.measure * chains.row[:, :, None] * np.log(model)).sum())
    ideal = float(chains.measure.sum(axis=(1, 2)) @ entropy(chains.law))
    offset = -1 + float(signal[1] @ chains.times_log / signal[1].sum())
    return Plateau(match, height, height - ideal, hessian, match[1] * signal.sum(axis=1), offset)

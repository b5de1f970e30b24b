r"""The mean field with its correction for finite context: loss, gradient and distances of both toy families.

Given x_t = i the next token is independent of what came before. So with m and K the mean and covariance of the logits f, given
P and x_t = i, the loss of a position is

    -Σ_j P_ij m_j + E lse(f),    E lse(f) ≈ lse(m) + ½ Σ_jl H_jl K_jl,    H = diag(σ) - σσᵀ,  σ = softmax(m).

The mean field has K = 0 and the limit of m. Here m and K come from `onset.theory.mean_fields.corrected.moments`. What is left out are the third and
higher cumulants of f: of relative order 1/T², but not small where a chain mixes about as slowly as the context is long. The first few
positions are followed sequence by sequence instead, see `onset.theory.mean_fields.corrected.early`.

Distances are those to the strategies *at finite context*. Predictions of the bigram strategy are posterior means, so that they may be replaced
by the rows P_i when averaged with what depends on the tokens only (but for the little that a stationary first token tells), also in
the entropy. Those of the unigram strategy are linear in the counts N_j, whose covariance with f is known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from scipy.special import entr

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Gradient, Layout, last_attention
from onset.theory.markov import ideal
from onset.theory.markov.chains import entropy
from onset.theory.markov.expectations import calibrated_nodes, smooth
from onset.theory.mean_fields.corrected.early import Early, reach
from onset.theory.mean_fields.corrected.moments import Memory, Moments, positions
from onset.theory.mean_fields.limit import signals
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["COUNT", "LAGS", "Corrected", "Link", "logit_loss"]

LAGS = 6
FOLLOWED = 3
"""Counts, and lags 1 and 2: what of the memory fluctuates."""
COUNT = 128
EVEN = 4
"""Times as many points, spread evenly, that distances are means over (k > 2): the strategies' distances cross where both are alike, and few points move that by a tenth."""

Pullback = Callable[[Array], Array]
"""From ∂L/∂w of the sources' weights to ∂L/∂(match, lag logits)."""
EarlyPullback = Callable[[Array], tuple[Array, Array]]
"""From ∂L/∂f to ∂L/∂z and ∂L/∂(match, readout)."""


class Link(NamedTuple):
    """Mean and covariance of the logits, and the map from ∂L/∂m, ∂L/∂K to ∂L/∂w and ∂L/∂readout."""

    mean: Array
    covariance: Array
    pullback: Callable[[Array, Array], tuple[Array, Array]]


def logit_loss(mean: Array, covariance: Array, row: Array) -> tuple[Array, Array, Array, Array]:
    """-Σ_j P_j m_j + lse(m) + ½ tr H K for logits (..., k), its last two terms alone, and its derivatives by m and K."""
    highest = mean.max(axis=-1, keepdims=True)
    model = np.exp(mean - highest)
    total = model.sum(axis=-1, keepdims=True)
    model /= total
    variance = np.einsum("...jj->...j", covariance)
    along = (covariance @ model[..., None])[..., 0]
    spread = (model * along).sum(axis=-1)
    level = (model * variance).sum(axis=-1)
    log_total = (highest + np.log(total))[..., 0] + (level - spread) / 2
    by_mean = model * (1 + (variance - level[..., None]) / 2 - along + spread[..., None])
    by_covariance = (np.eye(mean.shape[-1]) * model[..., None] - model[..., :, None] * model[..., None, :]) / 2
    return log_total - (row * mean).sum(axis=-1), log_total, by_mean - row, by_covariance


class Corrected(ABC):
    """Population loss of a toy family at context T in the coordinates of `onset.theory.dynamics.layout.Layout` with `lags` lag logits.

    Parameters
    ----------
    setting : Setting
    lags : int
        Number R ≥ 2 of tracked lags.
    count : int
        Points that stand for the prior.
    followed : int
        Of the memory, how much fluctuates: the count and `followed` - 1 lags.
    generator : numpy Generator, optional
        Scrambles them (k > 2).
    """

    def __init__(
        self,
        setting: Setting,
        *,
        lags: int = LAGS,
        count: int = COUNT,
        followed: int = FOLLOWED,
        generator: np.random.Generator | None = None,
    ) -> None:
        lags = arguments.integer("lags", lags, least=2)
        if lags > setting.task.context:
            raise ValueError(
                f"lags = {lags} at context = {setting.task.context}: expected at most one lag per token; track {setting.task.context}."
            )
        setting.task.require_first_order("the corrected mean field")
        self.setting = setting
        self.followed = min(followed, lags)
        self.layout = Layout.of(setting, lags)
        self._last = reach(setting.task.states, setting.task.context)
        self.at, self.position_share = positions(setting.task.context, self._last)
        self._sources = np.arange(1.0, setting.task.context + 1)
        self.settle(count, generator)

    def settle(self, count: int, generator: np.random.Generator | None) -> None:
        """Choose what stands for the prior, and what distances are means over."""
        even = None if smooth(self.setting.task.prior) else self.calibrated(EVEN * count, generator)
        self.stand_for(*self.chosen(count, generator))
        self._even = even

    def calibrated(self, count: int, generator: np.random.Generator | None) -> tuple[Array, Array]:
        """Matrices spread evenly over the prior, and their weights."""
        return calibrated_nodes(self.setting.task.prior, count, partial(signals, lags=LAGS), generator)

    def chosen(self, count: int, generator: np.random.Generator | None) -> tuple[Array, Array]:
        """Matrices that the gradient is a mean over, and their weights."""
        return self.calibrated(count, generator)

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k, k) with weights (n,) that sum to one."""
        self.early = Early(
            transition, weights, self._last, self.setting.task.context, self.setting.task.prior.pseudo_count
        )
        self.remember(transition)
        self.chains = weights
        self.weights = self.setting.task.states * weights * self.memory.law[0]
        self.share = self.position_share[:, None] * self.weights
        self._strategies: tuple[float, float, Moments] | None = None
        self._even: tuple[Array, Array] | None = None
        self._gauge: Self | None = None

    def remember(self, transition: Array) -> None:
        """Replace the chains, shape (n, k, k), beyond the early positions."""
        lags = len(self.layout.start[self.layout.lags])
        self.memory = Memory(transition, lags, self.followed, self.setting.task.context, self.at)
        self.row = transition[:, 0, :]
        self._existing = (self._sources[:, None] > np.arange(lags)).astype(float)

    def losses(self, point: Array) -> Array:
        """What each chain adds to the loss beyond the early positions, shape (n,), per weight."""
        mean, covariance, _ = self.link(self.moments(point), point)
        found = self.position_share @ logit_loss(mean, covariance, self.row)[0]
        return self.setting.task.states * self.memory.law[0] * found

    @abstractmethod
    def source(self, point: Array) -> tuple[Array, Pullback]:
        """w (X, T, k, n) of `Moments`."""

    @abstractmethod
    def early_logits(self, seen: Array, point: Array) -> tuple[Array, EarlyPullback]:
        """f (q, k) of the sequences of `early`, whose sources give state 0 the attention `seen` (q, last)."""

    @abstractmethod
    def link(self, found: Moments, point: Array) -> Link:
        """m and K of the logits."""

    @abstractmethod
    def with_counts(self, found: Moments, cross: Array, point: Array) -> Array:
        """Cov(N_j, f_j | x_t = 0) (positions, n, k), from Cov(S_j, N_l) + Cov(N_j, S_l), (…, k, k)."""

    def normaliser(self, point: Array) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
        """e^{v_r} - 1 (R,); 1/(s + Σ_{r<s} (e^{v_r} - 1)), shape (T,), the weight that source s gives an untracked lag; and the map from
        derivatives by these to ∂L/∂v."""
        weight = np.exp(point[self.layout.lags])
        inverse = 1 / (self._sources + self._existing @ (weight - 1))
        return (
            weight - 1,
            inverse,
            lambda by_excess, by_inverse: weight * (by_excess - (inverse**2 * by_inverse) @ self._existing),
        )

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        weights, by_source = self.source(point)
        found = Moments(self.memory, weights)
        mean, covariance, by_sums = self.link(found, point)
        loss, _, by_mean, by_covariance = logit_loss(mean, covariance, self.row)
        share = self.share[..., None]
        by_weights, by_readout = by_sums(by_mean * share, by_covariance * share[..., None])
        by_source_point = by_source(by_weights)
        seen, by_shown = self.early.first_layer(point[self.layout.lags])
        logits, by_early = self.early_logits(seen, point)
        early, by_logits = self.early.loss(logits)
        by_seen, by_matrices = by_early(by_logits)
        derivative = np.concatenate([by_source_point[:2], by_readout, by_source_point[2:] + by_shown(by_seen)])
        derivative[: len(by_matrices)] += by_matrices
        return Gradient(early + float((self.share * loss).sum()), derivative)

    def moments(self, point: Array) -> Moments:
        return Moments(self.memory, self.source(point)[0])

    def measure(self, point: Array) -> Measurement:
        if self._even is not None:
            self._gauge = copy(self)
            self._gauge.stand_for(*self._even)
            self._even = None
        return self._measured(point) if self._gauge is None else self._gauge.measure(point)

    def _measured(self, point: Array) -> Measurement:
        found = self.moments(point)
        mean, covariance, _ = self.link(found, point)
        loss, log_total, _, _ = logit_loss(mean, covariance, self.row)
        loss, log_total = float((self.share * loss).sum()), float((self.share * log_total).sum())
        constant = np.zeros_like(found.weights)
        constant[0] = 1.0
        if self._strategies is None:
            self._strategies = *self._own_entropies(), Moments(self.memory, constant)
        bigram, unigram, counts = self._strategies
        cross = Moments(self.memory, found.weights + constant).covariance - found.covariance - counts.covariance
        alpha, k = self.setting.task.prior.pseudo_count, self.setting.task.states
        together = self.with_counts(found, cross, point) + (counts.mean + alpha) * mean
        told = float((self.share * together.sum(axis=-1) / (self.at[:, None] + k * alpha)).sum())
        distances = {
            "uniform": log_total - float((self.share * mean.mean(axis=-1)).sum()) - float(np.log(k)) * self.share.sum(),
            "unigram": log_total - told - unigram,
            "bigram": loss - bigram,
        }
        logits, _ = self.early_logits(self.early.first_layer(point[self.layout.lags])[0], point)
        loss += self.early.loss(logits)[0]
        distances = {name: d + distances[name] for name, d in self.early.distances(logits).items()}
        return Measurement(loss, distances, last_attention(point[self.layout.lags], self.setting.task.context)[None])

    def _own_entropies(self) -> tuple[float, float]:
        """Mean entropy of what the bigram and the unigram strategy predict beyond the early positions, nats per token."""
        transition, context, alpha = (
            self.memory.transition,
            self.setting.task.context,
            self.setting.task.prior.pseudo_count,
        )
        regret = ideal.ngram_loss(transition, context, alpha, order=2) - ideal.ngram_limit(transition, order=2)
        bigram = float(self.weights @ entropy(self.row) + self.chains @ regret) - self.early.bigram_loss
        # Σ_j E h((N_j + α)/(t + kα)), state 0 standing for all; law of N_0(t), t = at, and of the present symbol.
        count, k, _ = transition.shape
        law = np.zeros((count, context + 1, k))
        law[:, 0] = self.memory.law.T
        law[:, 1, 0], law[:, 0, 0] = law[:, 0, 0], 0.0
        total = 0.0
        for t in range(1, context + 1):
            if t > 1:
                law = law @ transition
                law[:, 1:, 0], law[:, 0, 0] = law[:, :-1, 0].copy(), 0.0
            for n in np.flatnonzero(self.at == t):
                frequency = (np.arange(context + 1) + alpha) / (t + k * alpha)
                own = np.where(np.arange(context + 1) <= t, entr(frequency), 0.0)
                total += self.position_share[n] * float(self.chains @ (law.sum(axis=-1) @ own))
        return bigram, k * total

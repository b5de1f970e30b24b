r"""The mean field with its correction for finite context: loss, gradient and distances of both toy families.

Given x_t = i the next token is independent of what came before. So with m and K the mean and covariance of the logits
f, given P and x_t = i, the loss of a position is

    -Σ_j P_ij m_j + E lse(f),    E lse(f) ≈ lse(m) + ½ Σ_jl H_jl K_jl,    H = diag(σ) - σσᵀ,  σ = softmax(m).

The mean field has K = 0 and the limit of m. Here m and K come from `onset.theory.mean_fields.corrected.moments`. What
is left out are the third and higher cumulants of f: of relative order 1/T², but not small where a chain mixes about as
slowly as the context is long. The first few positions are followed sequence by sequence instead, see
`onset.theory.mean_fields.corrected.early`.

Distances are those to the strategies *at finite context*. Predictions of the bigram strategy are posterior means, so
that they may be replaced by the rows P_i when averaged with what depends on the tokens only (but for the little that a
stationary first token tells), also in the entropy. Those of the unigram strategy are linear in the counts N_j, whose
covariance with f is known.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import ClassVar, NamedTuple, Self

import numpy as np
from scipy.special import entr

from onset.theory import costs
from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Gradient, last_attention
from onset.theory.markov import ideal
from onset.theory.markov.chains import entropy
from onset.theory.markov.expectations import calibrated_nodes, has_product_rule
from onset.theory.markov.task import MarkovChains, require_first_order
from onset.theory.mean_fields.base import LAGS, PopulationLoss, signals, softmax
from onset.theory.mean_fields.corrected.early import Early, reach
from onset.theory.mean_fields.corrected.moments import NODES, Memory, Moments, positions
from onset.theory.recording import Measurement

__all__ = ["COUNT", "Corrected", "Link", "logit_loss"]

FOLLOWED = 3
"""Fluctuating parts of the memory: the running count, and lags 1 and 2."""

COUNT = 128
"""Default number of matrices that stand for the prior."""

MEASURING_FACTOR = 4
"""Matrices that distances are means over, per matrix that the gradient is a mean over (k > 2).

The strategies' distances cross where both are alike, and few matrices move that by a tenth.
"""

MEASURING_OVERHEAD = 1.13
"""Memory of a measurement, relative to that of a gradient (measured)."""

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
    """Loss -Σ_j P_j m_j + lse(m) + ½ tr H K of logits (..., k); its last two terms; its derivatives by m and K."""
    model, log_total = softmax(mean, axis=-1)
    variance = np.einsum("...jj->...j", covariance)
    along = (covariance @ model[..., None])[..., 0]
    spread = (model * along).sum(axis=-1)
    level = (model * variance).sum(axis=-1)
    log_total = log_total + (level - spread) / 2
    by_mean = model * (1 + (variance - level[..., None]) / 2 - along + spread[..., None])
    by_covariance = (np.eye(mean.shape[-1]) * model[..., None] - model[..., :, None] * model[..., None, :]) / 2
    return log_total - (row * mean).sum(axis=-1), log_total, by_mean - row, by_covariance


class Corrected(PopulationLoss):
    """Population loss of a toy family at context T.

    `more_per_state` is the number of further arrays (T, k, n) of a family, for the estimate of memory.

    Parameters
    ----------
    task, initialization, lags
        As in `onset.theory.mean_fields.base.PopulationLoss`; 2 ≤ R ≤ T.
    count : int
        Matrices that stand for the prior.
    followed : int
        Fluctuating parts of the memory: the running count and `followed` - 1 lags.
    generator : numpy Generator, optional
        Scrambles the matrices (k > 2).
    rule : (array, array), optional
        Matrices and weights that stand for the prior instead, see `stand_for`.
    """

    more_per_state: ClassVar[int] = 0

    def __init__(
        self,
        task: MarkovChains,
        initialization: Mapping[str, float] | None = None,
        *,
        lags: int = LAGS,
        count: int = COUNT,
        followed: int = FOLLOWED,
        generator: np.random.Generator | None = None,
        rule: tuple[Array, Array] | None = None,
    ) -> None:
        super().__init__(task, initialization, lags)
        if lags > task.context:
            raise ValueError(
                f"lags = {lags} at context = {task.context}: expected at most one lag per token; track {task.context}."
            )
        require_first_order(task, "the corrected mean field")
        self.followed = min(followed, lags)
        self.require_memory(task, len(rule[0]) if rule else count, lags=lags, followed=followed)
        self._last = reach(task.states, task.context)
        self.at, self.position_share = positions(task.context, self._last)
        self._sources = np.arange(1.0, task.context + 1)
        measuring = None if has_product_rule(task.prior) else self.calibrated(MEASURING_FACTOR * count, generator)
        self.stand_for(*rule or self.chosen(count, generator))
        self._measuring_nodes = measuring

    @classmethod
    def require_memory(cls, task: MarkovChains, count: int, *, lags: int = LAGS, followed: int = FOLLOWED) -> None:
        """Raise ``ValueError`` unless the arrays along the context of `Memory` and `Moments` fit into memory."""
        k, size = task.states, 1 + min(followed, lags)
        kept = size**2 * k + (NODES + lags) * k
        of_pass = kept + 2 * size * k**2 + 3 * k * (k + 2) + (5 * size + cls.more_per_state) * k
        if has_product_rule(task.prior):
            numbers = MEASURING_OVERHEAD * of_pass
        else:
            numbers = kept + MEASURING_FACTOR * MEASURING_OVERHEAD * of_pass
        costs.require_memory(
            "the corrected mean field", lambda context: 8.0 * count * numbers * context, context=task.context
        )

    def calibrated(self, count: int, generator: np.random.Generator | None) -> tuple[Array, Array]:
        """Matrices spread evenly over the prior, and their weights."""
        return calibrated_nodes(self.task.prior, count, partial(signals, lags=LAGS), generator)

    def chosen(self, count: int, generator: np.random.Generator | None) -> tuple[Array, Array]:
        """Matrices that the gradient is a mean over, and their weights."""
        return self.calibrated(count, generator)

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k, k) with weights (n,) that sum to one."""
        self.early = Early(transition, weights, self._last, self.task.context, self.task.prior.pseudo_count)
        self.remember(transition)
        self.node_weights = weights
        self.weights = self.task.states * weights * self.memory.law[0]
        self.share = self.position_share[:, None] * self.weights
        # Computed at the first measurement.
        self._strategies: tuple[float, float, Moments] | None = None
        self._measuring_nodes: tuple[Array, Array] | None = None
        self._measuring: Self | None = None

    def remember(self, transition: Array) -> None:
        """Replace the chains, shape (n, k, k), beyond the early positions."""
        self.memory = Memory(transition, self.lags, self.followed, self.task.context, self.at)
        self.row = transition[:, 0, :]
        self._existing = (self._sources[:, None] > np.arange(self.lags)).astype(float)

    def losses(self, point: Array) -> Array:
        """Contribution of each chain to the loss beyond the early positions, shape (n,), per weight."""
        mean, covariance, _ = self.link(self.moments(point), point)
        return self.task.states * self.memory.law[0] * (self.position_share @ logit_loss(mean, covariance, self.row)[0])

    @abstractmethod
    def source(self, point: Array) -> tuple[Array, Pullback]:
        """w (X, T, k, n) of `Moments`."""

    @abstractmethod
    def early_logits(self, attention: Array, point: Array) -> tuple[Array, EarlyPullback]:
        """Logits (q, k) of the sequences of `early`; `attention` (q, last) is that of their sources on state 0."""

    @abstractmethod
    def link(self, moments: Moments, point: Array) -> Link:
        """m and K of the logits."""

    @abstractmethod
    def with_counts(self, moments: Moments, cross: Array, point: Array) -> Array:
        """Cov(N_j, f_j | x_t = 0) (positions, n, k), from Cov(S_j, N_l) + Cov(N_j, S_l), (…, k, k)."""

    def normaliser(self, point: Array) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
        """Parts of the layer-1 weights.

        e^{v_r} - 1 (R,); 1/(s + Σ_{r<s} (e^{v_r} - 1)), shape (T,), the weight that source s gives an untracked lag;
        and the map from derivatives by these to ∂L/∂v.
        """
        weight = np.exp(point[self.layout.lags])
        inverse = 1 / (self._sources + self._existing @ (weight - 1))
        return (
            weight - 1,
            inverse,
            lambda by_excess, by_inverse: weight * (by_excess - (inverse**2 * by_inverse) @ self._existing),
        )

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        weights, by_source = self.source(point)
        moments = Moments(self.memory, weights)
        mean, covariance, by_sums = self.link(moments, point)
        loss, _, by_mean, by_covariance = logit_loss(mean, covariance, self.row)
        share = self.share[..., None]
        by_weights, by_readout = by_sums(by_mean * share, by_covariance * share[..., None])
        by_source_point = by_source(by_weights)
        attention, by_lag_logits = self.early.first_layer(point[self.layout.lags])
        logits, by_early = self.early_logits(attention, point)
        early_loss, by_logits = self.early.loss(logits)
        by_attention, by_matrices = by_early(by_logits)
        derivative = np.concatenate(
            [by_source_point[:2], by_readout, by_source_point[2:] + by_lag_logits(by_attention)]
        )
        derivative[: len(by_matrices)] += by_matrices
        return Gradient(early_loss + float((self.share * loss).sum()), derivative)

    def moments(self, point: Array) -> Moments:
        return Moments(self.memory, self.source(point)[0])

    def measure(self, point: Array) -> Measurement:
        if self._measuring_nodes is not None:
            self._measuring = copy(self)
            self._measuring.stand_for(*self._measuring_nodes)
            self._measuring_nodes = None
        return (self._measuring or self)._measure(point)

    def _measure(self, point: Array) -> Measurement:
        moments = self.moments(point)
        mean, covariance, _ = self.link(moments, point)
        loss, log_total = (float((self.share * part).sum()) for part in logit_loss(mean, covariance, self.row)[:2])
        constant = np.zeros_like(moments.weights)
        constant[0] = 1.0
        if self._strategies is None:
            self._strategies = *self._strategy_entropies(), Moments(self.memory, constant)
        bigram, unigram, counts = self._strategies
        cross = Moments(self.memory, moments.weights + constant).covariance - moments.covariance - counts.covariance
        alpha, k = self.task.prior.pseudo_count, self.task.states
        products = self.with_counts(moments, cross, point) + (counts.mean + alpha) * mean
        unigram_mean = float((self.share * products.sum(axis=-1) / (self.at[:, None] + k * alpha)).sum())
        uniform_mean = float((self.share * mean.mean(axis=-1)).sum())
        distances = {
            "uniform": log_total - uniform_mean - float(np.log(k)) * self.share.sum(),
            "unigram": log_total - unigram_mean - unigram,
            "bigram": loss - bigram,
        }
        logits, _ = self.early_logits(self.early.first_layer(point[self.layout.lags])[0], point)
        loss += self.early.loss(logits)[0]
        distances = {name: d + distances[name] for name, d in self.early.distances(logits).items()}
        return Measurement(loss, distances, last_attention(point[self.layout.lags], self.task.context)[None])

    def _strategy_entropies(self) -> tuple[float, float]:
        """Mean entropy of the bigram and unigram strategies' predictions beyond the early positions, nats per token."""
        transition, context, alpha = self.memory.transition, self.task.context, self.task.prior.pseudo_count
        regret = ideal.ngram_loss(transition, context, alpha, order=2) - ideal.ngram_limit(transition, order=2)
        bigram = float(self.weights @ entropy(self.row) + self.node_weights @ regret) - self.early.bigram_loss
        # Σ_j E h((N_j + α)/(t + kα)), state 0 standing for all.
        k, shares = self.task.states, dict(zip(self.at.tolist(), self.position_share, strict=True))

        def entropy_of_count(t: int) -> Array | None:
            return shares[t] * entr((np.arange(t + 1) + alpha) / (t + k * alpha)) if t in shares else None

        arrives = np.broadcast_to(np.arange(k) == 0, (k, k))
        by_state = ideal.sum_over_counts(transition, arrives, context, entropy_of_count, first=1)
        return bigram, k * float(self.node_weights @ by_state.sum(axis=1))

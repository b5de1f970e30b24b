r"""The limit T → ∞ that both toy families share.

Put u = t/T ∈ (0, 1]. Counts concentrate: the source u' of a token holds symbol j with frequency π_j, and the symbol r
before it, given that, follows the reversed chain. A few lags r < R are tracked with their logits v_r, the others keep
v = 0 and form a background of π, so that layer 1 gives lag r of source s = u'T the weight

    a_r(u') = q_r / (Q + u'),    q_r = e^{v_r}/T,    Q = Σ_{r<R} (e^{v_r} - 1)/T      (s > R; fewer lags exist before).

A family turns that into logits f_j(u; i) for the query state i at position u. The loss is

    L = E_P Σ_i π_i ∫₀¹ du [ -Σ_j P_ij f_j + log Σ_j exp f_j ],

where exchangeability of the prior lets one query state stand for all.

Positions and sources are those of `onset.theory.mean_fields.positions`. What the limit neglects, the fluctuations of
counts, is of relative order 1/T in the linear family and is stated by `onset.theory.mean_fields.predict`.

Everything is evaluated for several points of several rules at once, arrays (rules, points, ...): a prediction's
replicates and the columns of a Jacobian are one array program.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.flow import Measured
from onset.theory.dynamics.layout import Gradient, last_attention
from onset.theory.markov.chains import entropy, stationary
from onset.theory.markov.expectations import calibrated_nodes
from onset.theory.markov.task import MarkovChains, require_first_order
from onset.theory.mean_fields.base import LAGS, PopulationLoss, query_powers, signals
from onset.theory.recording import Measurement

__all__ = ["Logits", "MeanField"]

NODES = 256
"""Default number of matrices that stand for the prior."""

SAFE_LOGIT = 300.0
"""Logits up to this size are exponentiated as they are."""

CACHED_LOGITS = 1 << 11
"""Logits per position that are computed together, so that they stay in a processor's cache."""


class Logits(NamedTuple):
    """Logits of a family.

    Attributes
    ----------
    values : array, shape (rules, points, symbols, prior nodes, positions)
    weights : array, shape (positions,) or (rules, points, positions)
        Weights of the positions.
    pullback : callable
        From ∂L/∂f, per weight of a position, to ∂L/∂points.
    """

    values: Array
    weights: Array
    pullback: Callable[[Array], Array]


class MeanField(PopulationLoss):
    """Population loss of a toy family as T → ∞.

    Parameters
    ----------
    task, initialization, lags
        As in `onset.theory.mean_fields.base.PopulationLoss`; R ≥ 2.
    count : int
        Matrices that stand for the prior.
    generator : numpy Generator, optional
        Scrambles them (k > 2).
    rule : tuple of arrays, optional
        Matrices and weights that stand for the prior instead, see `stand_for`.
    """

    def __init__(
        self,
        task: MarkovChains,
        initialization: Mapping[str, float] | None = None,
        *,
        lags: int = LAGS,
        count: int = NODES,
        generator: np.random.Generator | None = None,
        rule: tuple[Array, Array] | None = None,
    ) -> None:
        super().__init__(task, initialization, lags)
        require_first_order(task, "this mean field")
        self.stand_for(*rule or calibrated_nodes(task.prior, count, partial(signals, lags=lags), generator))

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k, k) with weights (n,) that sum to one, or by rules, (rules, n, ...)."""
        k = self.task.states
        self.node_weights = weights
        self.transition, self.stationary, self.row = transition, stationary(transition), transition[..., 0, :]
        self.query = self.stationary[..., 0]
        self.weights = k * weights * self.query
        powers = np.moveaxis(query_powers(transition, self.lags), 0, -1)
        self.deviation = powers - self.stationary[..., None]
        laws = (np.full_like(self.row, 1 / k), self.stationary, self.row)  # uniform, unigram, bigram
        # Each strategy's law with the nodes' weights, (rules, 1, k, n), and its mean entropy, (rules, 1, strategies).
        self._laws = [self._by_symbol(self.weights[..., None] * law) for law in laws]
        entropies = [(self.weights * entropy(law)).reshape(self.replicates, 1, -1).sum(axis=-1) for law in laws]
        self._entropies = np.stack(entropies, axis=-1)
        self._target = self._laws[-1][..., None]
        self._share = self.weights.reshape(self.replicates, 1, -1, 1)
        self._prepare(powers)

    @classmethod
    def matrices(cls, states: int) -> int:
        """Matrices of a rule that stands for a prior over more than two states to about a percent of the drive."""
        return 1 << 11

    @property
    def replicates(self) -> int:
        """Number of rules."""
        return 1 if self.weights.ndim == 1 else len(self.weights)

    def _by_symbol(self, values: Array) -> Array:
        """(…, n, k) as (rules, 1, k, n): one point, symbols before nodes."""
        return np.ascontiguousarray(values.reshape(self.replicates, 1, -1, values.shape[-1]).swapaxes(-1, -2))

    @abstractmethod
    def _prepare(self, powers: Array) -> None:
        """Compute what a family needs of the rules; `powers` are (P^r)_0j, shape (…, n, k, R)."""

    @abstractmethod
    def logits(self, points: Array) -> Logits:
        """Logits at points (rules, points, p), or (1, points, p) if the rules share them."""

    def _parts(self, points: Array) -> list[Array]:
        together = max(1, CACHED_LOGITS // self.row.size)
        return [points[:, n : n + together] for n in range(0, points.shape[1], together)]

    def derivatives(self, points: Array) -> Array:
        """∂L/∂point, shape (rules, points, p), of points (rules, points, p); (1, points, p) if the rules share them."""
        if len(parts := self._parts(points)) > 1:
            return np.concatenate([self.derivatives(part) for part in parts], axis=1)
        logits, _, pullback = self.logits(points)
        return pullback(self._residual(*_exponentials(logits)[:2]))

    def _residual(self, model: Array, total: Array) -> Array:
        """∂L/∂f per weight of a position, in place of `model`, which still lacks the factor 1/total."""
        model *= (self._share / total)[..., None, :, :]
        model -= self._target
        return model

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        """Loss and gradient at one point, with one rule."""
        logits, weights, pullback = self.logits(point[None, None])
        model, total, shift = _exponentials(logits)
        by_node = self._share * (shift + np.log(total)) - (self._target * logits).sum(axis=-3)
        return Gradient(float((by_node @ weights[..., None]).sum()), pullback(self._residual(model, total))[0, 0])

    def measures(self, points: Array) -> Measured:
        """Measurements at points (rules, points, p)."""
        if len(parts := self._parts(points)) > 1:
            return Measured(*(np.concatenate(part, axis=1) for part in zip(*map(self.measures, parts), strict=True)))
        logits, weights, _ = self.logits(points)
        _, total, shift = _exponentials(logits)
        # Mean over positions of the logarithm of the model's law, shape (rules, points, symbols, prior nodes).
        log_model = ((logits - (shift + np.log(total))[..., None, :, :]) @ weights[..., None, :, None])[..., 0]
        cross_entropies = np.stack([-(law * log_model).sum(axis=(-1, -2)) for law in self._laws], axis=-1)
        attention = last_attention(points[..., self.layout.lags], self.task.context)
        return Measured(cross_entropies[..., -1], cross_entropies - self._entropies, attention[..., None, :])

    def measure(self, point: Array) -> Measurement:
        """Measurement at one point, with one rule."""
        loss, distances, attention = (part[0, 0] for part in self.measures(point[None, None]))
        return Measurement(
            float(loss), dict(zip(self.task.strategies, distances.tolist(), strict=True)), np.asarray(attention)
        )


def _exponentials(logits: Array) -> tuple[Array, Array, Array | float]:
    """e^{f - shift}, its sum over symbols, shape (..., n, g), and the shift likewise."""
    shift = 0.0
    if not -SAFE_LOGIT < logits.min() <= logits.max() < SAFE_LOGIT:
        shift = logits.max(axis=-3)
        logits = logits - shift[..., None, :, :]
    model = np.exp(logits)
    return model, model.sum(axis=-3), shift

r"""The limit T → ∞ that both toy families share.

Put u = t/T ∈ (0, 1]. Counts concentrate: the source u' of a token holds symbol j with frequency π_j, and the symbol r
before it, given that, follows the reversed chain. A few lags r < R are tracked with their logits v_r, the others keep
v = 0 and form a background of π, so that layer 1 gives lag r of source s = u'T the weight

    a_r(u') = q_r / (Q + u'),    q_r = e^{v_r}/T,    Q = Σ_{r<R} (e^{v_r} - 1)/T      (s > R; fewer lags exist before).

A family turns that into logits f_j(u; i) for the query state i at position u. The loss is

    L = E_P Σ_i π_i ∫₀¹ du [ -Σ_j P_ij f_j + log Σ_j exp f_j ],

where exchangeability of the prior lets one query state stand for all.

Positions and sources are those of `onset.theory.mean_fields.positions`. What the limit neglects, the fluctuations of counts, is of relative order 1/T in the
linear family and is stated by `onset.theory.mean_fields.predict`.

Everything is evaluated for several points of several rules at once, arrays (rules, points, ...): a prediction's replicates
and the columns of a Jacobian are one array program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.dynamics.flow import Measured
from onset.theory.dynamics.layout import Gradient, Layout, last_attention
from onset.theory.markov.chains import entropy, stationary
from onset.theory.markov.expectations import calibrated_nodes
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["Logits", "MeanField"]

LAGS = 6
NODES = 256
SAFE = 300.0
"""Logits up to this size are exponentiated as they are."""

CACHE = 1 << 11
"""Logits per position that are worked on together, so that they stay in a processor's cache."""


class Logits(NamedTuple):
    """Logits (rules, points, symbol, prior node, position), weights of the positions, (position) or (rules, points, position), and the map
    from ∂L/∂f over these weights to ∂L/∂points."""

    values: Array
    weights: Array
    pullback: Callable[[Array], Array]


def query_powers(transition: Array, lags: int) -> Array:
    """(P^r)_0j for r = 0 … lags - 1, shape (lags, ..., k), of matrices (..., k, k)."""
    held = np.empty((lags, *transition.shape[:-2], 1, transition.shape[-1]))
    held[0] = np.eye(transition.shape[-1])[0]
    for r in range(1, lags):
        np.matmul(held[r - 1], transition, out=held[r])
    return held[..., 0, :]


def signals(transition: Array, lags: int) -> Array:
    """What a small rule must integrate as the large one does, shape (n, m), the query state 0 standing for all: the prior's
    mass, entropies of π and of the row, moments of π, and the signal of each lag, Σ_j π_0² P_0j ((P^r)_0j - π_j)."""
    law, row = stationary(transition), transition[:, 0, :]
    query = law[:, 0]
    squares, overlap = (law**2).sum(axis=1), (row * law).sum(axis=1)
    plain = [query, query**2, *(query**p * moment for p in (1, 2) for moment in (squares, overlap))]
    entropies = [query * entropy(row), query * entropy(law)]
    tracked = [query**2 * (row * (power - law)).sum(axis=1) for power in query_powers(transition, lags)]
    return np.stack([np.ones_like(query), *plain, *entropies, *tracked], axis=1)


class MeanField(ABC):
    """Population loss of a toy family as T → ∞, in the coordinates of `onset.theory.dynamics.layout.Layout` with `lags` lag logits.

    Parameters
    ----------
    setting : Setting
    lags : int
        Number R ≥ 2 of tracked lags.
    count : int
        Points that stand for the prior.
    generator : numpy Generator, optional
        Scrambles them (k > 2).
    rule : tuple of arrays, optional
        What stands for the prior instead, see `stand_for`.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        lags: int = LAGS,
        count: int = NODES,
        generator: np.random.Generator | None = None,
        rule: tuple[Array, Array] | None = None,
    ) -> None:
        lags = arguments.integer("lags", lags, least=2)
        setting.task.require_first_order("this mean field")
        self.setting = setting
        self.layout = Layout.of(setting, lags)
        self.stand_for(*rule or calibrated_nodes(setting.task.prior, count, partial(signals, lags=lags), generator))

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k, k) with weights (n,) that sum to one, or by several such rules, (rules, n, ...)."""
        states = self.setting.task.states
        self.chances = weights
        self.transition, self.stationary, self.row = transition, stationary(transition), transition[..., 0, :]
        self.query = self.stationary[..., 0]
        self.weights = states * weights * self.query
        powers = np.moveaxis(query_powers(transition, len(self.layout.start[self.layout.lags])), 0, -1)
        self.deviation = powers - self.stationary[..., None]
        laws = {"uniform": np.full_like(self.row, 1 / states), "unigram": self.stationary, "bigram": self.row}
        # Each strategy's law, weighted by the prior's nodes, (rules, 1, k, n), and its own entropy, (rules, 1).
        self._laws = {
            name: (self._by_symbol(self.weights[..., None] * law), self._sum(self.weights * entropy(law)))
            for name, law in laws.items()
        }
        self._target = self._laws["bigram"][0][..., None]
        self._share = self.weights.reshape(self.replicates, 1, -1, 1)
        self._prepare(powers)

    @property
    def replicates(self) -> int:
        """Number of rules."""
        return 1 if self.weights.ndim == 1 else len(self.weights)

    def _by_symbol(self, values: Array) -> Array:
        """(…, n, k) as (rules, 1, k, n): one point, symbols before nodes."""
        return np.ascontiguousarray(values.reshape(self.replicates, 1, -1, values.shape[-1]).swapaxes(-1, -2))

    def _sum(self, values: Array) -> Array:
        return values.reshape(self.replicates, 1, -1).sum(axis=-1)

    @abstractmethod
    def _prepare(self, powers: Array) -> None:
        """Arrays of the rules that a family evaluates with; `powers` are (P^r)_0j, shape (…, n, k, R)."""

    @abstractmethod
    def logits(self, points: Array) -> Logits:
        """Of points (rules, points, p)."""

    def _parts(self, points: Array) -> list[Array]:
        together = max(1, CACHE // self.row.size)
        return [points[:, n : n + together] for n in range(0, points.shape[1], together)]

    def derivatives(self, points: Array) -> Array:
        """∂L/∂point of points (rules, points, p), of the same shape."""
        if len(parts := self._parts(points)) > 1:
            return np.concatenate([self.derivatives(part) for part in parts], axis=1)
        logits, _, pullback = self.logits(points)
        return pullback(self._residual(*_normalise(logits)[:2]))

    def _residual(self, model: Array, total: Array) -> Array:
        """∂L/∂f over the weights of positions, in place of `model`, which still lacks the factor 1/total."""
        model *= (self._share / total)[..., None, :, :]
        model -= self._target
        return model

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        """Of one point, with one rule."""
        logits, shares, pullback = self.logits(point[None, None])
        model, total, highest = _normalise(logits)
        by_node = self._share * (highest + np.log(total)) - (self._target * logits).sum(axis=-3)
        return Gradient(float((by_node @ shares[..., None]).sum()), pullback(self._residual(model, total))[0, 0])

    def measures(self, points: Array) -> Measured:
        """What is recorded of points (rules, points, p)."""
        if len(parts := self._parts(points)) > 1:
            return reduce(Measured.join, map(self.measures, parts))
        logits, shares, _ = self.logits(points)
        _, total, highest = _normalise(logits)
        # Mean over positions of the logarithm of the model's law, shape (rules, points, symbol, prior node).
        log_model = ((logits - (highest + np.log(total))[..., None, :, :]) @ shares[..., None, :, None])[..., 0]
        crossed = {name: -(law * log_model).sum(axis=(-1, -2)) for name, (law, _) in self._laws.items()}
        distances = {name: crossed[name] - own for name, (_, own) in self._laws.items()}
        attention = last_attention(points[..., self.layout.lags], self.setting.task.context)
        return Measured(crossed["bigram"], distances, attention[..., None, :])

    def measure(self, point: Array) -> Measurement:
        """Of one point, with one rule."""
        return self.measures(point[None, None]).at(0, 0)


def _normalise(logits: Array) -> tuple[Array, Array, Array | float]:
    """e^f less a shift, its sum over symbols, shape (..., n, g), and the shift likewise."""
    highest = 0.0
    if not -SAFE < logits.min() <= logits.max() < SAFE:
        highest = logits.max(axis=-3)
        logits = logits - highest[..., None, :, :]
    model = np.exp(logits)
    return model, model.sum(axis=-3), highest

r"""The limit T → ∞ that both toy families share.

Put u = t/T ∈ (0, 1]. Counts concentrate: the source u' of a token holds symbol j with frequency π_j, and the symbol r
before it, given that, follows the reversed chain. A few lags r < R are tracked with their logits v_r, the others keep
v = 0 and form a background of π, so that layer 1 gives lag r of source s = u'T the weight

    a_r(u') = q_r / (Q + u'),    q_r = e^{v_r}/T,    Q = Σ_{r<R} (e^{v_r} - 1)/T      (s > R; fewer lags exist before).

A family turns that into logits f_j(u; i) for the query state i at position u. The loss is

    L = E_P Σ_i π_i ∫₀¹ du [ -Σ_j P_ij f_j + log Σ_j exp f_j ],

where exchangeability of the prior lets one query state stand for all.

Near an uninformed start q_r is of order 1/T, and averages of a_r are q_r ln(T/r): how the first few sources are counted
is then a relative effect of 1/ln T, larger than the 1/T that the limit neglects elsewhere. So the first R sources
are summed one by one and the integral starts after them; otherwise the answer would depend on R. What remains
neglected, the fluctuations of counts, is of relative order 1/T in the linear family and is stated by `theory.predict`.

Beyond source R the grid is Gauss-Legendre in ln(Q + u'), in which a_r is a single exponential: one grid resolves early and
late positions however large T is, so that the cost does not depend on T.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.polynomial import legendre

from theory import arguments
from theory.chains import Array, entropy, lag_matrices, stationary
from theory.dynamics import Gradient, Layout, Measurement, last_attention
from theory.expectations import calibrated_nodes
from theory.setting import Setting

__all__ = ["MeanField", "PositionGrid"]

LAGS = 6
NODES = 256
POSITIONS = 12
Pullback = Callable[[Array], Array]


@cache
def _legendre(points: int) -> tuple[Array, Array, Array]:
    """Gauss-Legendre nodes and weights on [-1, 1], and the matrix of running integrals ∫₋₁^{x_n} of what interpolates there."""
    x, w = legendre.leggauss(points)
    integrals = np.stack([legendre.legval(x, legendre.legint(unit, lbnd=-1)) for unit in np.eye(points)], axis=-1)
    return x, w, integrals @ np.linalg.inv(legendre.legvander(x, points - 1))


class PositionGrid:
    """Positions u = t/T that stand for 1 … T: the first R one by one, quadrature nodes for the rest.

    Attributes
    ----------
    u : array, shape (n,)
    weights : array, shape (n,)
        ``weights @ g`` is the mean of g over positions.
    cumulative : array, shape (n, n)
        ``(cumulative @ g)[n]`` is the sum of g over sources up to u_n, divided by T.
    attention : array, shape (R, n)
        a_r: layer-1 weight of lag r at each source.
    """

    def __init__(self, lag_logits: Array, context: int) -> None:
        lags = len(lag_logits)
        first = np.arange(1, min(lags, context) + 1)
        weight = np.exp(lag_logits)
        excess = float(weight.sum()) - lags
        early = np.where(np.arange(lags)[:, None] < first, weight[:, None], 0.0)
        x, w, running = _legendre(POSITIONS)
        start, stop = lags + 0.5 + excess, context + 0.5 + excess
        half = np.log(max(stop / start, 1.0)) / 2
        normaliser = start * np.exp(half * (1 + x))
        stretch = half * normaliser / context
        self.u = np.concatenate([first, lags + 0.5 + start * np.expm1(half * (1 + x))]) / context
        self.weights = np.concatenate([np.full(len(first), 1 / context), w * stretch])
        self.cumulative = np.zeros((len(self.u), len(self.u)))
        self.cumulative[:, : len(first)] = np.tri(len(self.u), len(first)) / context
        # A sum over sources up to t is an integral up to t + 1/2: the last half is the integrand there.
        self.cumulative[len(first) :, len(first) :] = running * stretch + np.eye(len(x)) / (2 * context)
        self.attention = np.concatenate([early / early.sum(axis=0), weight[:, None] / normaliser], axis=1)

    def by_lag_logits(self, by_attention: Array) -> Array:
        """∂L/∂v from ∂L/∂a, both summed over sources: layer 1 is a softmax, ∂a_r/∂v_s = a_r (δ_rs - a_s)."""
        flow = self.attention * by_attention
        return flow.sum(axis=1) - self.attention @ flow.sum(axis=0)


def signals(transition: Array, lags: int) -> Array:
    """What a small rule must integrate as the large one does, shape (n, m), the query state 0 standing for all: the prior's
    mass, entropies of π and of the row, moments of π, and the signal of each lag, Σ_j π_0² P_0j ((P^r)_0j - π_j)."""
    law, row = stationary(transition), transition[:, 0, :]
    query = law[:, 0]
    squares, overlap = (law**2).sum(axis=1), (row * law).sum(axis=1)
    plain = [query, query**2, *(query**p * moment for p in (1, 2) for moment in (squares, overlap))]
    entropies = [query * entropy(row), query * entropy(law)]
    powers = lag_matrices(transition, lags)[:, :, 0, :]
    tracked = [query**2 * (row * (power - law)).sum(axis=1) for power in powers]
    return np.stack([np.ones_like(query), *plain, *entropies, *tracked], axis=1)


def _normalise(logits: Array) -> tuple[Array, Array]:
    """Softmax over symbols, shape (n, k, g), and the logarithm of its normaliser, shape (n, g)."""
    highest = logits.max(axis=1)
    model = logits - highest[:, None, :]
    np.exp(model, out=model)
    total = model.sum(axis=1)
    model /= total[:, None, :]
    return model, highest + np.log(total)


def _mean(logits: Array, grid: PositionGrid) -> Array:
    """Mean over positions, shape (n, k); not a product of BLAS, whose threads wait for each other on a busy machine."""
    return np.einsum("njg,g->nj", logits, grid.weights)


class MeanField(ABC):
    """Population loss of a toy family as T → ∞, in the coordinates of `theory.dynamics.Layout` with `lags` lag logits.

    Parameters
    ----------
    setting : Setting
    lags : int
        Number R ≥ 2 of tracked lags.
    count : int
        Points that stand for the prior.
    generator : numpy Generator, optional
        Scrambles them (k > 2).
    """

    def __init__(
        self, setting: Setting, *, lags: int = LAGS, count: int = NODES, generator: np.random.Generator | None = None
    ) -> None:
        lags = arguments.integer("lags", lags, least=2)
        setting.only_markov("this mean field")
        self.setting = setting
        self.layout = Layout.of(setting, lags)
        self.stand_for(*calibrated_nodes(setting.prior, count, partial(signals, lags=lags), generator))

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k, k) with weights (n,) that sum to one."""
        states, lags = self.setting.states, self.layout.lags
        self.transition, self.stationary, self.row = transition, stationary(transition), transition[:, 0, :]
        self.query = self.stationary[:, 0]
        self.weights = states * weights * self.query
        powers = lag_matrices(transition, len(self.layout.start[lags]))[:, :, 0, :].transpose(1, 2, 0)
        self.deviation = np.ascontiguousarray(powers - self.stationary[:, :, None])
        self._target = self.weights[:, None] * self.row
        laws = {"uniform": np.full_like(self.row, 1 / states), "unigram": self.stationary, "bigram": self.row}
        # Each strategy's law, weighted by the prior's nodes, and its own entropy.
        self._laws = {n: (self.weights[:, None] * law, float(self.weights @ entropy(law))) for n, law in laws.items()}

    @abstractmethod
    def logits(self, point: Array, grid: PositionGrid) -> tuple[Array, Pullback]:
        """Logits (prior node, symbol, position) and the map from ∂L/∂f to ∂L/∂point."""

    def _evaluate(self, point: Array) -> tuple[Array, Pullback, PositionGrid]:
        grid = PositionGrid(point[self.layout.lags], self.setting.context)
        return *self.logits(point, grid), grid

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        logits, pullback, grid = self._evaluate(point)
        model, log_total = _normalise(logits)
        share = self.weights[:, None] * grid.weights
        loss = float((share * log_total).sum() - (self._target * _mean(logits, grid)).sum())
        model *= share[:, None, :]
        model -= self._target[:, :, None] * grid.weights
        return Gradient(loss, pullback(model))

    def measure(self, point: Array) -> Measurement:
        logits, _, grid = self._evaluate(point)
        # Mean over positions of the logarithm of the model's law, shape (prior node, symbol).
        log_model = _mean(logits, grid) - np.einsum("ng,g->n", _normalise(logits)[1], grid.weights)[:, None]
        crossed = {name: -float((law * log_model).sum()) for name, (law, _) in self._laws.items()}
        distances = {name: crossed[name] - own for name, (_, own) in self._laws.items()}
        attention = last_attention(point[self.layout.lags], self.setting.context)
        return Measurement(crossed["bigram"], distances, attention[None])

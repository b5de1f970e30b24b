r"""The linear family for chains of order n, with n - 1 heads, in the mean-field limit.

Head h compares its key z^h with the query q^h, which is the token for the first head and what head h - 1 shows for the
others (`onset.validate.models.ngram_toy`). As T → ∞, with D^r_ij = Pr(x_{s-r} = i, x_s = j) - π_i π_j, tracked lags r
and u = t/T,

    f_j(u; x_t, x_{t-1}, …) = u { C π_j + Σ_h Ω_h Σ_i q^h_i(u) M^h_ij(u) },
    M^h_ij(u) = π_i π_j + Σ_r p^h_r(u) D^r_ij,          p^h_r(u) = (1/u) ∫₀^u a^h_r(u') du',
    q^1_i = 1[x_t = i],    q^h_i(u) = π_i + Σ_r a^{h-1}_r(u) (1[x_{t-r} = i] - π_i).

The expectation runs over the prior and over the last R tokens; exchangeability lets x_t = 0 stand for all. Positions
are those of `onset.theory.mean_fields.positions.PositionGrid`, resolved for the head whose lags have grown least.
Derived here, "third-order".

Logits are sums over heads: with all heads formed the model adds log-odds of its matches, and is not the n-gram
strategy, which knows what they say together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import partial

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Gradient, last_attention
from onset.theory.markov.chains import block_law, entropy, history_law, lift
from onset.theory.markov.expectations import calibrated_nodes
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.base import PopulationLoss, softmax
from onset.theory.mean_fields.positions import PositionGrid
from onset.theory.recording import Measurement

__all__ = ["NgramLinearMeanField", "lag_pairs", "recent"]

HISTORIES = 64
"""Most histories of the tokens before the last, unless the order needs more."""

NODES = 128
"""Default number of matrices that stand for the prior."""

POSITIONS = 16
"""Quadrature nodes of positions beyond the first R."""


def tracked(task: MarkovChains) -> int:
    """Number R of tracked lags: one more than the chain's memory, or as many as `HISTORIES` allows, up to six."""
    return max(task.order + 1, min(6, int(np.log(HISTORIES) / np.log(task.states)) + 1))


def lag_pairs(transition: Array, lags: int) -> Array:
    """Pr(x_{s-r} = i, x_s = j) for r = 0 … lags - 1 of chains (n, k^{order-1}, k), shape (n, lags, k, k)."""
    rows, states = transition.shape[-2:]
    latest = np.eye(states)[np.arange(rows) % states]
    joint = history_law(transition)[:, :, None] * latest
    chain, pairs = lift(transition), []
    # joint[h, i]: probability of history h now and symbol i r tokens ago.
    for _ in range(lags):
        pairs.append(np.einsum("nhi,hj->nij", joint, latest))
        joint = np.einsum("nhi,nhg->ngi", joint, chain)
    return np.stack(pairs, axis=1)


def recent(transition: Array, length: int) -> tuple[Array, Array]:
    """Law of the last `length` tokens that end in symbol 0, shape (n, k^{length-1}), and of the next one, (n, …, k)."""
    rows, states = transition.shape[-2:]
    law = history_law(transition)
    history = np.arange(rows)
    while law.shape[1] < states**length:
        law = (law[:, :, None] * transition[:, history]).reshape(len(law), -1)
        history = np.arange(law.shape[1]) % rows
    return law[:, ::states], transition[:, history[::states]]


def signals(transition: Array, lags: int, order: int) -> Array:
    """What a small rule must integrate, shape (n, m), as `onset.theory.mean_fields.base.signals` for order 2."""
    pairs, law = lag_pairs(transition, lags)[:, :, 0], block_law(transition, 1)
    query = law[:, 0]
    chance, rows = recent(transition, order)
    following = block_law(transition, 2)[:, 0]
    columns = [np.ones_like(query), query, query**2, query * (law**2).sum(axis=1), query * entropy(law)]
    columns += [entropy(following / following.sum(axis=1, keepdims=True)) * query]
    columns += [(chance * entropy(rows)).sum(axis=1)]
    columns += [(following * (pairs[:, r] - query[:, None] * law)).sum(axis=1) for r in range(lags)]
    return np.stack(columns, axis=1)


class NgramLinearMeanField(PopulationLoss):
    """Mean-field loss of the linear family for chains of order n.

    Parameters
    ----------
    task, initialization
        As in `onset.theory.mean_fields.base.PopulationLoss`.
    lags : int, optional
        Number R of tracked lags of each head, at least the order; by default `tracked`.
    count : int
        Matrices that stand for the prior.
    generator : numpy Generator, optional
        Scrambles them.
    """

    family = "linear"

    def __init__(
        self,
        task: MarkovChains,
        initialization: Mapping[str, float] | None = None,
        *,
        lags: int | None = None,
        count: int = NODES,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__(task, initialization, tracked(task) if lags is None else lags, least_lags=task.order)
        functions = partial(signals, lags=self.lags, order=task.order)
        self.stand_for(*calibrated_nodes(task.prior, count, functions, generator))

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k^{order-1}, k) with weights (n,) that sum to one."""
        k, order = self.task.states, self.task.order
        self.heads = order - 1
        self.law = block_law(transition, 1)
        self.deviation = lag_pairs(transition, self.lags) - (self.law[:, :, None] * self.law[:, None, :])[:, None]
        chance, self.row = recent(transition, self.lags)
        self.weights = k * weights[:, None] * chance
        # tokens[h, r]: the symbol r tokens back, of every history that ends in 0.
        self.tokens = np.array([(*past, 0)[::-1] for past in itertools.product(range(k), repeat=self.lags - 1)])
        uniform = np.broadcast_to(1 / k, self.row.shape)
        self._laws = [uniform, *(self._gram(transition, m) for m in range(1, order)), self.row]
        self._entropies = [float((self.weights * entropy(law)).sum()) for law in self._laws]

    def _gram(self, transition: Array, order: int) -> Array:
        """Prediction of the m-gram strategy after each history, shape (n, histories, k)."""
        blocks = block_law(transition, order)
        rows = blocks / np.maximum(blocks.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
        past = self.tokens[:, : order - 1][:, ::-1]
        return rows[(slice(None), *past.T)] if order > 1 else np.repeat(rows[:, None], len(self.tokens), axis=1)

    def _forward(self, point: Array) -> tuple[PositionGrid, Array, Array, Array, Array]:
        """The grid; Ω_h; M^h (n, heads, i, j, u); Σ_i π_i M^h_ij (n, heads, j, u); and logits (n, histories, j, u)."""
        match = point[: 2 * self.heads].reshape(self.heads, 2) * self.task.context
        scale, omega = match[:, 1].sum(), match[:, 0] - match[:, 1]
        grid = PositionGrid(self._lag_logits(point), self.task.context, POSITIONS, shared=True)
        share = np.einsum("hrg,ug->hru", grid.attention, grid.cumulative) / grid.u
        pairs = self.law[:, :, None] * self.law[:, None, :]
        match_law = pairs[:, None, :, :, None] + np.einsum("nrij,hru->nhiju", self.deviation, share)
        even = np.einsum("ni,nhiju->nhju", self.law, match_law)
        logits = scale * self.law[:, None, :, None] + omega[0] * match_law[:, 0, 0][:, None]
        for h in range(1, self.heads):
            logits = logits + omega[h] * self._queried(match_law[:, h], even[:, h], grid.attention[h - 1])
        return grid, omega, match_law, even, logits * grid.u

    def _lag_logits(self, point: Array) -> Array:
        return point[self.layout.lags].reshape(self.heads, -1)

    def _queried(self, match_law: Array, even: Array, attention: Array) -> Array:
        """Σ_i q_i M_ij for every history, shape (n, histories, j, u)."""
        total = np.broadcast_to(even[:, None], (len(even), len(self.tokens), *even.shape[1:])).copy()
        for r, weight in enumerate(attention):
            total += weight * (match_law[:, self.tokens[:, r]] - even[:, None])
        return total

    def model(self, point: Array) -> tuple[PositionGrid, Array]:
        """The grid of positions, and the model's predictions there, shape (n, histories, k, u)."""
        grid, *_, logits = self._forward(point)
        return grid, softmax(logits, axis=2)[0]

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        grid, omega, match_law, even, logits = self._forward(point)
        model, log_total = softmax(logits, axis=2)
        weight = self.weights[:, :, None] * grid.weights
        loss = float((weight * log_total).sum() - np.einsum("nhj,nhju,nhu->", self.row, logits, weight))
        by_logit = (model - self.row[..., None]) * (weight * grid.u)[:, :, None]
        total = by_logit.sum(axis=1)
        by_match, by_attention = np.zeros_like(match_law), np.zeros_like(grid.attention)
        by_match[:, 0, 0] = total
        for h in range(1, self.heads):
            untracked = total * (1 - grid.attention[h - 1].sum(axis=0))
            by_match[:, h] = self.law[:, :, None, None] * untracked[:, None]
            for r, share in enumerate(grid.attention[h - 1]):
                by_symbol = np.stack(
                    [by_logit[:, self.tokens[:, r] == symbol].sum(axis=1) for symbol in range(self.task.states)], axis=1
                )
                by_match[:, h] += share * by_symbol
                gained = match_law[:, h] - even[:, None, h]
                by_attention[h - 1, r] += omega[h] * np.einsum("niju,niju->u", by_symbol, gained)
        by_omega = (by_match * match_law).sum(axis=(0, 2, 3, 4))
        by_share = omega[:, None, None] * np.einsum("nhiju,nrij->hru", by_match, self.deviation, optimize=True)
        by_attention += (by_share / grid.u) @ grid.cumulative
        by_scale = float((total * self.law[:, :, None]).sum())
        by_entries = self.task.context * np.stack([by_omega, by_scale - by_omega], axis=1).ravel()
        return Gradient(loss, np.concatenate([by_entries, grid.by_lag_logits(by_attention).ravel()]))

    def measure(self, point: Array) -> Measurement:
        grid, *_, logits = self._forward(point)
        log_model = (logits - softmax(logits, axis=2)[1][:, :, None]) @ grid.weights
        cross_entropies = [-float((self.weights[..., None] * law * log_model).sum()) for law in self._laws]
        distances = np.subtract(cross_entropies, self._entropies).tolist()
        attention = last_attention(self._lag_logits(point), self.task.context)
        return Measurement(cross_entropies[-1], dict(zip(self.task.strategies, distances, strict=True)), attention)

r"""The linear family for chains of order n, with n - 1 heads, in the mean-field limit.

Head h compares its key z^h with the query q^h, which is the token for the first head and what head h - 1 shows for the others
(`onset.validate.models.ngram_toy`). As T → ∞, with D^r_ij = Pr(x_{s-r} = i, x_s = j) - π_i π_j, tracked lags r and u = t/T,

    f_j(u; x_t, x_{t-1}, …) = u { C π_j + Σ_h Ω_h Σ_i q^h_i(u) M^h_ij(u) },
    M^h_ij(u) = π_i π_j + Σ_r p^h_r(u) D^r_ij,          p^h_r(u) = (1/u) ∫₀^u a^h_r(u') du',
    q^1_i = 1[x_t = i],    q^h_i(u) = π_i + Σ_r a^{h-1}_r(u) (1[x_{t-r} = i] - π_i).

The expectation runs over the prior and over the last R tokens; exchangeability lets x_t = 0 stand for all. Positions are those of
`onset.theory.mean_fields.limit`, resolved for the head whose lags have grown least. Derived here, "third-order".

Logits are sums over heads: with all heads formed the model adds log-odds of its matches, and is not the n-gram strategy, which knows
what they say together.
"""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Gradient, Layout, last_attention
from onset.theory.markov.chains import block_law, entropy, history_law, lift
from onset.theory.markov.expectations import calibrated_nodes
from onset.theory.mean_fields.positions import legendre_rule
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["HeadsGrid", "NgramLinearMeanField", "lag_pairs"]

HISTORIES = 64
"""Of tokens before the last, at most, unless the order asks for more."""

NODES = 128
POSITIONS = 16


def tracked(states: int, order: int) -> int:
    """Number R of tracked lags: one more than the chain's memory, or as many as `HISTORIES` allows, up to six."""
    room = int(np.log(HISTORIES) / np.log(states)) + 1
    return max(order + 1, min(6, room))


class HeadsGrid:
    """Positions u = t/T as in `onset.theory.mean_fields.positions.PositionGrid`, for several heads, lag logits (heads, R).

    Attributes
    ----------
    u, weights : array, shape (n,)
        ``weights @ g`` is the mean of g over positions.
    cumulative : array, shape (n, n)
        ``(cumulative @ g)[n]`` is the sum of g over sources up to u_n, divided by T.
    attention : array, shape (heads, R, n)
    """

    def __init__(self, lag_logits: Array, context: int) -> None:
        lags = lag_logits.shape[1]
        weight = np.exp(lag_logits)
        excess = weight.sum(axis=1) - lags
        first = np.arange(1, min(lags, context) + 1)
        early = np.where(np.arange(lags)[:, None] < first, weight[:, :, None], 0.0)
        x, w, running = legendre_rule(POSITIONS)
        least = float(excess.min())
        start, stop = lags + 0.5 + least, context + 0.5 + least
        half = np.log(max(stop / start, 1.0)) / 2
        shifted = start * np.exp(half * (1 + x))
        source, stretch = shifted - least, half * shifted / context
        self.u = np.concatenate([first, source]) / context
        self.weights = np.concatenate([np.full(len(first), 1 / context), w * stretch])
        self.cumulative = np.zeros((len(self.u), len(self.u)))
        self.cumulative[:, : len(first)] = np.tri(len(self.u), len(first)) / context
        self.cumulative[len(first) :, len(first) :] = running * stretch + np.eye(len(x)) / (2 * context)
        late = weight[:, :, None] / (source + excess[:, None, None])
        self.attention = np.concatenate([early / early.sum(axis=1, keepdims=True), late], axis=2)

    def by_lag_logits(self, by_attention: Array) -> Array:
        """∂L/∂v (heads, R) from ∂L/∂a (heads, R, n): layer 1 is a softmax, ∂a_r/∂v_s = a_r (δ_rs - a_s)."""
        flow = self.attention * by_attention
        return flow.sum(axis=2) - (self.attention @ flow.sum(axis=1)[:, :, None])[:, :, 0]


def lag_pairs(transition: Array, lags: int) -> Array:
    """Pr(x_{s-r} = i, x_s = j) for r = 0 … lags - 1 of chains (n, k^{order-1}, k), shape (n, lags, k, k)."""
    rows, states = transition.shape[-2:]
    latest = np.eye(states)[np.arange(rows) % states]
    joint = history_law(transition)[:, :, None] * latest
    chain, found = lift(transition), []
    # joint[h, i]: probability of history h now and symbol i r tokens ago.
    for _ in range(lags):
        found.append(np.einsum("nhi,hj->nij", joint, latest))
        joint = np.einsum("nhi,nhg->ngi", joint, chain)
    return np.stack(found, axis=1)


def recent(transition: Array, length: int) -> tuple[Array, Array]:
    """Law of the last `length` tokens that end in symbol 0, shape (n, k^{length-1}), and the law of the next one (n, …, k)."""
    rows, states = transition.shape[-2:]
    law = history_law(transition)
    history = np.arange(rows)
    while law.shape[1] < states**length:
        law = (law[:, :, None] * transition[:, history]).reshape(len(law), -1)
        history = np.arange(law.shape[1]) % rows
    return law[:, ::states], transition[:, history[::states]]


def signals(transition: Array, lags: int, order: int) -> Array:
    """What a small rule must integrate as the large one does, shape (n, m), as `onset.theory.mean_fields.limit.signals`."""
    pairs = lag_pairs(transition, lags)[:, :, 0]
    law = pairs[:, 0].sum(axis=1) if lags else np.ones(len(transition))
    query = law
    own = block_law(transition, 1)
    chance, rows = recent(transition, order)
    given = block_law(transition, 2)[:, 0]
    columns = [np.ones_like(query), query, query**2, query * (own**2).sum(axis=1), query * entropy(own)]
    columns += [entropy(given / given.sum(axis=1, keepdims=True)) * query, (chance * entropy(rows)).sum(axis=1)]
    columns += [(given * (pairs[:, r] - query[:, None] * own)).sum(axis=1) for r in range(lags)]
    return np.stack(columns, axis=1)


class NgramLinearMeanField:
    """Mean-field loss of the linear family for chains of order n, in the coordinates of `onset.theory.dynamics.layout.Layout` with `lags` lag logits a head.

    Parameters
    ----------
    setting : Setting
        Of the linear family.
    lags : int, optional
        Number R of tracked lags, at least the order; by default `tracked`.
    count : int
        Points that stand for the prior.
    generator : numpy Generator, optional
        Scrambles them.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        lags: int | None = None,
        count: int = NODES,
        generator: np.random.Generator | None = None,
    ) -> None:
        arguments.one_of("family of this mean field", setting.model.family, ("linear",))
        lags = tracked(setting.task.states, setting.task.order) if lags is None else lags
        lags = arguments.integer("lags", lags, least=setting.task.order)
        self.setting, self.layout, self.heads = setting, Layout.of(setting, lags), setting.task.order - 1
        functions = partial(signals, lags=lags, order=setting.task.order)
        self.stand_for(*calibrated_nodes(setting.task.prior, count, functions, generator))

    def stand_for(self, transition: Array, weights: Array) -> None:
        """Replace the prior by matrices (n, k^{order-1}, k) with weights (n,) that sum to one."""
        k, order = self.setting.task.states, self.setting.task.order
        lags = (len(self.layout.start) - self.layout.lags.start) // self.heads
        self.law = block_law(transition, 1)
        self.deviation = lag_pairs(transition, lags) - (self.law[:, :, None] * self.law[:, None, :])[:, None]
        chance, self.row = recent(transition, lags)
        self.weights = k * weights[:, None] * chance
        # tokens[h, r]: the symbol r tokens back, of every history that ends in 0.
        self.tokens = np.array([(*past, 0)[::-1] for past in itertools.product(range(k), repeat=lags - 1)])
        self._laws = {}
        for m, name in enumerate(self.setting.task.strategies):
            law = np.broadcast_to(1 / k, self.row.shape) if m == 0 else self._gram(transition, m)
            law = self.row if m == order else law
            self._laws[name] = (law, float((self.weights * entropy(law)).sum()))

    def _gram(self, transition: Array, order: int) -> Array:
        """What the m-gram strategy predicts after each history, shape (n, histories, k)."""
        blocks = block_law(transition, order)
        rows = blocks / np.maximum(blocks.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
        past = self.tokens[:, : order - 1][:, ::-1]
        return rows[(slice(None), *past.T)] if order > 1 else np.repeat(rows[:, None], len(self.tokens), axis=1)

    def _parts(self, point: Array) -> tuple[HeadsGrid, Array, Array, Array, Array, Array]:
        """The grid; C and Ω_h; M^h (n, heads, i, j, u); Σ_i π_i M^h_ij; M^h of the symbol r back less that; logits (n, histories, j, u)."""
        context, heads = self.setting.task.context, self.heads
        match = point[: 2 * heads].reshape(heads, 2) * context
        scale, omega = match[:, 1].sum(), match[:, 0] - match[:, 1]
        grid = HeadsGrid(point[self.layout.lags].reshape(heads, -1), context)
        share = np.einsum("hrg,ug->hru", grid.attention, grid.cumulative) / grid.u
        pairs = self.law[:, :, None] * self.law[:, None, :]
        match_law = pairs[:, None, :, :, None] + np.einsum("nrij,hru->nhiju", self.deviation, share)
        even = np.einsum("ni,nhiju->nhju", self.law, match_law)
        logits = scale * self.law[:, None, :, None] + omega[0] * match_law[:, 0, 0][:, None]
        for h in range(1, heads):
            logits = logits + omega[h] * self._queried(match_law[:, h], even[:, h], grid.attention[h - 1])
        return grid, omega, match_law, even, share, logits * grid.u

    def _queried(self, match_law: Array, even: Array, attention: Array) -> Array:
        """Σ_i q_i M_ij for every history, shape (n, histories, j, u)."""
        total = np.broadcast_to(even[:, None], (len(even), len(self.tokens), *even.shape[1:])).copy()
        for r, weight in enumerate(attention):
            total += weight * (match_law[:, self.tokens[:, r]] - even[:, None])
        return total

    def model(self, point: Array) -> tuple[HeadsGrid, Array]:
        """The grid of positions, and what the model predicts there, shape (n, histories, k, u)."""
        grid, *_, logits = self._parts(point)
        return grid, _normalise(logits)[0]

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        grid, omega, match_law, even, _, logits = self._parts(point)
        model, log_total = _normalise(logits)
        weight = self.weights[:, :, None] * grid.weights
        target = self.row[..., None]
        loss = float((weight * log_total).sum() - np.einsum("nhj,nhju,nhu->", self.row, logits, weight))
        by_logit = (model - target) * (weight * grid.u)[:, :, None]
        context, heads = self.setting.task.context, self.heads
        by_scale = float((by_logit.sum(axis=1) * self.law[:, :, None]).sum())
        by_omega, by_share = np.zeros(heads), np.zeros((heads, *grid.attention.shape[1:]))
        by_attention = np.zeros_like(grid.attention)
        by_match = np.zeros_like(match_law)
        by_match[:, 0, 0] = by_logit.sum(axis=1)
        for h in range(1, heads):
            attention = grid.attention[h - 1]
            left = by_logit.sum(axis=1) * (1 - attention.sum(axis=0))
            by_match[:, h] = self.law[:, :, None, None] * left[:, None]
            for r, share in enumerate(attention):
                held = np.zeros_like(match_law[:, h])
                for symbol in range(self.setting.task.states):
                    held[:, symbol] = by_logit[:, self.tokens[:, r] == symbol].sum(axis=1)
                by_match[:, h] += share * held
                by_attention[h - 1, r] += omega[h] * np.einsum("niju,niju->u", held, match_law[:, h] - even[:, None, h])
        for h in range(heads):
            by_omega[h] = float((by_match[:, h] * match_law[:, h]).sum())
            by_share[h] = omega[h] * np.einsum("niju,nrij->ru", by_match[:, h], self.deviation, optimize=True)
        by_attention += (by_share / grid.u) @ grid.cumulative
        by_entries = context * np.stack([by_omega, by_scale - by_omega], axis=1).ravel()
        return Gradient(loss, np.concatenate([by_entries, grid.by_lag_logits(by_attention).ravel()]))

    def measure(self, point: Array) -> Measurement:
        *_, logits = self._parts(point)
        grid = HeadsGrid(point[self.layout.lags].reshape(self.heads, -1), self.setting.task.context)
        _, log_total = _normalise(logits)
        log_model = (logits - log_total[:, :, None]) @ grid.weights
        crossed = {
            name: -float((self.weights[..., None] * law * log_model).sum()) for name, (law, _) in self._laws.items()
        }
        distances = {name: crossed[name] - own for name, (_, own) in self._laws.items()}
        attention = last_attention(point[self.layout.lags].reshape(self.heads, -1), self.setting.task.context)
        return Measurement(crossed[self.setting.task.strategies[-1]], distances, attention)


def _normalise(logits: Array) -> tuple[Array, Array]:
    """Softmax over symbols, shape (n, histories, k, u), and the logarithm of its normaliser, shape (n, histories, u)."""
    highest = logits.max(axis=2)
    model = np.exp(logits - highest[:, :, None])
    total = model.sum(axis=2)
    return model / total[:, :, None], highest + np.log(total)

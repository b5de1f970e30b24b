r"""The first positions, where counts have hardly begun to concentrate: all sequences with their probabilities.

What a model predicts depends on the tokens alone, so that a sequence x_1 … x_t counts with E_P Pr(x_1 … x_t), and the
true next token with E_P Pr(x_1 … x_t) P_{x_t ·}: the cost does not depend on the number of chains. Exchangeability
leaves x_t = 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.special import entr

from onset.theory.arrays import Array
from onset.theory.markov.chains import stationary
from onset.theory.mean_fields.base import softmax

__all__ = ["Early", "reach"]

SEQUENCES = 2200
"""Most sequences of the last position that is enumerated."""


def reach(states: int, context: int) -> int:
    """Number of positions that are enumerated."""
    return min(context, 1 + int(np.log(SEQUENCES) / np.log(states)))


class Early:
    """All sequences that end at a position up to `last` in state 0, for chains (n, k, k) with weights (n,).

    Attributes
    ----------
    chance : array, shape (q,)
        Probability of each sequence, times k (the states it may end in), divided by T; `row` (q, k) that with each next
        token.
    held : array, shape (q, last, k)
        1[x_s = j].
    matches : array, shape (q, last, last)
        1[x_{s-r} = 0] by source and lag.
    """

    def __init__(self, transition: Array, weights: Array, last: int, context: int, alpha: float) -> None:
        k = transition.shape[-1]
        lengths = [
            np.array([(*tokens, 0) for tokens in itertools.product(range(k), repeat=t - 1)]) for t in range(1, last + 1)
        ]
        total = sum(len(tokens) for tokens in lengths)
        self.chance, self.row = np.zeros(total), np.zeros((total, k))
        self.held, self.matches = np.zeros((total, last, k)), np.zeros((total, last, last))
        unigram, bigram = np.zeros((total, k)), np.zeros((total, k))
        start = 0
        for t, tokens in enumerate(lengths, start=1):
            here = slice(start, start + len(tokens))
            start += len(tokens)
            chance = weights[:, None] * stationary(transition)[:, tokens[:, 0]] * k / context
            for s in range(1, t):
                chance = chance * transition[:, tokens[:, s - 1], tokens[:, s]]
            self.chance[here], self.row[here] = chance.sum(axis=0), chance.T @ transition[:, 0, :]
            held = np.eye(k)[tokens]
            self.held[here, :t] = held
            for r in range(t):
                self.matches[here, r:t, r] = held[:, : t - r, 0]
            counts, moves = held.sum(axis=1), (held[:, :-1, :1] * held[:, 1:, :]).sum(axis=1)
            unigram[here] = (counts + alpha) / (t + k * alpha)
            bigram[here] = (moves + alpha) / (moves.sum(axis=1, keepdims=True) + k * alpha)
        self.laws = {"uniform": np.full_like(unigram, 1 / k), "unigram": unigram, "bigram": bigram}
        # Cross-entropy of the bigram strategy at these positions.
        self.bigram_loss = -float((self.row * np.log(bigram)).sum())

    def first_layer(self, lag_logits: Array) -> tuple[Array, Callable[[Array], Array]]:
        """z (q, last): share of layer-1 attention that falls on state 0, by source; and the map from ∂L/∂z to ∂L/∂v."""
        last, tracked = self.held.shape[1], min(len(lag_logits), self.held.shape[1])
        weight = np.ones(last)
        weight[:tracked] = np.exp(lag_logits[:tracked])
        total = weight.cumsum()
        attention = (self.matches @ weight) / total

        def pullback(by_attention: Array) -> Array:
            scaled = by_attention / total
            by_weight = scaled.ravel() @ self.matches.reshape(-1, last)
            by_weight -= (scaled * attention).sum(axis=0)[::-1].cumsum()[::-1]
            return np.append((by_weight * weight)[:tracked], np.zeros(len(lag_logits) - tracked))

        return attention, pullback

    def loss(self, logits: Array) -> tuple[float, Array]:
        """These positions' part of the loss for logits (q, k), and its derivative by them."""
        model, log_total = softmax(logits, axis=1)
        return float(self.chance @ log_total - (self.row * logits).sum()), self.chance[:, None] * model - self.row

    def distances(self, logits: Array) -> dict[str, float]:
        """These positions' part of the distances."""
        log_model = logits - softmax(logits, axis=1)[1][:, None]
        return {
            name: -float(self.chance @ ((law * log_model).sum(axis=1) + entr(law).sum(axis=1)))
            for name, law in self.laws.items()
        }

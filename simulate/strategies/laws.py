r"""Laws of the next token by ideal strategies on sampled sequences: dense, or a few atoms over a background.

All losses are in nats. The last law of a set is the true one; before it stand those of the strategies in their expected
order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, xlogy

from onset.theory.arrays import Array

__all__ = ["TRUE", "DenseLaws", "Laws", "SparseLaws"]

TRUE = "true"
"""Name of the true law of the next token."""


class Laws(Protocol):
    """S laws of the next token, of n sequences at T positions: those of S - 1 strategies, then the true one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the laws."""
        ...

    def entropies(self) -> Array:
        """Entropy of each law at each position, shape (S, n, T)."""
        ...

    def losses(self) -> Array:
        """Cross-entropy of the true law with each strategy's at each position, shape (S - 1, n, T)."""
        ...

    def log_probabilities(self, tokens: NDArray[np.integer[Any]]) -> Array:
        """Logarithm of each law at tokens (n, T), shape (S, n, T)."""
        ...

    def totals(self) -> Array:
        """Sum of each law's probabilities at each position, shape (S, n, T): one, but for mistakes."""
        ...


@dataclass(frozen=True)
class DenseLaws:
    """Laws as probabilities of all tokens, for small vocabularies.

    Attributes
    ----------
    names : tuple of str
    values : array, shape (S, n, T, V)
    """

    names: tuple[str, ...]
    values: Array

    def entropies(self) -> Array:
        return entr(self.values).sum(axis=-1)

    def losses(self) -> Array:
        return -xlogy(self.values[-1], self.values[:-1]).sum(axis=-1)

    def log_probabilities(self, tokens: NDArray[np.integer[Any]]) -> Array:
        at = np.broadcast_to(tokens.astype(np.intp)[..., None], (len(self.names), *tokens.shape, 1))
        with np.errstate(divide="ignore"):
            return np.log(np.take_along_axis(self.values, at, axis=-1)[..., 0])

    def totals(self) -> Array:
        return self.values.sum(axis=-1)


@dataclass(frozen=True)
class SparseLaws:
    r"""Laws as m atoms over a background, p_j = rest · b_j + Σ_i w_i [j = token_i], for large vocabularies.

    Attributes
    ----------
    names : tuple of str
    tokens : integer array, shape (S, n, T, m)
        Distinct tokens at each position, except where the weight is zero.
    weights : array, shape (S, n, T, m)
    rest : array, shape (S, n, T)
        One minus the sum of the weights.
    background : array, shape (S, V)
        b of each law; sums to one.
    """

    names: tuple[str, ...]
    tokens: NDArray[np.int64]
    weights: Array
    rest: Array
    background: Array

    def _below(self, law: int, tokens: NDArray[np.int64]) -> Array:
        """Background share rest · b of a law at tokens (n, T, m)."""
        return self.rest[law][..., None] * self.background[law][tokens]

    def entropies(self) -> Array:
        background = entr(self.background).sum(axis=1)[:, None, None]
        smooth = self.rest * background + entr(self.rest) * self.background.sum(axis=1)[:, None, None]
        below = np.stack([self._below(law, self.tokens[law]) for law in range(len(self.names))])
        return smooth + (np.where(self.weights > 0, entr(below + self.weights) - entr(below), 0.0)).sum(axis=-1)

    def losses(self) -> Array:
        true, losses = len(self.names) - 1, []
        for law in range(true):
            # The loss of the background alone, then corrected at the atoms.
            mean_log = float(xlogy(self.background[true], self.background[law]).sum())
            smooth = self.rest[true] * (
                mean_log + np.log(self.rest[law], where=self.rest[law] > 0, out=np.full_like(self.rest[law], -np.inf))
            )
            smooth = np.where(self.rest[true] > 0, smooth, 0.0)
            at_true = self._log(law, self.tokens[true])
            atoms = np.where(self.weights[true] > 0, self.weights[true] * at_true, 0.0).sum(axis=-1)
            below = self._below(law, self.tokens[law])
            share = self._below(true, self.tokens[law])
            with np.errstate(divide="ignore", invalid="ignore"):
                gain = share * (np.log(below + self.weights[law]) - np.log(below))
            correction = np.where((self.weights[law] > 0) & (share > 0), gain, 0.0).sum(axis=-1)
            losses.append(-(smooth + atoms + correction))
        return np.array(losses)

    def log_probabilities(self, tokens: NDArray[np.integer[Any]]) -> Array:
        at = tokens.astype(np.intp)[..., None]
        return np.stack([self._log(law, at)[..., 0] for law in range(len(self.names))])

    def totals(self) -> Array:
        return self.weights.sum(axis=-1) + self.rest * self.background.sum(axis=1)[:, None, None]

    def _log(self, law: int, tokens: NDArray[np.int64]) -> Array:
        """Logarithm of a law at tokens (n, T, m)."""
        matches = (tokens[..., :, None] == self.tokens[law][..., None, :]) * self.weights[law][..., None, :]
        with np.errstate(divide="ignore"):
            return np.log(self._below(law, tokens) + matches.sum(axis=-1))

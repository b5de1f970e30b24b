r"""The task of repeated random segments, on which induction heads are usually shown (Olsson et al., arXiv 2209.11895).

A sequence of T + 1 tokens repeats a segment of L tokens, x_{t+L} = x_t; L is uniform from a shortest to a longest
length, and the segment's tokens are independent and uniform over V. With q = 1 - 1/V, the *latest earlier copy* of the
current token x_t exists with probability

    1 - q^{t-1} for t ≤ L, and 1 for t > L,

and its successor is the next token x_{t+1} with probability, for L ≥ 3,

    (1 - q^{t-1})/V for t < L,    (1 - q^{L-2})/V for t = L,    q^{L-1} + (1 - q^{L-2})/V for t > L:

for t > L a chance copy may stand within the last L - 1 tokens, the latest j tokens back with probability q^{j-1}/V, and
its successor is then right by chance 1/V, never if j = L - 1, where the next token is the current one. The strategy
*induction* gives the successor the probability c, its mean over all positions with a copy, and the rest evenly to the
other tokens; *uniform* gives 1/V to each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np

from onset.theory import arguments, tasks
from onset.theory.arrays import Array
from onset.theory.entries import entry
from onset.theory.expectation import Expectation

__all__ = ["RepeatedSegments"]


@tasks.register
@dataclass(frozen=True)
class RepeatedSegments(tasks.Task):
    """Repeated random segments.

    Parameters
    ----------
    vocabulary : int
        V.
    context : int
        T: tokens the model sees; a sequence has T + 1.
    shortest, longest : int
        Tokens of a segment; each length from the one to the other is as likely.
    """

    vocabulary: int = entry(64, check=partial(arguments.integer, least=2, most=10**6))  # type: ignore[assignment]
    context: int = entry(64, check=partial(arguments.integer, least=2, most=10**5))
    shortest: int = entry(8, check=partial(arguments.integer, least=3))
    longest: int = entry(24, check=partial(arguments.integer, least=3))

    kind: ClassVar[str] = "repeated-segments"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shortest <= self.longest <= self.context:
            raise ValueError(
                f"shortest = {self.shortest}, longest = {self.longest} with context = {self.context}: expected "
                "shortest ≤ longest ≤ context, so that every segment returns; change one of them."
            )

    @property
    def strategies(self) -> tuple[str, ...]:
        return "uniform", "induction"

    @property
    def label(self) -> str:
        return f"segments V={self.vocabulary} T={self.context} L={self.shortest}-{self.longest}"

    @property
    def lags(self) -> tuple[int, ...]:
        return (1,)

    @cached_property
    def copies(self) -> tuple[Array, Array]:
        """Probability that the current token has an earlier copy, and that the latest one's successor comes next.

        Each of shape (lengths, T), by length of the segment and position.
        """
        length = np.arange(self.shortest, self.longest + 1)[:, None]
        position = np.arange(1, self.context + 1)
        q = 1 - 1 / self.vocabulary
        exists = np.where(position > length, 1.0, 1 - q ** (position - 1.0))
        chance = (1 - q ** (length - 2.0)) / self.vocabulary
        right = np.where(position < length, exists / self.vocabulary, chance)
        return exists, right + np.where(position > length, q ** (length - 1.0), 0.0)

    @property
    def reliability(self) -> float:
        """c: how often the successor of the latest earlier copy comes next, of the positions with a copy."""
        exists, right = self.copies
        return float(right.sum() / exists.sum())

    def expected_loss(self, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
        arguments.one_of("strategy", strategy, self.strategies)
        uniform = np.log(self.vocabulary)
        if strategy == "uniform":
            return Expectation(float(uniform), 0.0)
        exists, right = (share.mean() for share in self.copies)
        c = self.reliability
        wrong = np.log((self.vocabulary - 1) / (1 - c)) if c < 1 else 0.0
        return Expectation(float(-right * np.log(c) + (exists - right) * wrong + (1 - exists) * uniform), 0.0)

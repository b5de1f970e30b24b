"""Sequences on which heads are scored: random tokens, repeated or not, with or without a first token; or a task's own.

A score means something only together with its sequences, so each says what the model is shown (`description`). Random
tokens of a sequence are distinct; a recipe's control replaces every copy but the first by fresh tokens, so that nothing
repeats while all positions stay. Sequences of a task, on whose few tokens a model was trained, have no such control.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onset.simulate.tasks import sampler
from onset.theory import arguments
from onset.theory.tasks import Task

__all__ = ["Pool", "Recipe", "Sequences", "TaskSequences"]


@dataclass(frozen=True)
class Pool:
    """Tokens that random sequences are made of.

    Attributes
    ----------
    tokens : array of int
        Tokens that may be drawn, the most common ones first if that is known.
    first : int or None
        Token that stands before every sequence where a recipe asks for one: the model's own beginning of a text.
    ranked : bool
        Whether `tokens` are in the order of their frequency.
    """

    tokens: NDArray[np.int64]
    first: int | None = None
    ranked: bool = False

    @classmethod
    def of(cls, vocabulary: int) -> Pool:
        """All tokens of a vocabulary, in no order of frequency."""
        return cls(np.arange(vocabulary))

    def trimmed(self, share: float) -> NDArray[np.int64]:
        """The tokens without that share of the most and of the least common ones; all if their order is unknown."""
        cut = int(share * len(self.tokens)) if self.ranked else 0
        return self.tokens[cut : len(self.tokens) - cut]


class Sequences(Protocol):
    """Where sequences come from."""

    @property
    def description(self) -> str:
        """What the model is shown."""
        ...

    @property
    def controlled(self) -> bool:
        """Whether controls are sequences in which nothing repeats; else they are the sequences themselves."""
        ...

    def problem(self, pool: Pool, context: int | None = None) -> str:
        """Why sequences cannot be drawn of tokens of a pool, for a context; empty if they can."""
        ...

    def batches(
        self, pool: Pool, count: int, generator: np.random.Generator, *, tokens: int, context: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of sequences and of their controls, each (B, T), of equal lengths and at most `tokens` tokens or one.

        Parameters
        ----------
        pool : Pool
        count : int
            Sequences in all.
        generator : numpy.random.Generator
        tokens : int
            Largest number of tokens in a batch, unless a single sequence has more.
        context : int, optional
            Longest sequence.

        Raises
        ------
        ValueError
            If there is a `problem`.
        """
        ...


@dataclass(frozen=True)
class Recipe:
    """How sequences are drawn: `tokens` distinct random tokens, `copies` times in a row.

    Attributes
    ----------
    tokens : int
        Tokens of the first copy of the shortest sequence.
    copies : int
    first : bool
        Whether the model's first token stands before them.
    longest : int or None
        Tokens of the first copy of the longest sequence, if lengths differ; they are spread evenly.
    trimmed : float
        Share of the most and of the least common tokens that are left out, where frequencies are known.
    """

    tokens: int
    copies: int = 1
    first: bool = False
    longest: int | None = None
    trimmed: float = 0.0

    @property
    def description(self) -> str:
        """What the model is shown."""
        length = f"{self.tokens}" if self.longest is None else f"{self.tokens} to {self.longest}"
        first = "a first token, then " if self.first else ""
        repeated = "once" if self.copies == 1 else "twice" if self.copies == 2 else f"{self.copies} times"
        trimmed = f", the {100 * self.trimmed:.3g}% most and least common left out" if self.trimmed else ""
        return f"{first}{length} distinct random tokens, {repeated}{trimmed}"

    @property
    def controlled(self) -> bool:
        return True

    def lengths(self, count: int, context: int | None = None) -> list[int]:
        """Tokens of the first copies of `count` sequences that fit into a context."""
        longest = self.longest or self.tokens
        if context is not None:
            longest = min(longest, (context - self.first) // self.copies)
        return np.linspace(self.tokens, longest, count).round().astype(int).tolist()

    def problem(self, pool: Pool, context: int | None = None) -> str:
        least = self.tokens * self.copies
        if context is not None and context < least + self.first:
            return (
                f"context = {context}: expected at least {least + self.first} for {self.description}; choose another "
                "score."
            )
        longest = max(self.lengths(2, context)) * self.copies
        if (size := len(pool.trimmed(self.trimmed))) < longest:
            return (
                f"a vocabulary of {size} tokens: expected at least {longest} for {self.description}, and for controls "
                "without any repeat; choose a score on shorter sequences."
            )
        if self.first and pool.first is None:
            return f"no first token is known: expected one for {self.description}; give it, or choose a score without."
        return ""

    def batches(
        self, pool: Pool, count: int, generator: np.random.Generator, *, tokens: int, context: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        if problem := self.problem(pool, context):
            raise ValueError(problem)
        lengths = self.lengths(arguments.integer("sequences", count, least=2), context)
        allowed = pool.trimmed(self.trimmed)
        rows: list[tuple[Tensor, Tensor]] = []
        for length, following in zip(lengths, [*lengths[1:], None], strict=True):
            rows.append(self._sequence(pool, allowed, length, generator))
            size = len(rows[0][0])
            if following != length or (len(rows) + 1) * size > tokens:
                yield torch.stack([row for row, _ in rows]), torch.stack([control for _, control in rows])
                rows = []

    def _sequence(
        self, pool: Pool, allowed: NDArray[np.int64], length: int, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        drawn = generator.choice(allowed, size=length * self.copies, replace=False)
        first = [] if pool.first is None or not self.first else [pool.first]
        repeated = np.concatenate([first, np.tile(drawn[:length], self.copies)]).astype(np.int64)
        return torch.from_numpy(repeated), torch.from_numpy(np.concatenate([first, drawn]).astype(np.int64))


@dataclass(frozen=True)
class TaskSequences:
    """Sequences of a task, as a model was trained on them."""

    task: Task

    @property
    def description(self) -> str:
        return f"sequences of the task {self.task.label}"

    @property
    def controlled(self) -> bool:
        return False

    def problem(self, pool: Pool, context: int | None = None) -> str:
        return ""

    def batches(
        self, pool: Pool, count: int, generator: np.random.Generator, *, tokens: int, context: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        drawn = sampler(self.task).held_out(arguments.integer("sequences", count, least=2), generator).tokens
        for rows in torch.from_numpy(drawn[:, :-1].astype(np.int64)).split(max(1, tokens // self.task.context)):
            yield rows, rows

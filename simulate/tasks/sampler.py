"""Sampling of a task's sequences, with what its ideal strategies predict on them.

To add a task, derive from `Sampler` and register it for the task's class; see `onset.theory.tasks`. Samplers from
outside the library are checked when they are first asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from onset.simulate.strategies.laws import Laws
from onset.simulate.tasks.consistency import require_consistent
from onset.theory.arrays import Tokens
from onset.theory.tasks import Task

__all__ = ["SAMPLERS", "Sample", "Sampler", "register", "sampler", "token_type"]


class Sample(Protocol):
    """Sampled sequences: their tokens, and what else the task's laws need."""

    @property
    def tokens(self) -> Tokens: ...


TaskT = TypeVar("TaskT", bound=Task)
SampleT = TypeVar("SampleT", bound=Sample)


class Sampler(ABC, Generic[TaskT, SampleT]):
    """Sequences of a task and the laws of its ideal strategies."""

    def __init__(self, task: TaskT) -> None:
        self.task = task

    @abstractmethod
    def sample(self, count: int, generator: np.random.Generator) -> SampleT:
        """Draw `count` sequences of T + 1 tokens; they depend on the generator alone."""

    @property
    def independent(self) -> bool:
        """Whether the sequences of a batch are independent of each other."""
        return True

    def batches(self, number: int, size: int, generator: np.random.Generator) -> Tokens:
        """Tokens of batches of training, one after the other, shape (number · size, T + 1)."""
        if self.independent:
            return self.sample(number * size, generator).tokens
        return np.concatenate([self.sample(size, generator).tokens for _ in range(number)])

    def held_out(self, count: int, generator: np.random.Generator) -> SampleT:
        """As `sample`, for measurements: where data are finite, of such as training never sees."""
        return self.sample(count, generator)

    @abstractmethod
    def laws(self, sample: SampleT) -> Laws:
        """Law of each strategy, in the task's order, and the true law, at the T positions of each sequence."""

    def masks(self, sample: SampleT) -> dict[str, NDArray[np.bool_]]:
        """Sets of positions, shape (n, T), by name, over which the loss is recorded separately."""
        return {}


SAMPLERS: dict[type[Task], type[Sampler[Any, Any]]] = {}
"""Sampler of each task."""


def register(task: type[Task]) -> Any:
    """Class decorator: use a sampler for the tasks of a class."""

    def registered(kind: type[Sampler[Any, Any]]) -> type[Sampler[Any, Any]]:
        SAMPLERS[task] = kind
        return kind

    return registered


def sampler(task: Task, **options: Any) -> Sampler[Any, Any]:
    """The sampler of a task.

    Raises
    ------
    ValueError
        If none is registered, or one from outside the library gives sequences and laws that do not fit together.
    """
    if type(task) not in SAMPLERS:
        raise ValueError(
            f"task = {task.kind!r}: no sampler is registered for it; register one with onset.simulate.tasks.register."
        )
    kind = SAMPLERS[type(task)]
    if kind.__module__.partition(".")[0] != __name__.partition(".")[0]:
        _checked(kind, task)
    return kind(task, **options)


@lru_cache(maxsize=64)
def _checked(kind: type[Sampler[Any, Any]], task: Task) -> None:
    require_consistent(kind(task))


def token_type(vocabulary: int) -> type[np.integer[Any]]:
    """The smallest integer type of tokens that numpy, numba and torch all support."""
    return np.uint8 if vocabulary <= 256 else np.int32

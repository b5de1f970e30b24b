"""Tasks: what a model learns in context.

A task describes sequences of `context` + 1 tokens from a vocabulary, and names the ideal strategies that a model may
use on them. Its description stands here; how sequences are sampled and what each strategy predicts on them is in
`onset.simulate.tasks`.

To add a task, write a frozen dataclass that derives from `Task`, whose fields are made by `onset.theory.entries.entry`;
decorate it with `register`; and register its sampling with `onset.simulate.tasks`. Training, run files, sweeps, listing
and figures work from what these say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from onset.theory import arguments
from onset.theory.entries import check_entries, entries_of, read_entries, write_entries
from onset.theory.expectation import Expectation

__all__ = ["LARGEST_CONTEXT", "TASKS", "Task", "register", "task_from_dict"]

LARGEST_CONTEXT = 10**7
"""Largest context: theories whose cost does not grow with it are tested up to here."""


class Task(ABC):
    """What a model learns in context. Subclasses are frozen dataclasses with a field `context`.

    Attributes
    ----------
    kind : str
        Name in settings and files.
    context : int
        T: tokens the model sees; a sequence has T + 1, of which the last is only predicted.
    """

    kind: ClassVar[str]
    context: int

    def __post_init__(self) -> None:
        check_entries(self)

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Number of tokens."""

    @property
    @abstractmethod
    def strategies(self) -> tuple[str, ...]:
        """Names of the ideal strategies, in the order in which a model is expected to use them."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Short name for tables and figures."""

    @abstractmethod
    def expected_loss(self, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
        """Expected loss of an ideal strategy over the scored positions, nats per token, to `tolerance`."""

    def expected_losses(self, *, seed: int = 0) -> dict[str, Expectation]:
        """Expected loss of every ideal strategy, nats per token, by name."""
        return {strategy: self.expected_loss(strategy, seed=seed) for strategy in self.strategies}

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags of the layer-1 heads that the last strategy needs; their formation is a transition too."""
        return ()

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Positions whose prediction counts in the loss, shape (T,)."""
        return np.ones(self.context, dtype=bool)

    @property
    def has_answers(self) -> bool:
        """Whether scored tokens are answers, right or wrong, so that a model's accuracy is recorded."""
        return False

    @property
    def variants(self) -> tuple[Task, ...]:
        """Other tasks over the same tokens that the model is measured on along training."""
        return ()

    def facts(self) -> dict[str, Any]:
        """Values that runs can be selected by, by option name; several values stand in a tuple."""
        values = {name.replace("_", "-"): getattr(self, name) for name in entries_of(self)}
        return {name: value for name, value in values.items() if isinstance(value, str | int | float)}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the task's kind."""
        return {"kind": self.kind} | write_entries(self)


AnyTask = TypeVar("AnyTask", bound=type[Task])

TASKS: dict[str, type[Task]] = {}
"""Tasks by kind."""

HOME = {
    "modular-arithmetic": "onset.theory.modular.task",
    "repeated-segments": "onset.theory.repeats.segments",
    "text": "onset.theory.language.text",
}
"""Modules of those kinds of the library that are imported where they are needed."""


def register(task: AnyTask) -> AnyTask:
    """Class decorator: make a task known by its kind."""
    TASKS[task.kind] = task
    return task


def task_from_dict(data: Mapping[str, Any]) -> Task:
    """The task that `Task.to_dict` wrote.

    Raises
    ------
    ValueError
        If the kind or an entry is unknown, or a value out of range.
    """
    entries = dict(arguments.table("task", data))
    known = ", ".join(sorted({*TASKS, *HOME}))
    if "kind" not in entries:
        raise ValueError(f"task has no kind: expected one of {known}; add kind.")
    kind = entries.pop("kind")
    if kind in HOME:
        import_module(HOME[kind])
    if kind not in TASKS:
        raise ValueError(
            f"task kind = {arguments.shown(kind)}: expected one of {known}; import the module that registers it first."
        )
    task = TASKS[kind]
    arguments.only_known(f"task {kind!r}", entries, entries_of(task))
    try:
        return task(**read_entries(task, entries))
    except TypeError as problem:  # an entry without default is missing
        raise ValueError(f"task {kind!r}: {problem}; add what is missing.") from problem

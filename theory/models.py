"""Models: families by name, with their parameter groups, initial values and defaults of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onset.theory import arguments
from onset.theory.architecture import PRESETS, Architecture
from onset.theory.entries import check_entries, entry
from onset.theory.tasks import Task
from onset.theory.training import OPTIMIZERS, Optimizer, Training

__all__ = ["FAMILIES", "Family", "ModelSpec"]


@dataclass(frozen=True)
class Family:
    """A model family.

    Attributes
    ----------
    name : str
    initialization : mapping of group to value
        Value of every entry of a group; for the transformer, standard deviation of the weights.
    optimizers : tuple of str
        Optimisers it is trained with, the default first.
    schedule : callable
        From an optimiser's name and a task to the default learning rate of each group, the longest run and the steps
        between two records, a few percent of the plateau.
    has_architecture : bool
        Whether its models have an `Architecture`.
    """

    name: str
    initialization: Mapping[str, float]
    optimizers: tuple[str, ...]
    schedule: Callable[[str, Task], tuple[Mapping[str, float], int, int]]
    has_architecture: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the parameter groups."""
        return tuple(self.initialization)

    def defaults(self, optimizer: str, task: Task) -> Training:
        """Training by the named optimiser where a setting gives nothing else."""
        learning_rate, steps, record_every = self.schedule(optimizer, task)
        decay = OPTIMIZERS[optimizer]
        return Training(Optimizer(optimizer, learning_rate, **decay), steps=steps, record_every=record_every)


def _plateaus(task: Task) -> int:
    """Plateaus of a toy model: one before the first head, two before each further one."""
    return 2 * max(1, len(task.lags)) - 1


def _linear(optimizer: str, task: Task) -> tuple[Mapping[str, float], int, int]:
    if optimizer == "sgd":  # the plateau grows with T
        steps = _plateaus(task) * (10 * task.context + 500)
        return {"lag_logits": 1.0, "match": 100 / task.context**2}, steps, max(1, task.context // 20)
    return {"lag_logits": 0.01, "match": 0.01}, 1000, 5


def _softmax(optimizer: str, task: Task) -> tuple[Mapping[str, float], int, int]:
    rate, steps, record_every = (1.0, 4000 * _plateaus(task), 10) if optimizer == "sgd" else (0.01, 1000, 5)
    return dict.fromkeys(("lag_logits", "match", "readout"), rate), steps, record_every


def _transformer(optimizer: str, task: Task) -> tuple[Mapping[str, float], int, int]:
    return {"weights": 5e-4}, 2500, 20  # the published rate, arXiv 2402.11004


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("linear", {"lag_logits": 0.0, "match": 0.01}, ("sgd", "adam"), _linear),
        Family("softmax", {"lag_logits": 0.0, "match": 0.0, "readout": 0.0}, ("sgd", "adam"), _softmax),
        Family("transformer", {"weights": 0.02}, ("adamw", "adam", "sgd"), _transformer, has_architecture=True),
    )
}
"""The one place where a family is registered by name."""


def _initialization(name: str, value: Any) -> dict[str, float]:
    return {group: arguments.bounded(f"{name}[{group}]", number) for group, number in value.items()}


@dataclass(frozen=True)
class ModelSpec:
    """Description of a model: its family, initial values, and for a transformer its architecture.

    Parameters
    ----------
    family : {"linear", "softmax", "transformer"}
    initialization : mapping of group to value
        Value of every entry of the group (transformer: standard deviation).
    architecture : Architecture or None
        Only for the transformer.
    """

    family: str = entry(check=lambda name, value: arguments.one_of(name, value, FAMILIES))
    initialization: Mapping[str, float] = entry(check=_initialization)
    architecture: Architecture | None = entry(
        None,
        check=lambda name, value: value,
        optional=True,
        write=Architecture.to_dict,
        read=lambda data: arguments.made_from("architecture", Architecture, arguments.table("architecture", data)),
    )

    def __post_init__(self) -> None:
        check_entries(self)
        if (self.architecture is not None) != FAMILIES[self.family].has_architecture:
            raise ValueError(
                f"architecture = {self.architecture} with family = {self.family!r}: expected an architecture for the "
                "transformer and none for the toy families."
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the parameter groups, each with a learning rate."""
        return FAMILIES[self.family].groups

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that can be frozen: the groups of a toy model; embedding, layers and head of a transformer."""
        if self.architecture is None:
            return self.groups
        layers = [f"layer_{n + 1}" for n in range(self.architecture.layers)]
        return ("embedding", *layers) if self.architecture.tied else ("embedding", *layers, "head")

    def preset(self, task: Task) -> str:
        """Name of the architecture among `PRESETS` for `task`: "own" if it has none, empty for a toy model."""
        if self.architecture is None:
            return ""
        heads = max(1, len(task.lags))
        return next((name for name, preset in PRESETS.items() if preset(heads) == self.architecture), "own")

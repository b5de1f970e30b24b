"""How a model is trained: optimiser, batch, length of the run, what is recorded and what is frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onset.theory import arguments
from onset.theory.entries import check_entries, entry

__all__ = ["BATCH", "OPTIMIZERS", "PRECISIONS", "Optimizer", "Training"]

OPTIMIZERS = {
    "sgd": {"betas": (0.0, 0.0), "weight_decay": 0.0},
    "adam": {"betas": (0.9, 0.999), "weight_decay": 0.0},
    "adamw": {"betas": (0.9, 0.95), "weight_decay": 0.1},
}
"""Default decay rates of the moments and weight decay of each optimiser."""

PRECISIONS = ("float32", "bfloat16")

BATCH = 64
"""Default number of sequences per step."""


@dataclass(frozen=True)
class Optimizer:
    """An optimiser with one learning rate per parameter group.

    Parameters
    ----------
    name : {"sgd", "adam", "adamw"}
    learning_rate : mapping of group to rate, per step
    betas : pair of float
        Decay rates of Adam's two moments, in [0, 1); unused by SGD.
    epsilon : float
        Adam's epsilon.
    weight_decay : float
        Decoupled weight decay (AdamW), on matrices only.
    """

    name: str
    learning_rate: Mapping[str, float]
    betas: tuple[float, float]
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        arguments.one_of("optimizer", self.name, OPTIMIZERS)
        rates = {group: arguments.scale(f"learning_rate[{group}]", rate) for group, rate in self.learning_rate.items()}
        object.__setattr__(self, "learning_rate", rates)
        betas = tuple(arguments.real("betas", beta) for beta in arguments.items("betas", self.betas))
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"betas = {arguments.shown(betas)}: expected two numbers in [0, 1); give for instance (0.9, 0.999)."
            )
        object.__setattr__(self, "betas", betas)
        object.__setattr__(self, "epsilon", arguments.positive("epsilon", self.epsilon))
        object.__setattr__(self, "weight_decay", arguments.real("weight_decay", self.weight_decay))
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay = {self.weight_decay}: expected zero or more; give 0 for none.")
        if self.weight_decay and self.name != "adamw":
            raise ValueError(
                f"weight_decay = {self.weight_decay} with optimizer = {self.name!r}: expected 0; "
                "use adamw for decoupled weight decay."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self) | {"betas": list(self.betas)}


def _optimizer(_: str, value: object) -> Optimizer:
    if not isinstance(value, Optimizer):
        raise ValueError(f"optimizer = {arguments.shown(value)}: expected an Optimizer; make settings with Setting.of.")
    return value


def _parts(name: str, value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else arguments.items(name, value)


_positive_integer = partial(arguments.integer, least=1)


@dataclass(frozen=True)
class Training:
    """A way of training.

    Parameters
    ----------
    optimizer : Optimizer
    batch : int
        B: fresh sequences per step.
    steps : int
        Longest run, in optimiser steps. Runs end earlier, a quarter past their last transition.
    record_every : int
        Steps between two records of a curve.
    frozen : tuple of str
        Parts of the model that keep their initial values.
    precision : {"float32", "bfloat16"}
        Precision of a transformer's matrix products; parameters and loss stay in single precision.
    whole : bool
        Continue to `steps` even where the last transition is long past.
    """

    optimizer: Optimizer = entry(check=_optimizer, write=Optimizer.to_dict)
    batch: int = entry(BATCH, check=_positive_integer, about="Sequences B per step.", label=lambda batch: f"B={batch}")
    steps: int = entry(2500, check=_positive_integer, about="Longest run, in optimiser steps.")
    record_every: int = entry(20, check=_positive_integer, about="Steps between two records of a curve.")
    frozen: tuple[str, ...] = entry(
        (),
        check=_parts,
        write=list,
        optional=True,
        label=lambda frozen: " ".join(f"{part} frozen" for part in frozen),
        about="Parts that keep their initial values: embedding, layer_1, layer_2, …, head; of a toy model lag_logits, "
        "match, readout.",
    )
    precision: str = entry(
        PRECISIONS[0],
        check=lambda name, value: arguments.one_of(name, value, PRECISIONS),
        optional=True,
        label=str,
        about="float32 or bfloat16, of the transformer's matrix products in training.",
    )
    whole: bool = entry(
        False,
        check=arguments.flag,
        optional=True,
        about="Continue to the last step even where the last transition is long past.",
    )

    def __post_init__(self) -> None:
        check_entries(self)

    def require_all_trained(self, method: str) -> None:
        """Raise ``ValueError`` if a part is frozen, which `method` does not support."""
        if self.frozen:
            raise ValueError(
                f"frozen = {list(self.frozen)}: {method} supports training of all parts only; "
                "use the mean field or the finite context."
            )

    def records(self, step: int) -> bool:
        """Whether a curve has a record at this step: every `record_every` steps and at the last."""
        return step % self.record_every == 0 or step == self.steps

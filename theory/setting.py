"""The description of an experiment: a task, a model and a way of training.

Prediction, simulation and training all take it.
A `Setting` is frozen, validated when made, loads from and saves to TOML and JSON, and has a stable `id`: equal settings
have the same id in every process and on every machine. Time is in optimiser steps.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from onset.theory import arguments, setting_files
from onset.theory.architecture import Architecture, published
from onset.theory.entries import entries_of, labels, read_entries, write_entries
from onset.theory.markov.task import MarkovChains
from onset.theory.models import FAMILIES, ModelSpec
from onset.theory.tasks import Task, task_from_dict
from onset.theory.training import OPTIMIZERS, PRECISIONS, Optimizer, Training

__all__ = ["Setting"]

TaskT = TypeVar("TaskT", bound=Task)

CHAINS = ("prior", "states", "order", "context", "tested_on")
"""Arguments of `Setting.of` that describe Markov chains, the task where no other is given."""


@dataclass(frozen=True)
class Setting(Generic[TaskT]):
    """One experiment. Make it with `Setting.of`, which fills what is left out with the family's defaults.

    Parameters
    ----------
    task : Task
        What is learnt.
    model : ModelSpec
        What learns it.
    training : Training
        How it is trained.
    """

    task: TaskT
    model: ModelSpec
    training: Training

    version: ClassVar[int] = 1
    """Version of the file format."""

    def __post_init__(self) -> None:
        family, training = FAMILIES[self.model.family], self.training
        arguments.one_of(f"optimizer of the {family.name} family", training.optimizer.name, family.optimizers)
        by_group = (("learning_rate", training.optimizer.learning_rate), ("initialization", self.model.initialization))
        for name, values in by_group:
            arguments.only_known(name, values, family.groups)
            if missing := [group for group in family.groups if group not in values]:
                raise ValueError(
                    f"{name} lacks {', '.join(missing)}: expected one value for each of {', '.join(family.groups)}; "
                    "use Setting.of to fill in defaults."
                )
        parts = self.model.parts
        for part in training.frozen:
            arguments.one_of(f"frozen part of the {family.name} family", part, parts)
        if set(training.frozen) == set(parts):
            raise ValueError(
                f"frozen = {arguments.shown(list(training.frozen))}: expected a part that is left to train; "
                "leave one out."
            )
        arguments.one_of("precision", training.precision, PRECISIONS if family.has_architecture else PRECISIONS[:1])
        in_order = tuple(part for part in parts if part in training.frozen)
        if in_order != training.frozen:
            object.__setattr__(self, "training", dataclasses.replace(training, frozen=in_order))

    def __hash__(self) -> int:
        return int(self.id, 16)

    @cached_property
    def id(self) -> str:
        """Sixteen hexadecimal digits that depend on every number of the setting and on nothing else."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def default_rates(self) -> Mapping[str, float]:
        """Learning rate of each group where a setting of this task, family and optimiser gives none, per step."""
        return FAMILIES[self.model.family].schedule(self.training.optimizer.name, self.task)[0]

    @property
    def label(self) -> str:
        """Short name for tables and figures, with what differs from the family's defaults."""
        optimizer, usual = self.training.optimizer, self.default_rates
        rates = [f"η({group})={rate:g}" for group, rate in optimizer.learning_rate.items() if rate != usual[group]]
        preset, own = self.model.preset(self.task), self.model.architecture
        shape = own.label if own is not None and preset == "own" else "" if preset == "published" else preset
        parts = (self.model.family, optimizer.name, self.task.label, *rates, shape, *labels(self.training))
        return " ".join(part for part in parts if part)

    @classmethod
    def of(
        cls,
        family: str = "linear",
        *,
        task: Task | None = None,
        optimizer: str | None = None,
        learning_rate: float | Mapping[str, float] | None = None,
        initialization: float | Mapping[str, float] | None = None,
        betas: tuple[float, float] | None = None,
        epsilon: float | None = None,
        weight_decay: float | None = None,
        architecture: Architecture | None = None,
        **entries: Any,
    ) -> Setting:
        """Make a setting. What is left out or None takes the family's default; a single number stands for every group.

        Parameters
        ----------
        family : str
            Of `onset.theory.models.FAMILIES`.
        task : Task, optional
            By default Markov chains, described by `prior`, or `states` and `order`; `context`; and `tested_on`, as in
            `MarkovChains.of`.
        optimizer : str, optional
            Of `onset.theory.training.OPTIMIZERS`.
        learning_rate, initialization : float or mapping of group to float, optional
        betas, epsilon, weight_decay : optional
            As in `Optimizer`.
        architecture : Architecture, optional
            Of a transformer; by default the published one.
        **entries
            Entries of the Markov chains, and of `Training`: batch, steps, record_every, frozen, precision, whole.

        Raises
        ------
        ValueError
            Naming the argument, if a value is out of range or a name unknown.
        """
        named = FAMILIES[arguments.one_of("family", family, FAMILIES)]
        chains = {name: entries.pop(name) for name in CHAINS if name in entries}
        arguments.only_known("setting", entries, entries_of(Training).keys() - {"optimizer"})
        if task is None:
            task = MarkovChains.of(**chains)
        elif chains:
            raise ValueError(
                f"{', '.join(chains)} with a task: expected entries of Markov chains only where no task is given; "
                "put them into the task."
            )
        name = arguments.one_of("optimizer", named.optimizers[0] if optimizer is None else optimizer, OPTIMIZERS)
        if named.has_architecture and architecture is None:
            architecture = published(max(1, len(task.lags)))
        usual_rates, steps, record_every = named.schedule(name, task)
        rates = _per_group("learning_rate", learning_rate, usual_rates)
        decay = _given(epsilon=epsilon, betas=betas, weight_decay=weight_decay)
        chosen = Optimizer(name, rates, **(OPTIMIZERS[name] | decay))
        schedule: dict[str, Any] = {"steps": steps, "record_every": record_every}
        return cls(
            task,  # type: ignore[arg-type]
            ModelSpec(family, _per_group("initialization", initialization, named.initialization), architecture),
            Training(chosen, **(schedule | _given(**entries))),
        )

    def explicit(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads, without entries of model and training that equal the family's defaults."""
        usual = Setting.of(self.model.family, task=self.task, optimizer=self.training.optimizer.name).to_dict()
        data, defaults = self.to_dict(), entries_of(ModelSpec).keys() | entries_of(Training).keys()
        explicit = {name: value for name, value in data.items() if name not in defaults or value != usual.get(name)}
        for name in ("optimizer", "initialization"):
            explicit[name] = _difference(data[name], usual[name])
        explicit["optimizer"]["name"] = self.training.optimizer.name
        return explicit | {"family": self.model.family}

    def replace(self, **changes: Any) -> Setting:
        """A copy with some entries changed, by their names in a file (context, optimizer, batch, …), or whole parts."""
        parts = {name: changes.pop(name, getattr(self, name)) for name in ("task", "model", "training")}
        for name, part in parts.items():
            inside = {key: changes.pop(key) for key in entries_of(part) if key in changes}
            parts[name] = dataclasses.replace(part, **inside) if inside else part
        arguments.only_known("setting", changes, ())
        return Setting(**parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, as TOML and JSON hold them.

        Entries of Markov chains stand beside those of model and training; any other task is a table of its own.
        """
        task = self.task.to_dict()
        if task["kind"] == MarkovChains.kind:
            del task["kind"]
        else:
            task = {"task": task}
        return {"version": self.version} | task | write_entries(self.model) | write_entries(self.training)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Setting:
        """The setting that `to_dict` wrote; entries left out take the family's defaults.

        Raises
        ------
        ValueError
            Naming an unknown entry (with the nearest known one) or a value out of range.
        """
        chains, model, training = (entries_of(part).keys() for part in (MarkovChains, ModelSpec, Training))
        arguments.only_known("setting", data, chains | model | training | {"version", "task"})
        if data.get("version", cls.version) != cls.version:
            raise ValueError(
                f"setting has version = {arguments.shown(data['version'])}: expected {cls.version}; "
                "write it again with this release."
            )
        optimizer = dict(arguments.table("optimizer", data.get("optimizer", {})))
        arguments.only_known("optimizer", optimizer, {field.name for field in dataclasses.fields(Optimizer)})
        optimizer["optimizer"] = optimizer.pop("name", None)
        flat = read_entries(MarkovChains, {"prior": {}} | dict(data) if "task" not in data else data)
        task = task_from_dict(data["task"]) if "task" in data else None
        values = read_entries(ModelSpec, data) | read_entries(Training, data) | flat | optimizer
        return cls.of(values.pop("family", "linear"), task=task, **values)

    def save(self, path: str | Path) -> None:
        """Write the setting to a `.toml` or `.json` file."""
        setting_files.write(path, self.to_dict())

    def to_toml(self) -> str:
        """Text of the `.toml` file that `save` writes."""
        return setting_files.to_toml(self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Setting:
        """Read a setting from a `.toml` or `.json` file; a ``ValueError`` names the file and what is wrong with it."""
        data = setting_files.read(path)
        try:
            return cls.from_dict(arguments.table("setting", data))
        except (RecursionError, ValueError) as problem:
            raise ValueError(f"setting file {path}: {setting_files.reason(problem)}") from problem


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _per_group(name: str, given: float | Mapping[str, float] | None, default: Mapping[str, float]) -> dict[str, float]:
    if given is None:
        return dict(default)
    if isinstance(given, Mapping):
        arguments.only_known(name, given, default)
        return dict(default) | dict(given)
    return dict.fromkeys(default, given)


def _difference(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Those `values`, also inside tables, that differ from the `usual` ones."""
    return {
        name: _difference(value, usual[name]) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value != usual[name]
    }

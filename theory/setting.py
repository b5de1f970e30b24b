"""The one description of an experiment, which prediction, simulation and training all take.

A `Setting` is frozen, validated when made, loads from and saves to TOML and JSON, and has a stable `id`: the same
numbers give the same id in every process and on every machine.

Symbols: k `states`, T `context`, B `batch`, eta `learning_rate` per parameter group. Time is in optimiser steps.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from onset.theory import arguments
from onset.theory.architecture import PRESETS, Architecture, published
from onset.theory.families import FAMILIES, OPTIMIZERS
from onset.theory.priors import PRIORS, Dirichlet, Mixture, Prior
from onset.theory.transitions import strategies

__all__ = ["LARGEST_FILE", "Optimizer", "Setting", "parsed", "why"]


PRECISIONS = ("float32", "bfloat16")

LONGEST = 10**7
"""Context: the theories whose cost does not grow with it have answered up to here."""

LARGEST_FILE = 2**14
"""Bytes of a setting's file, a hundred times what one takes; longer ones can keep a TOML reader busy for minutes."""

BATCH = 64
"""Sequences per step where a setting says nothing."""

PLAIN = ("context", "initialization", "batch", "steps", "record_every", "frozen", "precision", "whole")
"""Entries of a setting's file that `Setting.of` takes as they are."""


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
        rates = {
            group: arguments.positive(f"learning_rate[{group}]", rate) for group, rate in self.learning_rate.items()
        }
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
                f"weight_decay = {self.weight_decay} with optimizer = {self.name!r}: expected 0; use adamw for decoupled weight decay."
            )


@dataclass(frozen=True)
class Setting:
    """One experiment. Make it with `Setting.of`, which fills what is left out with the family's defaults.

    Parameters
    ----------
    prior : Prior
        Law of the transition matrices; sequences start from the stationary law.
    context : int
        T: tokens the model sees; a sequence has T + 1.
    family : {"linear", "softmax", "transformer"}
    optimizer : Optimizer
    initialization : mapping of group to value
        Value of every entry of the group (transformer: standard deviation).
    batch : int
        B: fresh sequences per step.
    steps : int
        Longest run, in optimiser steps.
    record_every : int
        Steps between two recorded points of a curve.
    architecture : Architecture or None
        Only for the transformer.
    frozen : tuple of str
        Parts that keep their start, of `parts`: to see which layer has to move first.
    precision : {"float32", "bfloat16"}
        Of the transformer's matrix products in training; parameters and the loss stay in single precision.
    tested_on : tuple of Prior
        Other laws of chains that the model is measured on along training, beside that of the held-out chains, which is `prior`'s.
    whole : bool
        Go on to `steps` even where the last transition is long past.
    """

    prior: Prior
    context: int
    family: str
    optimizer: Optimizer
    initialization: Mapping[str, float]
    batch: int
    steps: int
    record_every: int
    architecture: Architecture | None = None
    frozen: tuple[str, ...] = ()
    precision: str = "float32"
    tested_on: tuple[Prior, ...] = ()
    whole: bool = False

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        family = FAMILIES[arguments.one_of("family", self.family, FAMILIES)]
        arguments.one_of(f"optimizer of the {self.family} family", self.optimizer.name, family.optimizers)
        object.__setattr__(self, "context", arguments.integer("context", self.context, least=2, most=LONGEST))
        for name in ("batch", "steps", "record_every"):
            object.__setattr__(self, name, arguments.integer(name, getattr(self, name), least=1))
        start = {
            group: arguments.real(f"initialization[{group}]", value) for group, value in self.initialization.items()
        }
        object.__setattr__(self, "initialization", start)
        for what, given in (("learning_rate", self.optimizer.learning_rate), ("initialization", start)):
            arguments.only_known(what, given, family.groups)
            if missing := [group for group in family.groups if group not in given]:
                raise ValueError(
                    f"{what} lacks {', '.join(missing)}: expected one value for each of {', '.join(family.groups)}; use Setting.of to fill in defaults."
                )
        if (self.architecture is not None) != (self.family == "transformer"):
            raise ValueError(
                f"architecture = {self.architecture} with family = {self.family!r}: expected an architecture for the transformer and none for the toy families."
            )
        self._check_training()

    def _check_training(self) -> None:
        frozen = (self.frozen,) if isinstance(self.frozen, str) else arguments.items("frozen", self.frozen)
        for part in frozen:
            arguments.one_of(f"frozen part of the {self.family} family", part, self.parts)
        if set(frozen) == set(self.parts):
            raise ValueError(
                f"frozen = {arguments.shown(list(frozen))}: expected a part that is left to train; leave one out."
            )
        object.__setattr__(self, "frozen", tuple(part for part in self.parts if part in frozen))
        arguments.one_of("precision", self.precision, PRECISIONS if self.architecture else PRECISIONS[:1])
        arguments.flag("whole", self.whole)
        tests = arguments.items("tested_on", self.tested_on)
        for prior in tests:
            if (prior.states, prior.order) != (self.states, self.order):
                raise ValueError(
                    f"tested_on = {prior}: expected states = {self.states} and order = {self.order}, those of the chains trained on."
                )
        object.__setattr__(self, "tested_on", tests)

    def __hash__(self) -> int:
        return int(self.id, 16)

    @property
    def states(self) -> int:
        return self.prior.states

    @property
    def order(self) -> int:
        """n of the n-gram: the next symbol depends on the last n - 1."""
        return self.prior.order

    @property
    def strategies(self) -> tuple[str, ...]:
        """The ideal strategies in the order in which they are expected."""
        return strategies(self.order)

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be frozen: the parameter groups of a toy family; embedding, layers and head (with the last norm) of a transformer."""
        if self.architecture is None:
            return FAMILIES[self.family].groups
        layers = [f"layer_{n + 1}" for n in range(self.architecture.layers)]
        return ("embedding", *layers) if self.architecture.tied else ("embedding", *layers, "head")

    def records(self, step: int) -> bool:
        """Whether a curve has a record at this step: every `record_every` steps and at the last."""
        return step % self.record_every == 0 or step == self.steps

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that depend on every number of the setting and on nothing else."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """A short name for tables and pictures: what differs from the family's defaults in prior, learning rates and batch is named."""
        flat = self.prior == Dirichlet(self.states, order=self.order)
        prior = f" {_prior_label(self.prior)}" if not flat else "" if self.order == 2 else f" n={self.order}"
        usual = FAMILIES[self.family].defaults(self.optimizer.name, self.context, self.order).learning_rate
        more = "".join(f" η({g})={r:g}" for g, r in self.optimizer.learning_rate.items() if r != usual[g])
        if self.architecture is not None and self.architecture != published(self.order):
            names = [name for name, shape in PRESETS.items() if shape(self.order) == self.architecture]
            more += f" {names[0] if names else 'own shape'}"
        more += "" if self.batch == BATCH else f" B={self.batch}"
        more += "".join(f" {part} frozen" for part in self.frozen)
        more += "" if self.precision == PRECISIONS[0] else f" {self.precision}"
        return f"{self.family} {self.optimizer.name} k={self.states} T={self.context}{prior}{more}"

    @classmethod
    def of(
        cls,
        family: str = "linear",
        *,
        prior: Prior | None = None,
        states: int | None = None,
        order: int | None = None,
        context: int = 100,
        optimizer: str | None = None,
        learning_rate: float | Mapping[str, float] | None = None,
        initialization: float | Mapping[str, float] | None = None,
        betas: tuple[float, float] | None = None,
        weight_decay: float | None = None,
        batch: int = BATCH,
        steps: int | None = None,
        record_every: int | None = None,
        architecture: Architecture | None = None,
        frozen: Sequence[str] = (),
        precision: str = PRECISIONS[0],
        tested_on: Sequence[Prior] = (),
        whole: bool = False,
    ) -> Setting:
        """Make a setting; whatever is None takes the family's default, and a single number stands for every group.

        Raises
        ------
        ValueError
            Naming the argument, if a value is out of range or a name unknown.
        """
        model = FAMILIES[arguments.one_of("family", family, FAMILIES)]
        context = arguments.integer("context", context, least=2, most=LONGEST)
        if prior is None:
            prior = Dirichlet(2 if states is None else states, order=2 if order is None else order)
        for what, given in (("states", states), ("order", order)):
            if given is not None and given != getattr(prior, what):
                raise ValueError(
                    f"{what} = {given} but the prior has {what} = {getattr(prior, what)}: expected the same; leave one of them out."
                )
        name = arguments.one_of("optimizer", model.optimizers[0] if optimizer is None else optimizer, OPTIMIZERS)
        defaults = model.defaults(name, context, prior.order)
        choice = Optimizer(
            name,
            _per_group("learning_rate", learning_rate, defaults.learning_rate),
            betas=OPTIMIZERS[name]["betas"] if betas is None else betas,
            weight_decay=OPTIMIZERS[name]["weight_decay"] if weight_decay is None else weight_decay,
        )
        return cls(
            prior=prior,
            context=context,
            family=family,
            optimizer=choice,
            initialization=_per_group("initialization", initialization, model.initialization),
            batch=batch,
            steps=defaults.steps if steps is None else steps,
            record_every=defaults.record_every if record_every is None else record_every,
            architecture=published(prior.order) if family == "transformer" and architecture is None else architecture,
            frozen=frozen,  # type: ignore[arg-type]
            precision=precision,
            tested_on=tested_on,  # type: ignore[arg-type]
            whole=whole,
        )

    def only_markov(self, what: str) -> None:
        """Raise ``ValueError`` if the chains are of higher order than `what` knows."""
        if self.order != 2:
            raise ValueError(
                f"order = {self.order}: {what} knows Markov chains, order = 2, only; use the finite context, or order = 2."
            )

    def replace(self, **changes: Any) -> Setting:
        """Return a copy with some fields changed (and validated again)."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts: what TOML and JSON hold."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["prior"] = _prior_to_dict(self.prior)
        fields["optimizer"] = dataclasses.asdict(self.optimizer) | {"betas": list(self.optimizer.betas)}
        if self.architecture is None:
            del fields["architecture"]
        else:
            fields["architecture"] = self.architecture.to_dict()
        # What came later is left out where it says nothing, so that older ids and files stay.
        fields["frozen"], fields["tested_on"] = list(self.frozen), [_prior_to_dict(prior) for prior in self.tested_on]
        for name, silent in (("frozen", []), ("tested_on", []), ("precision", PRECISIONS[0]), ("whole", False)):
            if fields[name] == silent:
                del fields[name]
        return {"version": self.version} | fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Setting:
        """The setting that `to_dict` wrote; entries left out take the family's defaults.

        Raises
        ------
        ValueError
            Naming an unknown entry (with the nearest known one), a missing prior or a value out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        arguments.only_known("setting", data, known | {"version"})
        if data.get("version", cls.version) != cls.version:
            raise ValueError(
                f"setting has version = {arguments.shown(data['version'])}: expected {cls.version}; write it again with this release."
            )
        optimizer = dict(arguments.table("optimizer", data.get("optimizer", {})))
        arguments.only_known("optimizer", optimizer, {field.name for field in dataclasses.fields(Optimizer)})
        architecture = data.get("architecture")
        made = cls.of(
            data.get("family", "linear"),
            prior=_prior_from_dict(arguments.table("prior", data.get("prior", {}))),
            optimizer=optimizer.get("name"),
            learning_rate=optimizer.get("learning_rate"),
            betas=optimizer.get("betas"),
            weight_decay=optimizer.get("weight_decay"),
            architecture=None
            if architecture is None
            else _make("architecture", Architecture, arguments.table("architecture", architecture)),
            tested_on=[
                _prior_from_dict(arguments.table("tested_on", prior))
                for prior in arguments.items("tested_on", data.get("tested_on", ()))
            ],
            **{key: data[key] for key in PLAIN if key in data},
        )
        epsilon = arguments.positive("epsilon", optimizer.get("epsilon", made.optimizer.epsilon))
        return made.replace(optimizer=dataclasses.replace(made.optimizer, epsilon=epsilon))

    def save(self, path: str | Path) -> None:
        """Write the setting to a `.toml` or `.json` file."""
        path = Path(path)
        arguments.one_of("setting file's ending", path.suffix, (".json", ".toml"))
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n" if path.suffix == ".json" else self.to_toml())

    def to_toml(self) -> str:
        """What `save` writes to a `.toml` file."""
        return _toml(self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Setting:
        """Read a setting from a `.toml` or `.json` file; a ``ValueError`` names the file and what is wrong with it."""
        path = Path(path)
        arguments.one_of("setting file's ending", path.suffix, (".json", ".toml"))
        try:
            data = parsed(path)
        except (OSError, RecursionError, ValueError) as problem:
            raise ValueError(
                f"setting file {path} cannot be read ({why(problem)}): expected {path.suffix[1:].upper()} in UTF-8; mend it there."
            ) from problem
        try:
            return cls.from_dict(arguments.table("setting", data))
        except (RecursionError, ValueError) as problem:
            raise ValueError(f"setting file {path}: {why(problem)}") from problem


def why(problem: Exception) -> str:
    """In words, what keeps a file from being read as a setting."""
    if isinstance(problem, RecursionError):
        return "its tables or lists are nested too deeply; take some out."
    return str(problem.strerror if isinstance(problem, OSError) else problem)


def parsed(path: Path, largest: int = LARGEST_FILE) -> Any:
    """What the TOML or JSON file at `path`, of at most `largest` bytes, holds; raises what `why` puts into words."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    if (size := path.stat().st_size) > largest:
        raise ValueError(f"it has {size} bytes, expected at most {largest}")
    text = path.read_text(encoding="utf-8-sig")  # some editors put a mark before the first character
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text, object_pairs_hook=_once_each)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON's reader would take the last of several entries of one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if name in dict(pairs[:n]))
        raise ValueError(f"it has {arguments.shown(twice)} twice")
    return found


def _per_group(name: str, given: float | Mapping[str, float] | None, default: Mapping[str, float]) -> dict[str, float]:
    if given is None:
        return dict(default)
    if isinstance(given, Mapping):
        arguments.only_known(name, given, default)
        return dict(default) | dict(given)
    return dict.fromkeys(default, given)


def _make(where: str, kind: type, entries: Mapping[str, Any]) -> Any:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    arguments.only_known(where, entries, {field.name for field in fields})
    required = [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in entries]
    if required:
        raise ValueError(
            f"{where} lacks {', '.join(required)}: expected {', '.join(f.name for f in fields)}; add {required[0]}."
        )
    return kind(**entries)


def _prior_to_dict(prior: Prior) -> dict[str, Any]:
    if isinstance(prior, Mixture):
        return {
            "kind": prior.kind,
            "components": [_prior_to_dict(c) for c in prior.components],
            "weights": list(prior.weights),
        }
    entries = {"kind": prior.kind} | dataclasses.asdict(prior)  # type: ignore[call-overload]
    if prior.order == 2:
        entries.pop("order", None)  # left out, so that ids and files from before there were orders stay
    return entries


def _prior_from_dict(data: Mapping[str, Any]) -> Prior:
    entries = dict(data)
    kind = PRIORS[arguments.one_of("prior", entries.pop("kind", Dirichlet.kind), PRIORS)]
    if kind is Mixture:
        components = entries.get("components", ())
        entries["components"] = tuple(
            _prior_from_dict(arguments.table("component", c)) for c in arguments.items("components", components)
        )
    elif "states" not in entries:
        entries["states"] = 2
    return _make(f"prior {kind.kind!r}", kind, entries)


def _prior_label(prior: Prior) -> str:
    if isinstance(prior, Mixture):
        return " + ".join(f"{w:g} {_prior_label(c)}" for w, c in zip(prior.weights, prior.components, strict=True))
    concentration = getattr(prior, "concentration", 1.0)
    shown = "" if concentration == 1.0 else f"({concentration:g})"
    return f"{prior.kind}{shown}" + ("" if prior.order == 2 else f" n={prior.order}")


def _toml(table: Mapping[str, Any], path: str = "") -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(f"\n[{path}{key}]\n{_toml(value, f'{path}{key}.')}".rstrip())
        elif _is_table(value):
            lines += [f"\n[[{path}{key}]]\n{_toml(item, f'{path}{key}.')}".rstrip() for item in value]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))

"""Options that several commands share: a setting, and where and how things are computed.

Options of training are generated from the entries of `onset.theory.training.Training`; those of Markov chains and of
the model are here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter

from onset.command_line.application import Flag, Names
from onset.theory.entries import entries_of
from onset.theory.training import Training

if TYPE_CHECKING:
    from onset.theory.setting import Setting

__all__ = ["ComputingOptions", "SettingOptions"]

SETTING = Group("Setting", sort_key=1)
COMPUTING = Group("Computing", sort_key=2)

GENERATED = {name: declared.about for name, declared in entries_of(Training).items() if declared.about}
"""Entries of training that are options, with their help."""


def _generated() -> type:
    """A dataclass with an option for each of `GENERATED`, None or empty where it is not given."""
    hints, fields = get_type_hints(Training), []
    for name, about in GENERATED.items():
        options: dict[str, Any] = {"help": about}
        if hints[name] in (int, float, str):
            kind, default = hints[name] | None, None
        elif hints[name] is bool:
            kind, default, options["negative"] = bool, False, ()
        else:
            kind, default, options["negative"], options["consume_multiple"] = tuple[str, ...], (), (), True
        fields.append((name, Annotated[kind, Parameter(**options)], dataclasses.field(default=default)))
    return make_dataclass("TrainingOptions", fields, kw_only=True)


@Parameter(name="*", group=SETTING)
@dataclass(kw_only=True)
class SettingOptions(_generated()):  # pyright: ignore[reportUntypedBaseClass]
    """A setting; options left out take the family's default."""

    family: str = "linear"
    "Model family: linear, softmax or transformer."
    states: int = 2
    "Number k of symbols."
    order: int = 2
    "n: the next symbol depends on the last n - 1 (dirichlet prior)."
    context: int = 100
    "Tokens T that the model sees."
    prior: str = "dirichlet"
    "Law of the transition matrices: dirichlet, doubly-stochastic or unigram (a mixture needs --setting)."
    concentration: float | None = None
    "Dirichlet concentration per entry; 1 is flat."
    optimizer: str | None = None
    "sgd or adam for the toy families, adamw, adam or sgd for the transformer."
    learning_rate: Names = ()
    "One rate for all groups, or GROUP=RATE for some (lag_logits, match, readout; weights)."
    initialization: Names = ()
    "One value for every entry, or GROUP=VALUE for some groups."
    architecture: str | None = None
    "Architecture of the transformer: published, one-head, one-layer, feed-forward, smeared (others need --setting)."
    setting: Path | None = None
    "Read the setting from this TOML or JSON file instead; the only way to give a task other than Markov chains."

    def build(self) -> Setting:
        """The setting that the options describe."""
        from onset.theory import arguments
        from onset.theory.architecture import PRESETS
        from onset.theory.setting import Setting

        if self.setting is not None:
            return Setting.load(self.setting)
        architecture = None
        if self.architecture is not None:
            name = arguments.one_of("architecture", self.architecture, PRESETS)
            architecture = PRESETS[name](max(1, arguments.integer("order", self.order, least=2) - 1))
        return Setting.of(
            self.family,
            prior=self._prior(),
            context=self.context,
            optimizer=self.optimizer,
            learning_rate=_per_group("learning-rate", self.learning_rate),
            initialization=_per_group("initialization", self.initialization),
            architecture=architecture,
            **{name: getattr(self, name) for name in GENERATED},
        )

    def _prior(self) -> Any:
        from onset.theory import arguments
        from onset.theory.markov.priors import PRIORS, Mixture

        kind = PRIORS[arguments.one_of("prior", self.prior, PRIORS)]
        if kind is Mixture:
            raise ValueError(
                "prior = 'mixture': expected its components, which the command line cannot hold; write them to a file "
                "and give --setting FILE."
            )
        entries: dict[str, Any] = {"states": self.states}
        if self.concentration is not None:
            entries["concentration"] = self.concentration
        if self.order != 2:
            entries["order"] = self.order
        known = kind.__dataclass_fields__
        if "concentration" in entries and "concentration" not in known:
            raise ValueError(f"concentration = {self.concentration:g}: the {self.prior} prior has none; leave it out.")
        if "order" in entries and "order" not in known:
            raise ValueError(f"order = {self.order}: the {self.prior} prior has chains of order 2 only; leave it out.")
        return kind(**entries)


@Parameter(name="*", group=COMPUTING)
@dataclass(kw_only=True)
class ComputingOptions:
    """Where and how runs and predictions are computed."""

    device: str = "auto"
    "Where models train: auto, cpu, cuda or mps."
    workers: int | None = None
    "Processes side by side; by default one per core."
    scheduler: str | None = None
    "Address of a dask scheduler, tcp://HOST:PORT; its workers compute instead, and must share the output folder."
    fresh: Flag = False
    "Compute finished results again."

    def checked(self) -> dict[str, Any]:
        """Arguments of `onset.validate.execution.compute`; a ``ValueError`` if one is out of range."""
        from onset.theory import arguments
        from onset.validate.training import DEVICES, resolve_device

        if self.workers is not None:
            arguments.integer("workers", self.workers, least=1)
            if self.scheduler is not None:
                raise ValueError(
                    f"workers = {self.workers} with scheduler = {self.scheduler!r}: expected one of them; "
                    "start the cluster with as many workers as you like."
                )
        arguments.one_of("device", self.device, DEVICES)
        if self.scheduler is None:  # else it is the workers' machines that need it
            resolve_device(self.device)
        return dataclasses.asdict(self)


def _per_group(option: str, given: tuple[str, ...]) -> float | dict[str, float] | None:
    pairs: dict[str, float] = {}
    for text in given:
        group, equals, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(
                f"{option} = {text!r}: expected a number, or GROUP=NUMBER; give for instance match=0.01."
            ) from None
        if not equals:
            if len(given) > 1:
                raise ValueError(
                    f"{option} = {' '.join(given)}: expected one number, or GROUP=NUMBER for each group; "
                    "name the groups."
                )
            return number
        pairs[group] = number
    return pairs or None

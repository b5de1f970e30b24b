"""Options that several commands share: a setting, and where and how things are computed.

Options of training are generated from the entries of `onset.theory.training.Training`; those of Markov chains and of
the model are here. Options that are not given are None, or empty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter

from onset.command_line.application import Flag
from onset.command_line.checked import OptionalExisting, number, one_of, per_group, text, texts
from onset.theory import arguments
from onset.theory.entries import entries_of
from onset.theory.training import Training

if TYPE_CHECKING:
    from onset.theory.markov.priors import Prior
    from onset.theory.setting import Setting

__all__ = ["ComputingOptions", "SettingOptions"]

SETTING = Group(
    "Setting",
    help="What is left out takes the family's default. With --setting FILE, options change entries of the file; what "
    "the file leaves at its default follows, as in a scan.",
    sort_key=1,
)
COMPUTING = Group("Computing", sort_key=2)

GENERATED = {name: declared for name, declared in entries_of(Training).items() if declared.about}
"""Entries of training that are options."""

PER_GROUP = ("learning_rate", "initialization")
"""Options with one number for all parameter groups, or one for each."""

CHAINS = ("states", "order", "prior", "concentration")
"""Options that describe Markov chains; any task has a context."""


def _generated() -> type:
    """A dataclass with an option for each of `GENERATED`, None or empty where it is not given."""
    hints, fields = get_type_hints(Training), []
    for name, declared in GENERATED.items():
        default: Any = None
        if hints[name] is bool:
            kind, default, parameter = bool, False, Parameter(help=declared.about, negative=())
        elif hints[name] in (int, float):
            kind, parameter = hints[name] | None, number(declared.check, help=declared.about)
        elif hints[name] is str:
            kind, parameter = str | None, text(declared.check, help=declared.about)
        else:
            kind, default, parameter = tuple[str, ...], (), texts(declared.check, help=declared.about)
        fields.append((name, Annotated[kind, parameter], dataclasses.field(default=default)))
    return make_dataclass("TrainingOptions", fields, kw_only=True)


def _states(name: str, value: Any) -> int:
    from onset.theory.markov.priors import MOST_ROWS

    return arguments.integer(name, value, least=2, most=MOST_ROWS)


def _context(name: str, value: Any) -> int:
    from onset.theory.markov.task import MarkovChains

    return entries_of(MarkovChains)["context"].check(name, value)


def _rates(name: str, given: tuple[str, ...]) -> tuple[str, ...]:
    per_group(name, given)
    return given


def _address(name: str, value: str) -> str:
    if not value:
        raise ValueError(f"{name} = {value!r}: expected the address of a dask scheduler; give tcp://HOST:PORT.")
    return value


@Parameter(name="*", group=SETTING)
@dataclass(kw_only=True)
class SettingOptions(_generated()):  # pyright: ignore[reportUntypedBaseClass]
    """A setting; options left out take the family's default, or the entry of the file that `setting` names."""

    family: Annotated[str | None, text(one_of("onset.theory.models:FAMILIES"), show_default="linear")] = None
    "Model family: linear, softmax or transformer."
    states: Annotated[int | None, number(_states, show_default="2")] = None
    "Number k of symbols."
    order: Annotated[int | None, number(_states, show_default="2")] = None
    "n: the next symbol depends on the last n - 1 (dirichlet prior)."
    context: Annotated[int | None, number(_context, show_default="100")] = None
    "Tokens T that the model sees."
    prior: Annotated[str | None, text(one_of("onset.theory.markov.priors:PRIORS"), show_default="dirichlet")] = None
    "Law of the transition matrices: dirichlet, doubly-stochastic or unigram (a mixture needs --setting)."
    concentration: Annotated[float | None, number(arguments.scale)] = None
    "Dirichlet concentration per entry; 1 is flat."
    optimizer: Annotated[str | None, text(one_of("onset.theory.training:OPTIMIZERS"))] = None
    "sgd or adam for the toy families, adamw, adam or sgd for the transformer."
    learning_rate: Annotated[tuple[str, ...], texts(_rates)] = ()
    "One rate for all groups, or GROUP=RATE for some (lag_logits, match, readout; weights)."
    initialization: Annotated[tuple[str, ...], texts(_rates)] = ()
    "One value for every entry, or GROUP=VALUE for some groups."
    architecture: Annotated[str | None, text(one_of("onset.theory.architecture:PRESETS"))] = None
    "Architecture of the transformer: published, one-head, one-layer, feed-forward, smeared (others need --setting)."
    setting: OptionalExisting = None
    "TOML or JSON file of a setting; the only way to give a task other than Markov chains."

    def given(self) -> dict[str, Any]:
        """Values of the options that were given, but the file."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "setting")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if not (value is None or value is False or value == ())}

    def entries(self) -> dict[str, str]:
        """Entries of a setting that the options give, by dotted name, with the option of each."""
        return {entry: option for option, value in self.given().items() for entry in _changes(option, value)}

    def build(self) -> Setting:
        """The setting that file and options describe."""
        from onset.theory.setting import Setting

        given = self.given()
        if self.setting is None:
            return _changed(None, given)
        base = Setting.load(self.setting)
        try:
            return _changed(base, given) if given else base
        except ValueError as problem:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"{flags} with setting file {self.setting}: {problem}") from problem


def _changed(base: Setting | None, given: Mapping[str, Any]) -> Setting:
    """The default setting, or `base`, with the options `given`."""
    from onset.theory.architecture import PRESETS
    from onset.theory.markov.task import MarkovChains
    from onset.theory.models import FAMILIES
    from onset.theory.setting import Setting
    from onset.theory.setting_changes import changed

    data = {} if base is None else base.explicit()
    options = dict(given)
    architecture = options.pop("architecture", None)
    if base is None or isinstance(base.task, MarkovChains):
        data |= _prior(base and base.task.prior, options)
        changes = {}
    elif chains := [name for name in CHAINS if name in options]:
        raise ValueError(
            f"{chains[0]} = {options[chains[0]]}: the task is {base.task.kind!r}, not Markov chains; leave it out."
        )
    else:
        changes = {"task.context": options.pop("context")} if "context" in options else {}
    for option, value in options.items():
        changes |= _changes(option, value)
    setting = Setting.from_dict(changed(data, changes))
    if architecture is None:
        return setting
    if not FAMILIES[setting.model.family].has_architecture:
        raise ValueError(
            f"architecture = {architecture!r} with family = {setting.model.family!r}: expected it with the "
            "transformer only; leave it out, or give family = 'transformer'."
        )
    shape = PRESETS[architecture](max(1, len(setting.task.lags)))
    return Setting.from_dict(changed(data, changes | {"architecture": shape.to_dict()}))


def _prior(base: Prior | None, options: dict[str, Any]) -> dict[str, Any]:
    """Data of the prior before its entries change: that of `base`, or of another kind with its states and order.

    Takes the kind out of `options`, and an order of 2 where the prior has no other.
    """
    from onset.theory.markov.priors import PRIORS, Dirichlet, Mixture, prior_to_dict

    usual = Dirichlet.kind if base is None else base.kind
    kind = options.pop("prior", usual)
    if kind == Mixture.kind != usual:
        raise ValueError(
            "prior = 'mixture': expected its components, which the command line cannot hold; write them to a file and "
            "give --setting FILE."
        )
    data: dict[str, Any] = {"kind": kind} if base is None else prior_to_dict(base)
    if base is not None and kind != usual:
        data = {"kind": kind, "states": base.states} | ({"order": base.order} if base.order != 2 else {})
    if "order" in options and options["order"] == 2 == data.get("order", 2):
        del options["order"]
    known = ("states", "concentration") if kind == Mixture.kind else PRIORS[kind].__dataclass_fields__
    for name, without in (("concentration", "none"), ("order", "chains of order 2 only")):
        if name in options and name not in known:
            raise ValueError(f"{name} = {options[name]:g}: the {kind} prior has {without}; leave it out.")
    return {"prior": data}


def _changes(option: str, value: Any) -> dict[str, Any]:
    """Entries of a setting that an option changes, by dotted name."""
    from onset.theory.setting_changes import entry_name

    entry = {"prior": "prior.kind", "optimizer": "optimizer.name"}.get(option, entry_name(option))
    if option not in PER_GROUP:
        return {entry: value}
    return {f"{entry}.{group}" if group else entry: number for group, number in per_group(option, value).items()}


@Parameter(name="*", group=COMPUTING)
@dataclass(kw_only=True)
class ComputingOptions:
    """Where and how runs and predictions are computed."""

    device: Annotated[str, text(one_of("onset.validate.training:DEVICES"))] = "auto"
    "Where models train: auto, cpu, cuda or mps."
    workers: Annotated[int | None, number(partial(arguments.integer, least=1))] = None
    "Processes side by side; by default one per core."
    scheduler: Annotated[str | None, text(_address)] = None
    "Address of a dask scheduler, tcp://HOST:PORT; its workers compute instead, and must share the output folder."
    fresh: Flag = False
    "Compute finished results again."

    def checked(self) -> dict[str, Any]:
        """Arguments of `onset.validate.execution.compute`; a ``ValueError`` if two exclude each other."""
        from onset.validate.training import resolve_device

        if self.workers is not None and self.scheduler is not None:
            raise ValueError(
                f"workers = {self.workers} with scheduler = {self.scheduler!r}: expected one of them; "
                "start the cluster with as many workers as you like."
            )
        if self.scheduler is None:  # else it is the workers' machines that need it
            resolve_device(self.device)
        return dataclasses.asdict(self)

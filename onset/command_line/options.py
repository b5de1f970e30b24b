"""Options of the command line that several commands share: a setting, and where and how things are computed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from onset.theory.setting import Setting

__all__ = ["ComputingOptions", "SettingOptions"]

SETTING = Group("Setting", sort_key=1)
COMPUTING = Group("Computing", sort_key=2)


@Parameter(name="*", group=SETTING)
@dataclass(kw_only=True)
class SettingOptions:
    """A setting; what is left out takes the family's default."""

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
    learning_rate: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    "One rate for all groups, or GROUP=RATE for some (lag_logits, match, readout; weights)."
    initialization: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    "One value for every entry, or GROUP=VALUE for some groups."
    architecture: str | None = None
    "Shape of the transformer by name: published, one-head, one-layer, feed-forward, smeared (others need --setting)."
    frozen: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    "Parts that keep their start: embedding, layer_1, layer_2, …, head; of a toy family lag_logits, match, readout."
    precision: str = "float32"
    "float32 or bfloat16, of the transformer's matrix products in training."
    batch: int = 64
    "Sequences B per step."
    steps: int | None = None
    "Longest run, in optimiser steps."
    whole: Annotated[bool, Parameter(negative=())] = False
    "Go on to the last step even where the last transition is long past."
    record_every: int | None = None
    "Steps between two recorded points of a curve."
    setting: Path | None = None
    "Read the setting from this TOML or JSON file instead."

    def build(self) -> Setting:
        from onset.theory import arguments
        from onset.theory.architecture import PRESETS
        from onset.theory.markov.priors import PRIORS, Mixture
        from onset.theory.setting import Setting

        if self.setting is not None:
            return Setting.load(self.setting)
        kind = PRIORS[arguments.one_of("prior", self.prior, PRIORS)]
        if kind is Mixture:
            raise ValueError(
                "prior = 'mixture': expected its components, which the command line cannot hold; write them to a file and give --setting FILE."
            )
        taken = kind.__dataclass_fields__
        if self.concentration is not None and "concentration" not in taken:
            raise ValueError(f"concentration = {self.concentration:g}: the {self.prior} prior has none; leave it out.")
        if self.order != 2 and "order" not in taken:
            raise ValueError(f"order = {self.order}: the {self.prior} prior has chains of order 2 only; leave it out.")
        extra: dict[str, Any] = {} if self.concentration is None else {"concentration": self.concentration}
        if self.order != 2:
            extra["order"] = self.order
        shape = None
        if self.architecture is not None:
            shape = PRESETS[arguments.one_of("architecture", self.architecture, PRESETS)](self.order)
        return Setting.of(
            self.family,
            prior=kind(self.states, **extra),
            context=self.context,
            optimizer=self.optimizer,
            learning_rate=_per_group("learning-rate", self.learning_rate),
            initialization=_per_group("initialization", self.initialization),
            architecture=shape,
            frozen=self.frozen,
            precision=self.precision,
            whole=self.whole,
            batch=self.batch,
            steps=self.steps,
            record_every=self.record_every,
        )


@Parameter(name="*", group=COMPUTING)
@dataclass(kw_only=True)
class ComputingOptions:
    """Where and how runs and predictions are computed."""

    device: str = "auto"
    "Where models train: auto, cpu, cuda or mps."
    workers: int | None = None
    "Processes side by side; by default one per core."
    scheduler: str | None = None
    "Address of a dask scheduler, tcp://HOST:PORT, whose workers compute instead and share the output folder."
    fresh: Annotated[bool, Parameter(negative=())] = False
    "Compute again what is there."

    def checked(self) -> dict[str, Any]:
        """Arguments of `onset.validate.execution.compute`; a ``ValueError`` if one is out of range."""
        from onset.theory import arguments
        from onset.validate.training import DEVICES, resolve_device

        if self.workers is not None:
            arguments.integer("workers", self.workers, least=1)
            if self.scheduler is not None:
                raise ValueError(
                    f"workers = {self.workers} with scheduler = {self.scheduler!r}: expected one of them; start the cluster with as many workers as you like."
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
                    f"{option} = {' '.join(given)}: expected one number, or GROUP=NUMBER for each group; name the groups."
                )
            return number
        pairs[group] = number
    return pairs or None

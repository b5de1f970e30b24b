"""Series: settings of a suite that differ in one number only, along which errors and times are followed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onset.theory.plain_data import without
from onset.theory.setting import Setting

__all__ = ["AXES", "Series", "series"]

AXES = ("context", "learning-rate.match")
"""Numbers that vary along a series: T, with the defaults that depend on it; and the learning rate of the match."""


@dataclass(frozen=True)
class Series:
    """At least two settings in the order of `values` of `axis`."""

    axis: str
    label: str
    values: tuple[float, ...]
    settings: tuple[Setting, ...]

    def label_of(self, values: Sequence[float]) -> str:
        """The label with the range of those `values` only."""
        return _label(self.settings[0], self.axis, values)

    @property
    def has_default_rates(self) -> bool:
        """Whether all learning rates that do not vary are the family's defaults."""
        return self.axis != "context" or not _unusual_rates(self.settings[0], self.axis)


def series(settings: Iterable[Setting], axis: str) -> list[Series]:
    """The series along `axis` that the toy settings form."""
    groups: dict[str, list[Setting]] = defaultdict(list)
    for setting in dict.fromkeys(settings):
        if setting.model.architecture is None:
            groups[_key(setting, axis)].append(setting)
    along = []
    for group in groups.values():
        ordered = sorted(group, key=lambda setting: _value(setting, axis))
        values = tuple(_value(setting, axis) for setting in ordered)
        if len(set(values)) == len(values) > 1:
            along.append(Series(axis, _label(ordered[0], axis, values), values, tuple(ordered)))
    return along


def _value(setting: Setting, axis: str) -> float:
    return float(setting.task.context) if axis == "context" else setting.training.optimizer.learning_rate["match"]


def _unusual_rates(setting: Setting, axis: str) -> dict[str, float]:
    """Learning rates over the family's defaults, of the groups where the ratio is not 1 and does not vary."""
    default = setting.default_rates
    ratios = {
        group: float(f"{rate / default[group]:.9g}") for group, rate in setting.training.optimizer.learning_rate.items()
    }
    varied = () if axis == "context" else ("match",)
    return {group: ratio for group, ratio in ratios.items() if ratio != 1 and group not in varied}


def _key(setting: Setting, axis: str) -> str:
    """What is the same along a series: everything but the axis and the lengths of runs."""
    training = setting.training
    same = (
        without(setting.task.to_dict(), *(["context"] if axis == "context" else [])),
        setting.model.family,
        dict(setting.model.initialization),
        without(training.optimizer.to_dict(), "learning_rate"),
        _unusual_rates(setting, axis),
        training.batch,
    )
    return json.dumps(same, sort_keys=True)


def _label(setting: Setting, axis: str, values: Sequence[float]) -> str:
    """The setting's label with the range of the axis, and the other rates as ratios."""
    name, _, _ = setting.label.partition(" η(")
    rates = "".join(f" η({group})×{ratio:g}" for group, ratio in _unusual_rates(setting, axis).items())
    ends = f"{values[0]:g}…{values[-1]:g}"
    if axis == "context":
        return name.replace(f" T={setting.task.context}", f" T={ends}") + rates
    return f"{name}{rates} η(match)={ends}"

"""Series: settings of a suite that differ in one number only, along which errors and times are followed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from onset.theory.setting import Setting

__all__ = ["AXES", "Series", "series"]

AXES = ("context", "learning-rate.match")
"""Numbers along which series are formed: T, everything that follows it by default following; and the match's rate."""


@dataclass(frozen=True)
class Series:
    """Settings in the order of `values` of `axis`, at least two."""

    axis: str
    label: str
    values: tuple[float, ...]
    settings: tuple[Setting, ...]

    def named(self, values: Sequence[float]) -> str:
        """The label with the range of those `values` only."""
        return _label(self.settings[0], self.axis, tuple(values))

    @property
    def usual(self) -> bool:
        """Whether the learning rates are the family's defaults, or vary."""
        return self.axis != "context" or all(ratio == 1 for _, ratio in _ratios(self.settings[0]))


def series(settings: Iterable[Setting], axis: str) -> list[Series]:
    """The series along `axis` that the toy settings form."""
    found: dict[Any, list[Setting]] = {}
    for setting in settings:
        if setting.model.family != "transformer":
            found.setdefault(_key(setting, axis), []).append(setting)
    made = []
    for chosen in found.values():
        pairs = sorted(((_value(s, axis), s) for s in dict.fromkeys(chosen)), key=lambda pair: pair[0])
        values = tuple(value for value, _ in pairs)
        if len(set(values)) == len(values) > 1:
            made.append(Series(axis, _label(pairs[0][1], axis, values), values, tuple(s for _, s in pairs)))
    return made


def _value(setting: Setting, axis: str) -> float:
    return float(setting.task.context) if axis == "context" else setting.training.optimizer.learning_rate["match"]


def _ratios(setting: Setting) -> list[tuple[str, float]]:
    """Each group's learning rate over the family's default."""
    usual = setting.default_rates
    return [
        (group, float(f"{rate / usual[group]:.9g}")) for group, rate in setting.training.optimizer.learning_rate.items()
    ]


def _key(setting: Setting, axis: str) -> Any:
    """Everything but the axis, and lengths of runs."""
    optimizer = (setting.training.optimizer.name, setting.training.optimizer.betas, setting.training.optimizer.epsilon)
    ratios = [pair for pair in _ratios(setting) if axis == "context" or pair[0] != "match"]
    context = None if axis == "context" else setting.task.context
    start = tuple(setting.model.initialization.items())
    return setting.model.family, setting.task.prior, optimizer, tuple(ratios), context, start, setting.training.batch


def _label(setting: Setting, axis: str, values: tuple[float, ...]) -> str:
    """As the setting's own, with the axis's range and the rates as ratios."""
    name, _, _ = setting.label.partition(" η(")
    ratios = [(g, r) for g, r in _ratios(setting) if r != 1 and (axis == "context" or g != "match")]
    rates = "".join(f" η({group})×{ratio:g}" for group, ratio in ratios)
    if axis == "context":
        return name.replace(f" T={setting.task.context}", f" T={values[0]:g}…{values[-1]:g}") + rates
    return f"{name}{rates} η(match)={values[0]:g}…{values[-1]:g}"

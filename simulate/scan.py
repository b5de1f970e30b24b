"""Grids: a base setting and the values that some of its entries take; and predictions of all points of a grid.

An axis is an entry of a setting under its dotted name in a setting's file, or a shorter name of `SHORT_NAMES`. Entries
left at their default follow the grid (the learning rate of the match in the linear family goes as 1/T²); entries that
are set stay. A point outside a method's range of validity is kept with the reason.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from onset.simulate.predict import predict
from onset.theory import arguments
from onset.theory.laws.terms import TRANSITIONS, Terms, terms_or_refusal
from onset.theory.markov.priors import Mixture, Unigram, prior_from_dict, prior_to_dict
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.theory.transitions import Transition

__all__ = ["MOST_POINTS", "Grid", "Row", "axes_of", "entry_name", "grid", "parse", "predict_one", "setting_from"]

MOST_POINTS = 10**6
"""Points of the largest grid."""

SHORT_NAMES = {name: f"prior.{name}" for name in ("states", "order", "concentration", "weight")} | {
    "learning_rate": "optimizer.learning_rate"
}
"""Entries of a setting by the shorter name of their axis; weight is that of a mixture's first component."""

WHOLE_NUMBERS = ("context", "states", "batch")
"""Axes whose ranges are rounded."""

PER_GROUP = ("learning-rate", "initialization")
"""Axes with one value for all parameter groups, or for one group: learning-rate.match."""

Interval = tuple[float, float, float]


class Row(NamedTuple):
    """One point of a scan.

    Attributes
    ----------
    values : tuple of float
        One per axis.
    formation, passage : (step, low, high) or None
        Formation of the previous-token head, and the last transition (unigram → bigram); optimiser steps.
    reason : str
        Why one of them is missing; empty if none is.
    terms : dict of transition to Terms, or None
        Terms of the plateau law, where it is valid.
    """

    values: tuple[float, ...]
    formation: Interval | None
    passage: Interval | None
    reason: str = ""
    terms: Mapping[str, Terms] | None = None


@dataclass(frozen=True)
class Grid:
    """A base setting and the values of each axis; points run with the last axis fastest."""

    base: Setting
    axes: Mapping[str, tuple[float, ...]]
    _settings: dict[tuple[float, ...], Setting] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.axes.values())

    def __len__(self) -> int:
        return math.prod(self.shape)

    def points(self) -> Iterator[tuple[float, ...]]:
        return itertools.product(*self.axes.values())

    @cached_property
    def _data(self) -> Mapping[str, Any]:
        return self.base.explicit()

    @cached_property
    def _entries(self) -> list[list[str]]:
        """Entries of a setting that each axis changes."""
        groups = self.base.model.groups
        return [
            [entry_name(name) for name in ([f"{axis}.{group}" for group in groups] if axis in PER_GROUP else [axis])]
            for axis in self.axes
        ]

    def setting(self, point: Sequence[float]) -> Setting:
        """The setting at `point`, one value per axis."""
        point = tuple(point)
        if point not in self._settings:
            by_axis = zip(self._entries, point, strict=True)
            self._settings[point] = setting_from(
                self._data, {name: value for names, value in by_axis for name in names}
            )
        return self._settings[point]


def entry_name(axis: str) -> str:
    """Dotted name, in a setting's file, of the entry that an axis stands for."""
    head, dot, rest = axis.replace("-", "_").partition(".")
    return SHORT_NAMES.get(head, head) + dot + rest


def setting_from(data: Mapping[str, Any], changes: Mapping[str, Any]) -> Setting:
    """The setting that plain `data` describe, with `changes` of its entries by dotted name.

    Raises
    ------
    ValueError
        Naming the changes, if one of them is no entry of a setting or out of range.
    """
    changed = dict(data)
    try:
        # The weight comes last: at 0 and 1 it leaves one component, which may have no concentration.
        for name, value in sorted(changes.items(), key=lambda change: change[0] == "prior.weight"):
            *tables, last = name.split(".")
            inner = changed
            for table in tables:
                inner[table] = dict(arguments.table(table, inner.get(table, {})))
                inner = inner[table]
            if last == "weight" and tables == ["prior"]:
                changed["prior"] = _with_weight(inner, value)
            elif last in ("states", "concentration") and tables == ["prior"] and inner.get("kind") == Mixture.kind:
                changed["prior"] = _with_components(inner, last, value)
            else:
                inner[last] = value
        return Setting.from_dict(changed)
    except ValueError as problem:
        point = ", ".join(f"{name} = {arguments.shown(value)}" for name, value in changes.items())
        raise ValueError(f"at {point}: {problem}" if point else str(problem)) from problem


def _with_components(mixture: Mapping[str, Any], name: str, value: float) -> dict[str, Any]:
    """A mixture with another number of states, or another concentration of the components that have one."""
    normal = prior_to_dict(prior_from_dict(mixture))
    components = normal["components"]
    affected = [part for part in components if name in part] or components[:1]
    return normal | {"components": [part | {name: value} if part in affected else part for part in components]}


def _with_weight(prior: Mapping[str, Any], weight: float) -> dict[str, Any]:
    """A mixture whose first component has this weight, the others sharing the rest in proportion.

    A prior that is no mixture is mixed with `Unigram`. Weights of 0 and 1 leave out one side.
    """
    if not 0 <= arguments.real("weight", weight) <= 1:
        raise ValueError(f"weight = {weight:g}: expected a share between 0 and 1; give for instance 0.5.")
    mixture = prior_from_dict(prior)
    if not isinstance(mixture, Mixture):
        mixture = Mixture((mixture, Unigram(mixture.states)), (0.5, 0.5))
    others = [(1 - weight) * other / sum(mixture.weights[1:]) for other in mixture.weights[1:]]
    pairs = [pair for pair in zip(mixture.components, (weight, *others), strict=True) if pair[1] > 0]
    components, weights = zip(*pairs, strict=True)
    return prior_to_dict(components[0] if len(pairs) == 1 else Mixture(components, weights))


def axes_of(base: Setting) -> tuple[str, ...]:
    """Names of the axes along which `base` can be varied."""
    groups = base.model.groups
    per_group = [f"{name}{group}" for name in PER_GROUP for group in ("", *(f".{g}" for g in groups))]
    return ("context", "states", "concentration", "batch", "weight", *per_group)


def parse(text: str) -> tuple[str, tuple[float, ...]]:
    """Name and values of an axis from ``NAME=V,V,…``, or ``NAME=FIRST:LAST:COUNT``, geometric unless ``:lin`` follows.

    Ranges of whole-number axes are rounded; equal values are taken once.

    Raises
    ------
    ValueError
        If there is no name, no value, or one that is not a number.
    """
    name, equals, values_text = text.partition("=")
    name = name.strip().replace("_", "-").replace("lag-logits", "lag_logits")
    if not equals or not name:
        raise ValueError(f"grid = {text!r}: expected NAME=VALUES; give for instance context=50,100,200.")
    if ":" in values_text:
        values = _range(text, values_text)
        if name in WHOLE_NUMBERS:
            values = [float(round(value)) for value in values]
    else:
        values = [_number(text, value) for value in values_text.split(",") if value.strip()]
    if not values:
        raise ValueError(f"grid = {text!r}: expected at least one value; give for instance {name}=1,2,4.")
    return name, tuple(dict.fromkeys(values))


def _range(text: str, values_text: str) -> list[float]:
    parts = values_text.split(":")
    spacing = parts.pop() if len(parts) == 4 else "geo"
    if len(parts) != 3 or spacing not in ("geo", "lin"):
        raise ValueError(
            f"grid = {text!r}: expected a range FIRST:LAST:COUNT, or with :lin behind it; give for instance 32:4096:8."
        )
    first, last = _number(text, parts[0]), _number(text, parts[1])
    count = arguments.integer(f"count of grid {text!r}", _number(text, parts[2]), least=2)
    if count > MOST_POINTS:
        raise ValueError(f"grid = {text!r}: expected at most {MOST_POINTS} values; give fewer.")
    if not first < last:
        raise ValueError(
            f"grid = {text!r}: expected a range that goes up, but it is empty; give the smaller end first."
        )
    if spacing == "lin":
        return np.linspace(first, last, count).tolist()
    if first <= 0:
        raise ValueError(f"grid = {text!r}: expected ends above zero for a geometric range; put :lin behind it.")
    return [first, *np.geomspace(first, last, count)[1:-1].tolist(), last]


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"grid = {text!r}: expected finite numbers, but {value.strip()!r} is none; give for instance 0.5."
        )
    return number


def grid(base: Setting, axes: Sequence[str] | Mapping[str, Sequence[float]]) -> Grid:
    """Span a grid of settings over `base`; an axis is a name with its values, or text that `parse` takes.

    Raises
    ------
    ValueError
        If an axis is unknown or named twice (the bare name of a group is its learning rate), a value is out of range,
        or there are more than `MOST_POINTS` points.
    """
    pairs = [(n, tuple(v)) for n, v in axes.items()] if isinstance(axes, Mapping) else [parse(text) for text in axes]
    if not pairs:
        raise ValueError("grid: expected at least one axis; give for instance context=50,100,200.")
    known, groups = axes_of(base), base.model.groups
    by_name: dict[str, tuple[float, ...]] = {}
    for short, values in pairs:
        name = arguments.one_of("axis of the grid", f"learning-rate.{short}" if short in groups else short, known)
        if name in by_name:
            raise ValueError(f"grid has {name} twice: expected each axis once; put all its values into one.")
        by_name[name] = values
    result = Grid(base, by_name)
    if len(result) > MOST_POINTS:
        shape = " × ".join(map(str, result.shape))
        raise ValueError(f"grid has {len(result)} points ({shape}): expected at most {MOST_POINTS}; give fewer values.")
    first = {name: values[0] for name, values in by_name.items()}
    for name, values in by_name.items():  # every value once, so that a bad one is named before anything runs
        for value in values:
            result.setting(tuple((first | {name: value}).values()))
    return result


def predict_one(
    points: Grid,
    point: tuple[float, ...],
    method: str,
    *,
    seed: int = 0,
    predicted: Callable[..., Prediction] = predict,
) -> Row:
    """Prediction at one point of a grid; a ``ValueError`` of the method becomes the row's reason.

    Parameters
    ----------
    points : Grid
    point : tuple of float
    method : str
    seed : int
    predicted : callable
        Gives the prediction of a setting by a method, with `seed` as keyword; by default it is computed.
    """
    setting = points.setting(point)
    terms = terms_or_refusal(setting)
    known = None if isinstance(terms, ValueError) else terms
    if method == "law" and known is not None:
        formation, passage = ((known[name].step, known[name].low, known[name].high) for name in TRANSITIONS)
        return Row(point, formation, passage, "", known)
    try:
        transitions, formed = predicted(setting, method, seed=seed).transitions()
    except ValueError as problem:
        return Row(point, None, None, str(problem), known)
    reasons = [transition.reason for transition in (formed, transitions[-1]) if transition.reason]
    return Row(point, _interval(formed), _interval(transitions[-1]), "; ".join(dict.fromkeys(reasons)), known)


def _interval(transition: Transition) -> Interval | None:
    if transition.step is None or transition.low is None or transition.high is None:
        return None
    return float(transition.step), float(transition.low), float(transition.high)

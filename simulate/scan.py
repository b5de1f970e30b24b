"""Grids: a base setting and the values that some of its entries take; and predictions of all points of a grid.

An axis is an entry of a setting under the name that `onset.theory.setting_changes` gives it. Entries left at their
default follow the grid (the learning rate of the match in the linear family goes as 1/T²); entries that are set stay.
A point outside a method's range of validity is kept with the reason.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from onset.simulate.predict import predict
from onset.theory import arguments
from onset.theory.axes import MOST_POINTS, parse
from onset.theory.laws.linear import NEGLECTED
from onset.theory.laws.terms import TRANSITIONS, Terms, terms_or_refusal
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.theory.setting_changes import entry_name, overlap, setting_from
from onset.theory.transitions import Transition

__all__ = ["Grid", "Row", "axes_of", "grid", "predict_one"]

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

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Each axis with an entry of a setting that it changes, by dotted name."""
        return [(axis, entry) for axis, entries in zip(self.axes, self._entries, strict=True) for entry in entries]

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


def axes_of(base: Setting) -> tuple[str, ...]:
    """Names of the axes along which `base` can be varied."""
    groups = base.model.groups
    per_group = [f"{name}{group}" for name in PER_GROUP for group in ("", *(f".{g}" for g in groups))]
    return ("context", "states", "concentration", "batch", "weight", *per_group)


def grid(base: Setting, axes: Sequence[str] | Mapping[str, Sequence[float]]) -> Grid:
    """Span a grid of settings over `base`; an axis is a name with its values, or text that `parse` takes.

    Raises
    ------
    ValueError
        If an axis is unknown, named twice (the bare name of a group is its learning rate) or part of another, a value
        is out of range, or there are more than `MOST_POINTS` points.
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
        if wider := next((other for other in by_name if overlap(entry_name(name), entry_name(other))), None):
            raise ValueError(f"grid has {wider} and {name}: expected one of them; leave the other out.")
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
    if method == "law" and known is not None and known["formation"].neglected <= NEGLECTED * known["formation"].step:
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

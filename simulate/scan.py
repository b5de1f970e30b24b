"""Scans: one setting varied along several axes, each point predicted by one method.

What the base setting leaves at its family's default follows the grid (the rate of the match in the linear family goes as 1/T²); what
it sets stays. A point outside a method's range of validity is kept with the reason.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from onset.simulate.predict import METHODS
from onset.theory import arguments
from onset.theory.laws.terms import TRANSITIONS, MatchLimited, Terms, terms_or_refusal
from onset.theory.markov.priors import Mixture, Prior, Unigram
from onset.theory.setting import Setting

__all__ = ["LARGEST", "Grid", "Row", "axes_of", "grid", "parse", "predict_one"]

LARGEST = 10**6
"""Points of the largest grid."""

WHOLE = ("context", "states", "batch")
PRIOR = ("states", "concentration", "weight")
PER_GROUP = ("learning-rate", "initialization")


class Row(NamedTuple):
    """One point of a scan.

    Attributes
    ----------
    values : tuple of float
        One per axis.
    formation, passage : tuple or None
        (step, low, high) of the previous-token head, and of unigram → bigram; optimiser steps.
    reason : str
        Why one of them is missing; empty if none is.
    terms : dict of transition to Terms, or None
        Of the plateau law, where it answers.
    """

    values: tuple[float, ...]
    formation: tuple[float, float, float] | None
    passage: tuple[float, float, float] | None
    reason: str = ""
    terms: Mapping[str, Terms] | None = None


@dataclass(frozen=True)
class Grid:
    """A base setting and the values of each axis; points run with the last axis fastest."""

    base: Setting
    axes: Mapping[str, tuple[float, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.axes.values())

    def __len__(self) -> int:
        return math.prod(self.shape)

    def points(self) -> Iterator[tuple[float, ...]]:
        return itertools.product(*self.axes.values())

    @cached_property
    def _given(self) -> dict[str, Any]:
        return self.base.explicit()

    def setting(self, point: Sequence[float]) -> Setting:
        """The setting at `point`, one value per axis."""
        changes = dict(zip(self.axes, point, strict=True))
        given = dict(self._given)
        in_prior = {name: changes[name] for name in PRIOR if name in changes}
        if in_prior:
            given["prior"] = _prior(given["prior"], **in_prior)
        for name in ("context", "batch"):
            if name in changes:
                given[name] = changes[name]
        for what in PER_GROUP:
            for name, value in changes.items():
                head, _, group = name.partition(".")
                if head == what:
                    groups = [group] if group else self.base.model.groups
                    key = what.replace("-", "_")
                    given[key] = dict(given[key]) | dict.fromkeys(groups, value)
        return Setting.of(**given)


def axes_of(base: Setting) -> tuple[str, ...]:
    """Names of the axes along which `base` can be varied."""
    groups = base.model.groups
    per_group = [f"{what}{group}" for what in PER_GROUP for group in ("", *(f".{g}" for g in groups))]
    return ("context", "states", "concentration", "batch", "weight", *per_group)


def parse(text: str) -> tuple[str, tuple[float, ...]]:
    """Name and values of an axis from ``NAME=V,V,…``, or ``NAME=FIRST:LAST:COUNT``, geometric unless ``:lin`` follows.

    Values of whole-number axes are rounded; equal ones are taken once.

    Raises
    ------
    ValueError
        If there is no name, no value, or one that is not a number.
    """
    name, equals, given = text.partition("=")
    name = name.strip().replace("_", "-").replace("lag-logits", "lag_logits")
    if not equals or not name:
        raise ValueError(f"grid = {text!r}: expected NAME=VALUES; give for instance context=50,100,200.")
    values = _range(text, given) if ":" in given else [_number(text, v) for v in given.split(",") if v.strip()]
    if not values:
        raise ValueError(f"grid = {text!r}: expected at least one value; give for instance {name}=1,2,4.")
    if name in WHOLE and ":" in given:
        values = [float(round(v)) for v in values]
    return name, tuple(dict.fromkeys(values))


def _range(text: str, given: str) -> list[float]:
    parts = given.split(":")
    kind = parts.pop() if len(parts) == 4 else "geo"
    if len(parts) != 3 or kind not in ("geo", "lin"):
        raise ValueError(
            f"grid = {text!r}: expected a range FIRST:LAST:COUNT, or with :lin behind it; give for instance 32:4096:8."
        )
    first, last = _number(text, parts[0]), _number(text, parts[1])
    count = arguments.integer(f"count of grid {text!r}", _number(text, parts[2]), least=2)
    if count > LARGEST:
        raise ValueError(f"grid = {text!r}: expected at most {LARGEST} values; give fewer.")
    if not first < last:
        raise ValueError(
            f"grid = {text!r}: expected a range that goes up, but it is empty; give the smaller end first."
        )
    if kind == "lin":
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
    """The grid over `base` that `axes` span, each as `parse` takes it or as a name with its values.

    Raises
    ------
    ValueError
        If an axis is unknown (a bare group's name is its learning rate) or named twice, a value is out of range, or there are more than `LARGEST` points.
    """
    named = [parse(a) for a in axes] if not isinstance(axes, Mapping) else [(n, tuple(v)) for n, v in axes.items()]
    if not named:
        raise ValueError("grid: expected at least one axis; give for instance context=50,100,200.")
    known, groups = axes_of(base), base.model.groups
    named = [(f"learning-rate.{name}" if name in groups else name, values) for name, values in named]
    for n, (name, _) in enumerate(named):
        arguments.one_of("axis of the grid", name, known)
        if name in dict(named[:n]):
            raise ValueError(f"grid has {name} twice: expected each axis once; put all its values into one.")
    found = Grid(base, dict(named))
    if len(found) > LARGEST:
        raise ValueError(
            f"grid has {len(found)} points ({' × '.join(map(str, found.shape))}): expected at most {LARGEST}; give fewer values."
        )
    first = [values[0] for _, values in named]
    for n, (_, values) in enumerate(named):  # every value once, so that a bad one is named before anything runs
        for value in values:
            found.setting([*first[:n], value, *first[n + 1 :]])
    return found


def predict_one(
    chosen: Grid, point: tuple[float, ...], method: str, *, seed: int = 0, progress: Callable[[int, int], None]
) -> Row:
    """Predict one point of the grid by `method`; a ``ValueError`` on the way becomes the row's reason."""
    setting = chosen.setting(point)
    found = terms_or_refusal(setting)
    by_law = None if isinstance(found, ValueError) else found
    in_terms = (
        setting.model.family == "linear"
        and setting.training.optimizer.name == "sgd"
        and not isinstance(found, MatchLimited)
    )
    if method == "law" and in_terms:
        if by_law is None:
            return Row(point, None, None, str(found))
        told = [(t.step, t.low, t.high) for t in (by_law[name] for name in TRANSITIONS)]
        return Row(point, told[0], told[1], "", by_law)
    try:
        passages, formation = METHODS[method](setting, seed=seed, progress=progress).transitions()
    except ValueError as problem:
        return Row(point, None, None, str(problem), by_law)
    reasons = [t.reason for t in (formation, passages[-1]) if t.reason]
    return Row(point, _interval(formation), _interval(passages[-1]), "; ".join(dict.fromkeys(reasons)), by_law)


def _interval(found: Any) -> tuple[float, float, float] | None:
    if found.step is None:
        return None
    return float(found.step), float(found.low), float(found.high)


def _prior(prior: Prior, **changes: float) -> Prior:
    """`prior` with another number of states, concentration or weight; a weight on a prior that is no mixture mixes it with `Unigram`."""
    weight = changes.pop("weight", None)
    if isinstance(prior, Mixture):
        taken = [c for c in prior.components if hasattr(c, "concentration")] or list(prior.components[:1])
        parts = [
            _prior(c, **{n: v for n, v in changes.items() if n == "states" or c in taken}) for c in prior.components
        ]
        mixed: Prior = Mixture(tuple(parts), prior.weights)
    else:
        if "concentration" in changes and not hasattr(prior, "concentration"):
            raise ValueError(
                f"concentration = {changes['concentration']:g}: the {prior.kind} prior has none; leave that axis out."
            )
        mixed = dataclasses.replace(prior, **changes)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return mixed if weight is None else _weighted(mixed, weight)


def _weighted(prior: Prior, weight: float) -> Prior:
    """The first component at `weight`, the others sharing the rest in proportion; 0 and 1 leave one side out."""
    if not 0 <= arguments.real("weight", weight) <= 1:
        raise ValueError(f"weight = {weight:g}: expected a share between 0 and 1; give for instance 0.5.")
    if not isinstance(prior, Mixture):
        prior = Mixture((prior, Unigram(prior.states)), (0.5, 0.5))
    first, *others = prior.components
    rest = [(1 - weight) * w / sum(prior.weights[1:]) for w in prior.weights[1:]]
    kept = [(c, w) for c, w in zip((first, *others), (weight, *rest), strict=True) if w > 0]
    return kept[0][0] if len(kept) == 1 else Mixture(tuple(c for c, _ in kept), tuple(w for _, w in kept))

r"""Transitions from one strategy to the next: one definition for predicted and observed curves.

A curve holds, at recorded steps, the distance KL(strategy ‖ model) in nats per token to each ideal strategy. The
transition a → b is the first step at which the model is nearer to b than to a, linearly interpolated between recorded
steps, provided it is still nearer at the next record. Formation of the head of lag r is the first step at which the
layer-1 attention of any one head on lag r exceeds a level, read in the same way; the task says which lags need a head.
That there is none is an answer: `step` is None and `reason` says why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from onset.theory import arguments
from onset.theory.arrays import Array, numbers
from onset.theory.estimates import RECORDS, SEEDS, StandardError, ends
from onset.theory.plain_data import plain

__all__ = [
    "FORMATION_LEVEL",
    "Transition",
    "TransitionSource",
    "combine",
    "find_crossing",
    "find_formation",
    "find_transition",
    "passed_transitions",
    "read_transitions",
]

FORMATION_LEVEL = 0.1
"""Share of attention on its lag at which a head counts as formed."""

ROUNDING = 1e-12
"""Difference of distances, nats per token, below which two strategies count as equally near."""


@dataclass(frozen=True)
class Transition:
    """A transition from `source` to `target` at `step`, with an interval.

    Attributes
    ----------
    source, target : str
    step, low, high : float or None
        Optimiser steps, all None if there was none.
    reason : str or None
        Why there was none.
    kind : str or None
        What the interval says, one of `onset.theory.estimates.KINDS`.
    error : StandardError or None
        Of the step, without what a theory neglects; of a single curve, the error of linear interpolation.
    neglected : mapping of str to (float, float)
        How much earlier and later each term that the theory neglects may make the step; optimiser steps.
    """

    source: str
    target: str
    step: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    kind: str | None = None
    error: StandardError | None = None
    neglected: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not known is left out."""
        data = {name: getattr(self, name) for name in ("source", "target", "step", "low", "high", "reason")}
        if self.step is not None:
            data |= {"interval": self.kind}
        if self.error is not None:
            data |= {"standard_error": self.error.value, "degrees_of_freedom": plain(self.error.freedom)}
        if self.neglected:
            sides = {name: dict(zip(("earlier", "later"), term, strict=True)) for name, term in self.neglected.items()}
            data |= {"neglected": plain(sides)}
        return data


def find_transition(steps: ArrayLike, distances: Mapping[str, ArrayLike], source: str, target: str) -> Transition:
    """Transition `source` → `target` of one curve.

    Parameters
    ----------
    steps : array, shape (n,)
        Recorded steps, increasing.
    distances : mapping of strategy to array, shape (n,)
        KL(strategy ‖ model), nats per token; records where one is not finite are passed over.
    source, target : str
        Strategy names.

    Raises
    ------
    ValueError
        Naming the argument, if a name is unknown, lengths differ or steps decrease.
    """
    for name in (source, target):
        arguments.one_of("strategy", name, distances)
    steps = _steps(steps)
    of_source, of_target = (numbers(f"distances[{name}]", distances[name], len(steps)) for name in (source, target))
    with np.errstate(invalid="ignore"):  # infinite distances to both
        lead = of_source - of_target
    return _crossing(steps, lead, source, target, f"nearer to {target} than to {source}")


def find_formation(
    steps: ArrayLike, attention: ArrayLike, level: float = FORMATION_LEVEL, *, lag: int = 1
) -> Transition:
    """First step at which `attention` on `lag`, shape (n,), exceeds `level`, a share of attention in (0, 1)."""
    steps = _steps(steps)
    excess = numbers("attention", attention, len(steps)) - arguments.share("formation_level", level)
    head = "previous-token head" if lag == 1 else f"lag-{lag} head"
    return _crossing(steps, excess, "none", head, f"lag-{lag} attention above {level:g}")


def find_crossing(steps: ArrayLike, lead: ArrayLike, source: str, target: str, state: str) -> Transition:
    """First step at which `lead`, shape (n,), rises above zero and is still there at the next record.

    Records without a finite lead are passed over. `state` describes a positive lead in words, for the reason that is
    given where there is no crossing.
    """
    steps = _steps(steps)
    return _crossing(steps, numbers("lead", lead, len(steps)), source, target, state)


def _crossing(steps: Array, lead: Array, source: str, target: str, state: str) -> Transition:
    """`find_crossing` of arrays that are checked."""
    usable = np.isfinite(lead)
    steps, lead = steps[usable], lead[usable]
    above = lead > 0
    crossings = np.flatnonzero(~above[:-2] & above[1:-1] & above[2:]) + 1
    if len(steps) == 0:
        reason = "no recorded step has finite values"
    elif above[:2].all():
        reason = f"{state} already at the first recorded step, {steps[0]:g}"
    elif len(crossings):
        after = crossings[0]
        low, high = float(steps[after - 1]), float(steps[after])
        step = float(low + (high - low) * lead[after - 1] / (lead[after - 1] - lead[after]))
        error = StandardError(_interpolation_error(steps, lead, int(after), step))
        return Transition(source, target, step, low, high, kind=RECORDS, error=error)
    elif above[-1]:
        reason = f"{state} at the last recorded step, {steps[-1]:g}, only: run longer to confirm it"
    else:
        reason = f"never {state} for two records in a row up to step {steps[-1]:g}"
    return Transition(source, target, None, reason=reason)


def _steps(steps: ArrayLike) -> Array:
    """Recorded steps as an array; a ``ValueError`` unless they are finite and never decrease."""
    array = numbers("steps", steps, None, finite=True)
    if np.any(np.diff(array) < 0):
        raise ValueError(f"steps = {arguments.shown(steps)}: expected steps that never decrease; sort them.")
    return array


def _interpolation_error(steps: np.ndarray, lead: np.ndarray, after: int, step: float) -> float:
    """By how much linear interpolation before record `after` misplaces a crossing, from the curve's second differences.

    The larger one of those at both ends; at most the distance to the nearer record.
    """
    low, high = steps[after - 1], steps[after]
    if low == high:
        return 0.0
    slope, bends = (lead[after] - lead[after - 1]) / (high - low), [0.0]
    for n in (after - 2, after + 1):
        if 0 <= n < len(steps) and steps[n] not in (low, high):
            outer = (lead[n] - lead[after]) / (steps[n] - high)
            bends.append(abs(outer - slope) / abs(steps[n] - low))
    off = max(bends) * (step - low) * (high - step) / slope
    return float(min(off, step - low, high - step))


def combine(transitions: Sequence[Transition], kind: str = SEEDS) -> Transition:
    """Mean step over independent curves with its 95% interval by Student's law.

    The curves share their records, so the mean error of interpolation is added to the standard error.

    Parameters
    ----------
    transitions : sequence of Transition
        Of single curves.
    kind : str
        What the interval says: over seeds, or over numerical replicates.

    Raises
    ------
    ValueError
        If there is none to combine or they are not all of one kind.
    """
    if len({(t.source, t.target) for t in transitions}) != 1:
        raise ValueError(
            f"transitions = {transitions}: expected one or more with the same source and target; "
            "combine each kind by itself."
        )
    source, target = transitions[0].source, transitions[0].target
    missing = [t.reason for t in transitions if t.step is None]
    if missing:
        count = f"in {len(missing)} of {len(transitions)} curves: " if len(transitions) > 1 else ""
        return Transition(source, target, None, reason=count + str(missing[0]), kind=kind)
    if len(transitions) == 1:
        return transitions[0]
    steps = [t.step for t in transitions if t.step is not None]
    reading = float(np.mean([t.error.value for t in transitions if t.error is not None] or [0.0]))
    scatter = StandardError.of_mean(steps)
    error = StandardError(float(np.hypot(scatter.value, reading)), scatter.freedom)
    mean = float(np.mean(steps))
    return Transition(source, target, mean, *ends(mean, error, {}), kind=kind, error=error)


def passed_transitions(distances: np.ndarray, attention: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """Whether records are past each transition.

    Parameters
    ----------
    distances : array, shape (..., strategies)
        KL(strategy ‖ model), the strategies in the expected order.
    attention : array, shape (..., heads, lags)
        Layer-1 attention of the last position on each lag.
    lags : sequence of int
        Lags that need a head.

    Returns
    -------
    bool array, shape (..., strategies - 1 + len(lags))
        Nearer to the next strategy than to the one before it, for each pair; then, for each lag, a head formed.
    """
    nearer = distances[..., 1:] < distances[..., :-1] - ROUNDING
    return np.concatenate([nearer, attention.max(axis=-2)[..., list(lags)] > FORMATION_LEVEL], axis=-1)


def read_transitions(
    steps: ArrayLike,
    distances: Mapping[str, ArrayLike],
    attention: ArrayLike,
    level: float = FORMATION_LEVEL,
    *,
    lags: Sequence[int] = (1,),
) -> tuple[list[Transition], list[Transition]]:
    """All transitions of one curve.

    Parameters
    ----------
    steps : array, shape (n,)
    distances : mapping of strategy to array, shape (n,)
        The strategies in the order in which they are expected.
    attention : array, shape (n, heads, lags)
        Layer-1 attention of the last position on each lag.
    level : float
        Share of attention at which a head counts as formed.
    lags : sequence of int
        Lags that need a head.

    Returns
    -------
    transitions, formations : list of Transition
        Between successive strategies; of the head of each lag.
    """
    transitions = [find_transition(steps, distances, a, b) for a, b in pairwise(distances)]
    heads = numbers("attention", attention, np.size(steps), None, None)
    if lags and not (heads.shape[1] and 0 <= min(lags) <= max(lags) < heads.shape[2]):
        raise ValueError(
            f"attention has shape {heads.shape} with lags = {arguments.shown(list(lags))}: expected a head and an "
            "entry for each lag; give the attention of longer sequences, or fewer lags."
        )
    strongest = heads.max(axis=1) if lags else heads
    return transitions, [find_formation(steps, strongest[:, lag], level, lag=lag) for lag in lags]


class TransitionSource(ABC):
    """What transitions can be read from: a curve, the curves of several seeds, a prediction."""

    @abstractmethod
    def read(self, level: float) -> tuple[list[Transition], list[Transition]]:
        """Transitions between successive strategies, and formations of heads, as `read_transitions` returns them."""

    def transitions(self, level: float = FORMATION_LEVEL) -> tuple[list[Transition], Transition]:
        """Transitions between successive strategies, and formation of the first head, that of the previous token."""
        transitions, formations = self.read(level)
        missing = Transition("none", "previous-token head", None, reason="the task needs no head")
        return transitions, formations[0] if formations else missing

    def formations(self, level: float = FORMATION_LEVEL) -> list[Transition]:
        """Formation of the head of each lag that needs one."""
        return self.read(level)[1]

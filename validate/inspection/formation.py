"""When a trained transformer's heads form, read from the head scores that are recorded along training.

A layer has a previous-token head (an induction head) from the step at which the previous-token (prefix-matching) score
of any of its heads exceeds that of uniform attention by `FORMATION_LEVEL`, interpolated between records, and still does
at the next record (`onset.theory.transitions.find_crossing`). Any head counts, since heads of a layer may change places
from seed to seed. The level is absolute: a share of the way to the last value would make a head of every drift. Scores
are defined in `onset.validate.inspection.scores`. Layers are counted from 1, as in run files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, combine, find_crossing
from onset.validate.judging.intervals import Interval
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import SCORES

__all__ = ["HEAD_KINDS", "HeadFormation", "find_formations", "halfway", "head_formations"]

HEAD_KINDS = {"previous-token head": "previous-token", "induction head": "prefix-matching"}
"""Kinds of heads, and the score that defines each."""


def find_formations(setting: Setting, run: Trajectory) -> dict[tuple[int, str], Transition]:
    """Formation of each kind of head in each layer of one run, without a step where none forms; empty for toys."""
    transitions: dict[tuple[int, str], Transition] = {}
    if setting.model.architecture is None:
        return transitions
    for layer in range(1, setting.model.architecture.layers + 1):
        for kind, score in HEAD_KINDS.items():
            scores = run.probes["head_score"][:, SCORES.index(score), layer - 1]
            # A layer with fewer heads than another holds NaN in their places.
            lead = np.max(scores, axis=1, initial=-np.inf, where=~np.isnan(scores)) - FORMATION_LEVEL
            curve = f"{score} score in layer {layer} above {FORMATION_LEVEL:g}"
            transitions[layer, kind] = find_crossing(run.steps, lead, "none", f"{kind} in layer {layer}", curve)
    return transitions


def halfway(steps: Array, values: Array) -> float:
    """The first step at which a curve has made half of its way from its first to its last value, interpolated."""
    share = (values - values[0]) / (values[-1] - values[0])
    after = int(np.argmax(share >= 0.5))
    return float(np.interp(0.5, share[after - 1 : after + 1], steps[after - 1 : after + 1]))


@dataclass(frozen=True)
class HeadFormation:
    """Formation of a kind of head in a layer of one setting.

    Attributes
    ----------
    layer : int
        From 1 on.
    kind : str
        One of `HEAD_KINDS`.
    formed : Interval
        Mean step over seeds with its interval; no step but the share of seeds if some never form it.
    level : float
        By how much the score exceeds uniform attention.
    """

    layer: int
    kind: str
    formed: Interval
    level: float = FORMATION_LEVEL


def head_formations(observed: Observation) -> list[HeadFormation]:
    """Formations in every layer; empty for a toy model."""
    runs = [find_formations(observed.setting, run) for run in observed.trajectories]
    by_head = {name: [run[name] for run in runs] for name in (runs[0] if runs else ())}
    return [
        HeadFormation(*name, Interval.of(combine(formed), happens=[one.step is not None for one in formed]))
        for name, formed in by_head.items()
    ]

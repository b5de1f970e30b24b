"""When a trained transformer's heads form, read off the head scores that are recorded along training.

A layer has a previous-token head (an induction head) from the step on at which the previous-token (prefix-matching) score of any one of its heads lies
more than `LEVEL` above that of uniform attention: interpolated between records, and there at the next one too (`onset.theory.transitions.find_crossing`).
Any one, since heads of a layer may change places from seed to seed. An absolute level, not a share of the way to the last value, which would
make a head out of every drift. Scores are defined in `onset.validate.scores`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, combine, find_crossing
from onset.validate.intervals import Interval
from onset.validate.observed import Observation
from onset.validate.probes import SCORES

__all__ = ["KINDS", "LEVEL", "Head", "heads", "heads_of"]

LEVEL = FORMATION_LEVEL
"""Attention mass above uniform attention's, the level at which attention on lag 1 counts as a head."""

KINDS = {"previous-token head": "previous-token", "induction head": "prefix-matching"}
"""Kinds of heads, and the score that tells them."""


def heads_of(setting: Setting, run: Trajectory) -> dict[tuple[int, str], Transition]:
    """When each kind of head forms in each layer (counted from 1) of one run; `step` is None where none does."""
    found: dict[tuple[int, str], Transition] = {}
    if setting.model.architecture is None:
        return found
    for layer in range(1, setting.model.architecture.layers + 1):
        for kind, score in KINDS.items():
            scores = run.probes["head_score"][:, SCORES.index(score), layer - 1]
            # A layer with fewer heads than another holds NaN in their places.
            lead = np.max(scores, axis=1, initial=-np.inf, where=~np.isnan(scores)) - LEVEL
            what = f"{score} score in layer {layer} above {LEVEL:g}"
            found[layer, kind] = find_crossing(run.steps, lead, "none", f"{kind} in layer {layer}", what)
    return found


@dataclass(frozen=True)
class Head:
    """A kind of head in a layer of one setting: when it forms in each seed."""

    layer: int
    kind: str
    each: tuple[Transition, ...]

    @property
    def formed(self) -> Interval:
        """Mean step over seeds with its bootstrap interval; without, and with the share of seeds that form it, if not all do."""
        return Interval.of(combine(self.each), happens=[one.step is not None for one in self.each])

    def to_dict(self) -> dict[str, Any]:
        return {"layer": self.layer, "kind": self.kind, "level": LEVEL} | asdict(self.formed)


def heads(observed: Observation) -> list[Head]:
    """Of every layer; none of a toy model."""
    runs = [heads_of(observed.setting, one) for one in observed.trajectories]
    return [Head(*name, tuple(one[name] for one in runs)) for name in (runs[0] if runs else ())]

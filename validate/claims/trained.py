"""The published transformer as claims train it, and what several of them read off its runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.chains import Array
from theory.dynamics import Trajectory
from theory.priors import DoublyStochastic
from theory.setting import Setting
from theory.transitions import Transition
from validate.probes import PROBES, labels

__all__ = ["EDELMAN", "SEEDS", "at", "passage", "published", "seen"]

EDELMAN = "Edelman, Tsilivis, Edelman, Malach, Goel, arXiv 2402.11004"

SEEDS = {"quick": 2, "standard": 5, "full": 10}
"""Of the published configuration in a suite of each size."""


def published(states: int, **changes: Any) -> Setting:
    """The published configuration, T = 100, recorded every 10 steps and measured on doubly stochastic chains too."""
    options: dict[str, Any] = {"context": 100, "record_every": 10, "steps": 2500} | changes
    if "prior" not in options and options.get("order", 2) == 2:
        options["tested_on"] = [DoublyStochastic(states)]
    return Setting.of("transformer", states=states, **options)


def passage(run: Trajectory, source: str, target: str) -> Transition:
    """The passage of one run between two strategies."""
    return next(one for one in run.transitions()[0] if (one.source, one.target) == (source, target))


def at(run: Trajectory, values: Array, step: float) -> Array:
    """`values` (n, ...), interpolated at a step; at the last record if the run ended before."""
    place = np.interp(step, run.steps, np.arange(len(run.steps)))
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def seen(setting: Setting, run: Trajectory, probe: str, *names: str | int) -> Array:
    """One curve (n,) of a probe, picked by the names along its dimensions."""
    found = run.probes[probe]
    for dimension, name in zip(PROBES[probe].dims, names, strict=True):
        found = found[:, labels(setting, dimension).index(name)]  # type: ignore[arg-type]
    return found

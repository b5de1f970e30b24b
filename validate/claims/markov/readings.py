"""Quantities that several claims read from runs of a transformer, and the controls that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import Transition, find_crossing
from onset.validate.claims.claim import Finding, holds_in_all
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import PROBES

LARGEST_CONTROL_GAIN = 0.5
"""Largest share of the gain over all tokens that the control without anything to count may have."""


def transition(run: Trajectory, source: str, target: str) -> Transition:
    """The transition of one run between two strategies."""
    return next(t for t in run.transitions()[0] if (t.source, t.target) == (source, target))


def last_token_distances(setting: Setting, run: Trajectory) -> Array:
    """KL(strategy ‖ model) on the last token, as published, shape (strategies, n)."""
    return np.array([probe_curve(setting, run, "last", name) for name in setting.task.strategies])


def nearest(setting: Setting, run: Trajectory) -> Array:
    """Index of the strategy that is nearest on the last token at each record, shape (n,)."""
    return np.argmin(last_token_distances(setting, run), axis=0)


def stages(setting: Setting, run: Trajectory) -> list[Transition]:
    """When the nearest strategy on the last token becomes the second or a later one, the third or a later one, and so
    on.

    Strategies that are skipped share the step of the next one.
    """
    distances, names = last_token_distances(setting, run), setting.task.strategies
    return [
        find_crossing(
            run.steps,
            distances[:m].min(axis=0) - distances[m:].min(axis=0),
            names[m - 1],
            names[m],
            f"nearest to {names[m]} or a later one",
        )
        for m in range(1, len(names))
    ]


def untrained(name: str, runs: Sequence[Trajectory]) -> Finding:
    """Control: before training every seed is nearest to the uniform strategy."""
    start = [min(run.distances, key=lambda s, run=run: run.distances[s][0]) == "uniform" for run in runs]
    return holds_in_all(f"{name}, control: untrained", start, "seeds start at uniform", control=True)


def no_repeats(name: str, observed: Observation) -> Finding:
    """Control: where the current history has not occurred before, nothing can be counted.

    There a trained model gains on uniform less than `LARGEST_CONTROL_GAIN` of its gain over all tokens. It may gain a
    little: that a symbol has occurred at all says that it is frequent.
    """
    uniform = np.log(observed.setting.task.vocabulary)
    holds = [
        bool(uniform - run.probes["unseen"][-1] < LARGEST_CONTROL_GAIN * (uniform - run.loss[-1]))
        for run in observed.trajectories
    ]
    return holds_in_all(f"{name}, control: no repeats", holds, "seeds have nothing to count", control=True)


def value_at(run: Trajectory, values: Array, step: float) -> Array:
    """`values`, shape (n, ...), interpolated at a step; the last record's if the run ended before."""
    place = np.interp(step, run.steps, np.arange(len(run.steps)))
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def probe_curve(setting: Setting, run: Trajectory, probe: str, *labels: str | int) -> Array:
    """One curve (n,) of a probe, selected by a label along each of its dimensions."""
    values = run.probes[probe]
    for dimension, label in zip(PROBES[probe].dimensions, labels, strict=True):
        values = values[:, dimension.labels(setting).index(label)]
    return values

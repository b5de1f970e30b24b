"""The published transformer as claims train it, and what several of them read off its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.theory.markov.ideal import finite_loss
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import Transition, find_crossing
from onset.validate.claims.claim import Finding, share
from onset.validate.judging.intervals import Interval, Z
from onset.validate.judging.verdicts import Tolerance, Verdict, judge
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import PROBES, labels

__all__ = [
    "EDELMAN",
    "FEWER",
    "SEEDS",
    "at",
    "in_order",
    "losses",
    "memoryless",
    "mixture",
    "nearest",
    "no_repeats",
    "passage",
    "published",
    "seen",
    "stages",
    "untrained",
]

EDELMAN = "Edelman, Tsilivis, Edelman, Malach, Goel, arXiv 2402.11004"

PART = 0.1
"""Of the gap between the ideal unigram and bigram losses: nearer than this, a loss stands for its strategy."""

REST = 0.5
"""Of the gain over all tokens: what a control without anything to count may keep of it and still be told apart from the thing itself."""

SEEDS = {"quick": 2, "standard": 5, "full": 10}
"""Of the published configuration in a suite of each size."""

FEWER = {"standard": 2, "full": 7}
"""Of what is set beside it: with one layer, or a layer frozen."""


def published(states: int, **changes: Any) -> Setting:
    """The published configuration, T = 100, trained half as long again as the published 2,000 steps, so that late seeds come to their end, recorded
    every 10 steps and measured on doubly stochastic chains too."""
    options: dict[str, Any] = {"context": 100, "record_every": 10, "steps": 3000, "whole": True} | changes
    if "prior" not in options and options.get("order", 2) == 2:
        options["tested_on"] = [DoublyStochastic(states)]
    return Setting.of("transformer", states=states, **options)


def mixture(states: int) -> Mixture:
    """The published mixture: three quarters doubly stochastic chains, one quarter unigram ones."""
    return Mixture((DoublyStochastic(states), Unigram(states)), (0.75, 0.25))


def memoryless(states: int) -> Setting:
    """The control on which nothing but unigram statistics is there to learn: chains whose rows are equal, the law of shuffled ones."""
    return published(states, prior=Unigram(states), steps=1600, record_every=40)


def passage(run: Trajectory, source: str, target: str) -> Transition:
    """The passage of one run between two strategies."""
    return next(one for one in run.transitions()[0] if (one.source, one.target) == (source, target))


def nearest(setting: Setting, run: Trajectory) -> Array:
    """Which of the strategies is nearest on the last token, as published, at each record: their numbers, shape (n,)."""
    return np.argmin([seen(setting, run, "last", name) for name in setting.task.strategies], axis=0)


def stages(setting: Setting, run: Trajectory) -> list[Transition]:
    """When the nearest strategy on the last token becomes unigram or a later one, bigram or a later one, and so on; where strategies are skipped, at one step."""
    near, names = (
        np.array([seen(setting, run, "last", name) for name in setting.task.strategies]),
        setting.task.strategies,
    )
    return [
        find_crossing(
            run.steps,
            near[:m].min(axis=0) - near[m:].min(axis=0),
            names[m - 1],
            names[m],
            f"nearest to {names[m]} or a later one",
        )
        for m in range(1, len(names))
    ]


def in_order(steps: Sequence[float | None]) -> bool:
    """Whether all passages were found, each after the one before."""
    found = [step for step in steps if step is not None]
    return len(found) == len(steps) and found == sorted(found)


def untrained(name: str, runs: Sequence[Trajectory]) -> Finding:
    """Control: before training every seed is nearest to the uniform strategy."""
    start = [min(one.distances, key=lambda s, one=one: one.distances[s][0]) == "uniform" for one in runs]
    return share(f"{name}, control: untrained", start, "seeds start at uniform", control=True)


def no_repeats(name: str, observed: Observation) -> Finding:
    """Control: where the current history did not occur before, nothing can be counted, and at its end a model gains on uniform there less than `REST` of its gain over all tokens.

    A little it may gain: that a symbol came at all says that it is frequent.
    """
    uniform, held = np.log(observed.setting.task.states), []
    for one in observed.trajectories:
        held.append(bool(uniform - one.probes["unseen"][-1] < REST * (uniform - one.loss[-1])))
    return share(f"{name}, control: no repeats", held, "seeds have nothing to count", control=True)


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


def losses(setting: Setting, runs: tuple[Trajectory, ...]) -> Iterator[tuple[str, str, Interval, Interval, Verdict]]:
    """The plateau's loss beside the exact ideal unigram loss and the last loss beside the bigram one: quantity, strategy, both, the verdict."""
    ideal = {name: finite_loss(setting.task.prior, name, setting.task.context).value for name in ("unigram", "bigram")}
    gap = ideal["unigram"] - ideal["bigram"]
    for quantity, strategy in (("plateau loss", "unigram"), ("final loss", "bigram")):
        exact = Interval(ideal[strategy], ideal[strategy], ideal[strategy])
        seen = _loss(runs, strategy, ideal[strategy])
        source = f"{PART:g} of the gap between the ideal unigram and bigram losses"
        tolerance = Tolerance(PART * gap / ideal[strategy], source)
        yield quantity, strategy, exact, seen, judge(exact, seen, tolerance, seeds=len(runs))


def _loss(runs: tuple[Trajectory, ...], strategy: str, ideal: float) -> Interval:
    """The runs' mean loss, at the end or, for the plateau, where they are nearest to unigram, above the ideal one on the same sequences."""
    at = [int(np.argmin(one.distances["unigram"])) if strategy == "unigram" else -1 for one in runs]
    above, error = np.mean([one.excess[strategy][n] for one, n in zip(runs, at, strict=True)], axis=0)
    # Seeds are measured on sequences of their own, so their errors are independent.
    half = Z * float(error / np.sqrt(len(runs)))
    loss = ideal + float(above)
    return Interval(loss, loss - half, loss + half)

"""Judgements on trained models of any task: transitions in order, and losses against ideal ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onset.theory.estimates import SEEDS, StandardError
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Tolerance, Verdict, judge

__all__ = ["GAP_TOLERANCE", "ideal_losses", "takes_in_order"]

GAP_TOLERANCE = 0.1
"""A loss agrees with a strategy's within this share of the gap between the ideal losses of neighbouring strategies."""


def takes_in_order(run: Trajectory) -> bool:
    """Whether a run makes all transitions between strategies, none before the one in front of it."""
    steps = [transition.step for transition in run.transitions()[0]]
    return None not in steps and steps == sorted(steps)  # type: ignore[type-var]


def ideal_losses(
    setting: Setting, runs: Sequence[Trajectory]
) -> Iterator[tuple[str, str, Interval, Interval, Verdict]]:
    """The last plateau's loss and the last loss against the ideal losses of the last two strategies.

    Yields quantity, strategy, ideal and observed loss, nats per token, and the verdict.
    """
    before, last = setting.task.strategies[-2:]
    ideal = {name: setting.task.expected_loss(name).value for name in (before, last)}
    source = f"{GAP_TOLERANCE:g} of the gap between the ideal {before} and {last} losses"
    for quantity, strategy in (("plateau loss", before), ("final loss", last)):
        records = [int(np.argmin(run.distances[before])) if strategy == before else -1 for run in runs]
        tolerance = Tolerance(GAP_TOLERANCE * (ideal[before] - ideal[last]) / ideal[strategy], source)
        exact, observed = Interval.exact(ideal[strategy]), _loss(runs, records, strategy, ideal[strategy])
        yield quantity, strategy, exact, observed, judge(exact, observed, tolerance, seeds=len(runs))


def _loss(runs: Sequence[Trajectory], records: Sequence[int], strategy: str, ideal: float) -> Interval:
    """Mean loss of the runs at one record of each: the ideal loss plus the excess over it on the same sequences.

    Seeds are measured on sequences of their own, so their errors are independent.
    """
    excess, error = np.mean([run.excess[strategy][n] for run, n in zip(runs, records, strict=True)], axis=0)
    return Interval.around(ideal + float(excess), StandardError(float(error / np.sqrt(len(runs)))), SEEDS)

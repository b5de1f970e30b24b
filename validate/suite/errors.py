"""Findings on errors: of every pair of rungs the median and largest relative error and how the verdicts fell, and what a suite promises of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onset.theory.setting import Setting
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE, counted
from onset.validate.suite.comparisons import Comparison
from onset.validate.suite.series import series
from onset.validate.suite.tolerances import MEDIAN_TOLERANCE, PAIRS, TRAINED

__all__ = ["Promise", "Spread", "promises", "spreads"]


@dataclass(frozen=True)
class Spread:
    """How a pair of rungs fared over the settings of one group, or of all.

    Attributes
    ----------
    lower, upper, group : str
        An empty group stands for all.
    numbers : int
        Comparisons with a number on both sides.
    median, largest : float or None
        Of the absolute relative error.
    where : str
        Setting and quantity of the largest.
    verdicts : dict of verdict to int
        Over all comparisons of the pair.
    refused : int
        Comparisons for which the lower rung does not answer.
    """

    lower: str
    upper: str
    group: str
    numbers: int
    median: float | None
    largest: float | None
    where: str
    verdicts: dict[str, int]
    refused: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Promise:
    """A statement over several settings that a suite counts on, or only reports."""

    name: str
    verdict: str
    because: str
    promised: bool

    @property
    def holds(self) -> bool:
        return not self.promised or self.verdict != DISAGREES

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds}


def spreads(comparisons: Sequence[Comparison], settings: Mapping[str, Setting]) -> Iterator[Spread]:
    """Of every pair, over all settings and then group by group."""
    in_steps = [c for c in comparisons if c.unit == "steps"]
    groups = list(dict.fromkeys(c.group for c in in_steps))
    for pair in PAIRS:
        for group in ("", *groups):
            chosen = [c for c in in_steps if group in ("", c.group) and pair.applies(settings[c.setting])]
            found = _spread(pair.lower, pair.upper, group, chosen)
            if found is not None:
                yield found


def _spread(lower: str, upper: str, group: str, chosen: list[Comparison]) -> Spread | None:
    judged = [(c, one) for c in chosen for one in c.judged if (one.lower, one.upper) == (lower, upper)]
    refused = sum(lower in c.predicted and c.predicted[lower].refused for c in chosen)
    if not judged:
        return None
    errors = [
        (abs(one.verdict.error), f"{c.setting}, {c.quantity}") for c, one in judged if one.verdict.error is not None
    ]
    largest, where = max(errors, default=(None, ""))
    median = statistics.median(e for e, _ in errors) if errors else None
    verdicts = counted(one.verdict.kind for _, one in judged)
    return Spread(lower, upper, group, len(errors), median, largest, where, verdicts, refused)


def promises(comparisons: Sequence[Comparison], settings: Mapping[str, Setting]) -> Iterator[Promise]:
    """The median error of finite context, and whether the mean field's error falls from the shortest to the longest context of each series."""
    errors = [abs(e) for c in comparisons if c.unit == "steps" and (e := c.errors.get("finite-context")) is not None]
    if errors:
        median = statistics.median(errors)
        verdict = AGREES if median <= MEDIAN_TOLERANCE else DISAGREES
        because = f"{100 * median:.2g}% over {len(errors)} numbers, at most {100 * MEDIAN_TOLERANCE:g}% expected"
        yield Promise("median error of finite context against trained models", verdict, because, True)
    for one in series(settings.values(), "context"):
        labels = {setting.label: setting.task.context for setting in one.settings}
        # Under Adam, and in the softmax family from zero weights, the neglected terms do not vanish against the first signal.
        promised = one.settings[0].model.family == "linear" and one.settings[0].training.optimizer.name == "sgd"
        for quantity, points in _by_context(comparisons, labels).items():
            if len(points) > 1:
                (first, start, before), *_, (last, end, after) = sorted(points)
                rise, half = end - start, math.hypot(before, after)
                verdict = AGREES if rise < 0 else DISAGREES if rise > half else INCONCLUSIVE
                because = f"from {100 * start:.3g} ± {100 * before:.2g}% to {100 * end:.3g} ± {100 * after:.2g}%"
                name = f"error of the mean field falls with T: {one.named((first, last))}, {quantity}"
                yield Promise(name, verdict, because, promised)


def _by_context(
    comparisons: Iterable[Comparison], labels: Mapping[str, int]
) -> dict[str, list[tuple[int, float, float]]]:
    """(context, |error| of the mean field, half of its interval) by quantity, of the settings that `labels` names."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for c in comparisons:
        for one in c.judged:
            error, half = one.verdict.error, one.verdict.half
            if (one.lower, one.upper) == ("mean-field", TRAINED) and c.setting in labels and error is not None:
                found.setdefault(c.quantity, []).append((labels[c.setting], abs(error), half or 0.0))
    return found

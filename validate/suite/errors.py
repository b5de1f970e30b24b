"""Findings on errors: how far each rung is from the next, how its verdicts fell, and what a suite promises of them."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onset.theory.setting import Setting
from onset.validate.judging.rules import RULES
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE, counted
from onset.validate.suite.comparisons import Comparison
from onset.validate.suite.series import series
from onset.validate.suite.tolerances import MEDIAN_TOLERANCE, PAIRS, TRAINED

__all__ = ["ErrorSummary", "Promise", "error_summaries", "promises"]


@dataclass(frozen=True)
class ErrorSummary:
    """Errors and verdicts of a pair of rungs over the settings of one group, or of all.

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
    intervals : tuple of str
        What the lower rung's intervals say, of `onset.theory.estimates.KINDS`.
    held : int
        Numbers of the upper rung in the lower one's interval, without what both neglect.
    z : float or None
        Root mean square of the differences in units of their standard errors, where the lower rung neglects nothing.
    by_rule : dict of rule to dict of verdict to int
        `verdicts` by each version of the rule.
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
    intervals: tuple[str, ...]
    held: int
    z: float | None
    by_rule: dict[int, dict[str, int]]


@dataclass(frozen=True)
class Promise:
    """A statement over several settings; one that is `promised` must not disagree for the suite to hold."""

    name: str
    verdict: str
    because: str
    promised: bool

    @property
    def holds(self) -> bool:
        return not self.promised or self.verdict != DISAGREES

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds}


def error_summaries(comparisons: Sequence[Comparison], settings: Mapping[str, Setting]) -> Iterator[ErrorSummary]:
    """Summaries of every pair, over all settings and then group by group."""
    steps = [c for c in comparisons if c.unit == "steps"]
    for pair in PAIRS:
        for group in ("", *dict.fromkeys(c.group for c in steps)):
            covered = [c for c in steps if group in ("", c.group) and pair.applies(settings[c.setting])]
            judged = [
                (c, p.verdict) for c in covered for p in c.judged if (p.lower, p.upper) == (pair.lower, pair.upper)
            ]
            if not judged:
                continue
            errors = [
                (abs(verdict.error), f"{c.setting}, {c.quantity}") for c, verdict in judged if verdict.error is not None
            ]
            largest, where = max(errors, default=(None, ""))
            scores = [verdict.z for _, verdict in judged if pair.exact and verdict.z is not None]
            yield ErrorSummary(
                pair.lower,
                pair.upper,
                group,
                numbers=len(errors),
                median=statistics.median(error for error, _ in errors) if errors else None,
                largest=largest,
                where=where,
                verdicts=counted(verdict.kind for _, verdict in judged),
                refused=sum(pair.lower in c.predicted and c.predicted[pair.lower].refused for c in covered),
                intervals=tuple(sorted({kind for c, _ in judged if (kind := c.predicted[pair.lower].kind)})),
                held=sum(bool(verdict.holds) for _, verdict in judged),
                z=math.sqrt(statistics.mean(z**2 for z in scores)) if scores else None,
                by_rule={
                    version: counted(verdict.by_rule.get(version, verdict.kind) for _, verdict in judged)
                    for version in RULES
                },
            )


def promises(comparisons: Sequence[Comparison], settings: Mapping[str, Setting]) -> Iterator[Promise]:
    """The median error of finite context; and that the mean field's error falls with T along each series."""
    errors = [abs(e) for c in comparisons if c.unit == "steps" and (e := c.errors.get("finite-context")) is not None]
    if errors:
        median = statistics.median(errors)
        verdict = AGREES if median <= MEDIAN_TOLERANCE else DISAGREES
        because = f"{100 * median:.2g}% over {len(errors)} numbers, at most {100 * MEDIAN_TOLERANCE:g}% expected"
        yield Promise("median error of finite context against trained models", verdict, because, True)
    for along in series(settings.values(), "context"):
        contexts = {setting.label: setting.task.context for setting in along.settings}
        # Under Adam, and in the softmax family from zero weights, the first signal is no larger than what is neglected.
        promised = along.settings[0].model.family == "linear" and along.settings[0].training.optimizer.name == "sgd"
        for quantity, points in _mean_field_errors(comparisons, contexts).items():
            if len(points) > 1:
                (first, start, before), *_, (last, end, after) = sorted(points)
                rise = end - start
                verdict = AGREES if rise < 0 else DISAGREES if rise > math.hypot(before, after) else INCONCLUSIVE
                because = f"from {100 * start:.3g} ± {100 * before:.2g}% to {100 * end:.3g} ± {100 * after:.2g}%"
                name = f"error of the mean field falls with T: {along.label_of((first, last))}, {quantity}"
                yield Promise(name, verdict, because, promised)


def _mean_field_errors(
    comparisons: Sequence[Comparison], contexts: Mapping[str, int]
) -> dict[str, list[tuple[int, float, float]]]:
    """(context, |error| of the mean field, half of its interval) by quantity, for the settings in `contexts`."""
    errors: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for c in comparisons:
        for pair in c.judged:
            error, half = pair.verdict.error, pair.verdict.half
            if (pair.lower, pair.upper) == ("mean-field", TRAINED) and c.setting in contexts and error is not None:
                errors[c.quantity].append((contexts[c.setting], abs(error), half or 0.0))
    return errors

"""Findings in words: every disagreement in a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from onset.validate.judging.formats import with_interval
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import DISAGREES
from onset.validate.suite.basins import BasinFinding
from onset.validate.suite.comparisons import Comparison, PairVerdict
from onset.validate.suite.errors import Promise
from onset.validate.suite.exponents import Exponent
from onset.validate.suite.tolerances import TRAINED

__all__ = ["disagreements"]


def disagreements(
    comparisons: Sequence[Comparison],
    promises: Sequence[Promise],
    basins: Sequence[BasinFinding],
    exponents: Sequence[Exponent],
) -> Iterator[str]:
    """A sentence for each disagreement: promises, comparisons (the promised ones first), basins, exponents."""
    for promise in promises:
        if promise.verdict == DISAGREES:
            yield f"{_prefix(promise.promised)}{promise.name}: {promise.because}."
    rungs = [(c, lower, pairs) for c in comparisons for lower, pairs in _by_rung(c).items()]
    for c, lower, pairs in sorted(rungs, key=lambda rung: not rung[2][0].promised):
        yield _sentence(c, lower, pairs)
    for basin in basins:
        if basin.verdict == DISAGREES:
            fates = ", ".join(f"{count} {name}" for name, count in basin.trained.items() if count)
            yield f"{basin.setting}: predicted to be {basin.predicted} (z = {basin.z:+.1f}), but of the seeds {fates}."
    for exponent in exponents:
        for rung, slope in exponent.slopes.items():
            if slope.verdict == DISAGREES:
                yield (
                    f"{exponent.series}, {exponent.quantity}: {rung} goes as {exponent.axis}^{slope.exponent:.3f}, "
                    f"trained models as ^{exponent.slopes[TRAINED].exponent:.3f} (difference {slope.difference:+.3f} "
                    f"± {slope.difference_error:.3f}, tolerance {exponent.tolerance:.3f})."
                )


def _by_rung(c: Comparison) -> dict[str, list[PairVerdict]]:
    """Disagreements of a comparison, by the rung judged."""
    pairs: dict[str, list[PairVerdict]] = defaultdict(list)
    for pair in c.judged:
        if pair.verdict.kind == DISAGREES:
            pairs[pair.lower].append(pair)
    return pairs


def _sentence(c: Comparison, lower: str, pairs: list[PairVerdict]) -> str:
    start = f"{_prefix(any(pair.promised for pair in pairs))}{c.setting}, {c.quantity}"
    last = pairs[-1].verdict
    if c.unit != "steps":
        return f"{start}: {last.because}."
    sides = {**c.predicted, TRAINED: c.observed}
    uppers = ", ".join(f"{pair.upper} {_steps(sides[pair.upper])}" for pair in pairs)
    sentence = f"{start}: {lower} {_steps(sides[lower])}; {uppers}"
    if last.error is None:
        return f"{sentence}."
    z = "" if last.z is None else f", z = {last.z:+.1f}"
    direction = "late" if last.error > 0 else "early"
    tolerance = f"tolerance {100 * last.tolerance.value:.2g}%{z}"
    return f"{sentence}: {abs(100 * last.error):.0f}% too {direction} ({tolerance})."


def _steps(interval: Interval) -> str:
    """A step with its interval, or that there is none."""
    if interval.value is None:
        if interval.refused or not interval.limit:
            return interval.reason or "none"
        how = "never" if interval.share is None else f"in {100 * interval.share:.0f}% of the curves only"
        return f"{how} (up to step {interval.limit:.0f})"
    return with_interval(interval.value, interval.low, interval.high)


def _prefix(promised: bool) -> str:
    return "counted on, but " if promised else ""

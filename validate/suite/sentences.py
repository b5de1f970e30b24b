"""Findings in words: every disagreement in a sentence, and what would decide what is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import DISAGREES
from onset.validate.suite.basins import BasinFinding
from onset.validate.suite.comparisons import Comparison, Judged
from onset.validate.suite.errors import Promise
from onset.validate.suite.exponents import Exponent
from onset.validate.suite.tolerances import TRAINED

__all__ = ["disagreements", "steps"]


def disagreements(
    comparisons: Sequence[Comparison],
    promises: Sequence[Promise],
    basins: Sequence[BasinFinding],
    exponents: Sequence[Exponent],
) -> Iterator[str]:
    """A sentence for each, the broken promises first."""
    for promise in promises:
        if promise.verdict == DISAGREES:
            yield f"{_counted(promise.promised)}{promise.name}: {promise.because}."
    told = [(c, lower, here) for c in comparisons for lower, here in _by_rung(c).items()]
    for c, lower, here in sorted(told, key=lambda each: not each[2][0].promised):
        yield _sentence(c, lower, here)
    for found in basins:
        if found.verdict == DISAGREES:
            fates = ", ".join(f"{count} {name}" for name, count in found.trained.items() if count)
            yield f"{found.setting}: predicted to be {found.predicted} (z = {found.z:+.1f}), but of the seeds {fates}."
    for found in exponents:
        for rung, slope in found.slopes.items():
            if slope.verdict == DISAGREES:
                yield (
                    f"{found.series}, {found.quantity}: {rung} goes as {found.axis}^{slope.exponent:.3f}, trained models as ^{found.slopes[TRAINED].exponent:.3f} "
                    f"(difference {slope.difference:+.3f} ± {slope.difference_error:.3f}, tolerance {found.tolerance:.3f})."
                )


def _by_rung(c: Comparison) -> dict[str, list[Judged]]:
    """The disagreements of a comparison, by the rung judged."""
    found: dict[str, list[Judged]] = {}
    for one in c.judged:
        if one.verdict.kind == DISAGREES:
            found.setdefault(one.lower, []).append(one)
    return found


def _sentence(c: Comparison, lower: str, here: list[Judged]) -> str:
    start = f"{_counted(any(one.promised for one in here))}{c.setting}, {c.quantity}"
    last = here[-1].verdict
    if c.unit != "steps":
        return f"{start}: {last.because}."
    sides = {**c.predicted, TRAINED: c.observed}
    others = ", ".join(f"{one.upper} {steps(sides[one.upper])}" for one in here)
    told = f"{start}: {lower} {steps(sides[lower])}; {others}"
    if last.error is None:
        return f"{told}."
    z = "" if last.z is None else f", z = {last.z:+.1f}"
    way = "late" if last.error > 0 else "early"
    return f"{told}: {abs(100 * last.error):.0f}% too {way} (tolerance {100 * last.tolerance.value:.2g}%{z})."


def steps(interval: Interval) -> str:
    """A step with its interval, or that there is none."""
    if interval.value is None:
        if interval.refused or not interval.limit:
            return interval.reason or "none"
        how = "never" if interval.share is None else f"in {100 * interval.share:.0f}% of the curves only"
        return f"{how} (up to step {interval.limit:.0f})"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.0f}"
    return f"{interval.value:.0f} [{interval.low:.0f}, {interval.high:.0f}]"


def _counted(promised: bool) -> str:
    return "counted on, but " if promised else ""

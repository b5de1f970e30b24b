r"""Findings on exponents: how trained times go with T, or with a rate, beside what each rung predicts.

Along a series of settings that differ in x alone, ln t is regressed on ln x, over the settings that have a time. The standard error comes
from the residuals, so it holds the curvature of the line as well as noise (`onset.simulate.exponents`). A rung is compared over the settings that both
have: the slope of ln(t_predicted/t_trained), in which a curvature that both share cancels, with the standard error that the intervals give. Its tolerance
is what errors within `TOLERANCE` at both ends can make of a slope: 2 τ / ln(x_last/x_first).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from onset.simulate.exponents import fits, regression
from onset.simulate.scan import Row, grid
from onset.theory.laws.terms import terms_or_refusal
from onset.theory.setting import Setting
from onset.validate.judging.intervals import Interval, Z
from onset.validate.judging.verdicts import decide
from onset.validate.suite.comparisons import Comparison
from onset.validate.suite.series import AXES, Series, series
from onset.validate.suite.tolerances import TOLERANCE, TRAINED

__all__ = ["Exponent", "Slope", "exponents"]

LEAST = 3
"""Settings with a time, below which there is no standard error."""

TERMS = {"formation": "formation", "unigram → bigram": "passage"}
"""What the law's terms call the quantities."""


@dataclass(frozen=True)
class Slope:
    """d ln t/d ln x of one rung over `points` settings, with its standard error; and the difference to the trained one over the settings
    that both have, with the standard error that the intervals give, z and verdict."""

    exponent: float
    error: float
    points: int
    difference: float | None = None
    difference_error: float | None = None
    z: float | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Exponent:
    """Exponents of one quantity along one series.

    Attributes
    ----------
    series, axis, quantity : str
    values : list of float
        Of the axis, where trained models have a time.
    times : dict of rung to list of (x, step, low, high)
    slopes : dict of rung to Slope
        That of `TRAINED` and of every rung with enough settings.
    tolerance : float
        Of a difference.
    stated : dict or None
        What theory states in closed form along the line: exponent, source and z of the trained one.
    """

    series: str
    axis: str
    quantity: str
    values: list[float]
    times: dict[str, list[tuple[float, float, float, float]]]
    slopes: dict[str, Slope]
    tolerance: float
    stated: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def exponents(comparisons: Sequence[Comparison], settings: Mapping[str, Setting]) -> Iterator[Exponent]:
    """Of every series and quantity with enough trained times."""
    by_setting: dict[str, dict[str, Comparison]] = {}
    for c in comparisons:
        if c.unit == "steps":
            by_setting.setdefault(c.setting, {})[c.quantity] = c
    for axis in AXES:
        for one in series(settings.values(), axis):
            found = [by_setting.get(setting.label, {}) for setting in one.settings]
            for quantity in dict.fromkeys(q for each in found for q in each):
                exponent = _exponent(one, quantity, [each.get(quantity) for each in found])
                if exponent is not None:
                    yield exponent


def _exponent(along: Series, quantity: str, found: Sequence[Comparison | None]) -> Exponent | None:
    told: dict[str, list[Interval | None]] = {}
    for rung in dict.fromkeys([TRAINED, *(name for c in found if c is not None for name in c.predicted)]):
        told[rung] = [None if c is None else c.observed if rung == TRAINED else c.predicted.get(rung) for c in found]
    times = {rung: _times(along.values, each) for rung, each in told.items()}
    seen = times.pop(TRAINED)
    if len(seen) < LEAST:
        return None
    tolerance = 2 * TOLERANCE / math.log(seen[-1][0] / seen[0][0])
    slopes = {TRAINED: _slope(seen)}
    slopes |= {rung: _beside(each, seen, tolerance) for rung, each in times.items() if len(each) >= LEAST}
    stated = _stated(along, quantity, dict((x, (step, low, high)) for x, step, low, high in seen))
    shown = {TRAINED: seen} | {rung: each for rung, each in times.items() if each}
    values = [x for x, *_ in seen]
    return Exponent(along.named(values), along.axis, quantity, values, shown, slopes, tolerance, stated)


def _times(values: Iterable[float], told: Iterable[Interval | None]) -> list[tuple[float, float, float, float]]:
    """(x, step, low, high) where there is a step."""
    return [
        (x, t.value, t.value if t.low is None else t.low, t.value if t.high is None else t.high)
        for x, t in zip(values, told, strict=True)
        if t is not None and t.value
    ]


def _slope(times: list[tuple[float, float, float, float]]) -> Slope:
    x, step, *_ = np.log(np.array(times)[:, :2]).T
    slope, error = regression(x, step)
    assert error is not None
    return Slope(slope, error, len(times))


def _beside(own: list[Any], seen: list[Any], tolerance: float) -> Slope:
    alone, known = _slope(own), {x: rest for x, *rest in seen}
    both = np.array([(x, *rest, *known[x]) for x, *rest in own if x in known])
    if len(both) < 2:
        return alone
    x, step, low, high, other, other_low, other_high = both.T
    off = np.log(x) - np.log(x).mean()
    weights = off / (off @ off)
    difference = float(weights @ np.log(step / other))
    spread = np.hypot((high - low) / step, (other_high - other_low) / other) / (2 * Z)
    error = float(np.sqrt((weights**2) @ spread**2))
    verdict = decide(difference, Z * error, tolerance)
    z = difference / error if error else None
    return Slope(alone.exponent, alone.error, alone.points, difference, error, z, verdict)


def _stated(along: Series, quantity: str, seen: Mapping[float, tuple[float, float, float]]) -> dict[str, Any] | None:
    """What the plateau law states of the line's exponent, where it answers for every setting with a time."""
    name = TERMS.get(quantity)
    if name is None or not along.usual or along.settings[0].model.family != "linear":
        return None
    chosen = grid(along.settings[0], {along.axis: list(seen)})
    rows = []
    for point in chosen.points():
        own = seen[point[0]]
        formation, passage = (own if name == n else None for n in ("formation", "passage"))
        told = terms_or_refusal(chosen.setting(point))
        rows.append(Row(point, formation, passage, terms=None if isinstance(told, ValueError) else told))
    fit = next((fit for fit in fits(chosen, rows, TRAINED) if fit.quantity == name), None)
    if fit is None or fit.predicted is None:
        return None
    return {"exponent": fit.predicted, "source": fit.theory, "z": fit.z}

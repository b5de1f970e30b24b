r"""Findings on exponents: how trained times scale with T, or with a rate, and what each rung predicts.

Along a series of settings that differ in x alone, ln t is regressed on ln x, over the settings that have a time. The
standard error comes from the residuals, so it contains the curvature of the line as well as noise
(`onset.simulate.exponents`). A rung is compared over the settings for which both have a time: the slope of
ln(t_predicted/t_trained), in which a shared curvature cancels, with the standard error of the times. Its tolerance is
the slope that errors within `TOLERANCE` at both ends can make: 2 τ / ln(x_last/x_first).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onset.simulate.exponents import fits, regression
from onset.simulate.scan import Row, grid
from onset.theory.laws.terms import terms_or_refusal
from onset.theory.setting import Setting
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import INCONCLUSIVE, decide
from onset.validate.suite.comparisons import Comparison
from onset.validate.suite.series import AXES, Series, series
from onset.validate.suite.tolerances import TOLERANCE, TRAINED

__all__ = ["Exponent", "Slope", "exponents"]

FEWEST_TIMES = 3
"""Settings with a time that a standard error needs."""

TERMS = {"formation": "formation", "unigram → bigram": "passage"}
"""Names of the quantities in the plateau law's terms."""

Times = dict[float, Interval]
"""Steps by the value of the axis."""


@dataclass(frozen=True)
class Slope:
    """Exponent d ln t/d ln x of one rung, and its difference to the trained one.

    Attributes
    ----------
    exponent, error : float
        With its standard error.
    points : int
        Settings with a time.
    difference, difference_error, difference_half, z : float or None
        Over the settings with both times, with the standard error of the times, without what a theory neglects, and
        half of the 95% interval; no error where a time has none.
    verdict : str or None
    """

    exponent: float
    error: float
    points: int
    difference: float | None = None
    difference_error: float | None = None
    difference_half: float | None = None
    z: float | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Exponent:
    """Exponents of one quantity along one series.

    Attributes
    ----------
    series, axis, quantity : str
    values : list of float
        Values of the axis where trained models have a time.
    times : dict of rung to list of (x, step, low, high)
    slopes : dict of rung to Slope
        `TRAINED` and every rung with enough settings.
    tolerance : float
        Of a difference.
    stated : dict or None
        What theory states in closed form along the line: exponent, source, and z of the trained exponent.
    """

    series: str
    axis: str
    quantity: str
    values: list[float]
    times: dict[str, list[tuple[float, float, float, float]]]
    slopes: dict[str, Slope]
    tolerance: float
    stated: dict[str, Any] | None


def exponents(comparisons: Sequence[Comparison], settings: Mapping[str, Setting]) -> Iterator[Exponent]:
    """Exponents of every series and quantity with enough trained times."""
    by_setting: dict[str, dict[str, Comparison]] = defaultdict(dict)
    for c in comparisons:
        if c.unit == "steps":
            by_setting[c.setting][c.quantity] = c
    for axis in AXES:
        for along in series(settings.values(), axis):
            by_settings = [by_setting.get(setting.label, {}) for setting in along.settings]
            for quantity in dict.fromkeys(name for by_quantity in by_settings for name in by_quantity):
                exponent = _exponent(along, quantity, [by_quantity.get(quantity) for by_quantity in by_settings])
                if exponent is not None:
                    yield exponent


def _exponent(along: Series, quantity: str, comparisons: Sequence[Comparison | None]) -> Exponent | None:
    times: dict[str, Times] = {TRAINED: {}}
    for x, c in zip(along.values, comparisons, strict=True):
        for rung, interval in ({} if c is None else {TRAINED: c.observed} | c.predicted).items():
            rung_times = times.setdefault(rung, {})
            if interval.value:
                rung_times[x] = interval
    trained = times[TRAINED]
    if len(trained) < FEWEST_TIMES:
        return None
    values = list(trained)
    tolerance = 2 * TOLERANCE / math.log(values[-1] / values[0])
    return Exponent(
        along.label_of(values),
        along.axis,
        quantity,
        values,
        {rung: [(x, *_ends(step)) for x, step in times_of.items()] for rung, times_of in times.items() if times_of},
        {
            rung: _slope(times_of, trained, tolerance)
            for rung, times_of in times.items()
            if len(times_of) >= FEWEST_TIMES
        },
        tolerance,
        _stated(along, quantity, trained),
    )


def _ends(interval: Interval) -> tuple[float, float, float]:
    """(step, low, high); a step without an interval stands for both ends."""
    value = interval.value or math.nan
    return value, value if interval.low is None else interval.low, value if interval.high is None else interval.high


def _slope(rung: Times, trained: Times, tolerance: float) -> Slope:
    """Exponent of a rung, and its difference to the trained one unless it is that one."""
    exponent, error = regression(np.log(list(rung)), np.log([_ends(time)[0] for time in rung.values()]))
    assert error is not None
    both = [(x, rung[x], trained[x]) for x in rung if x in trained]
    if rung is trained or len(both) < 2:
        return Slope(exponent, error, len(rung))
    off = np.log([x for x, *_ in both])
    off -= off.mean()
    weights = off / (off @ off)
    pairs = [(a, b) for _, a, b in both]
    difference = float(weights @ [math.log(_ends(a)[0] / _ends(b)[0]) for a, b in pairs])
    relative = [time.error.times(1 / _ends(time)[0]) for pair in pairs for time in pair if time.error is not None]
    if len(relative) < 2 * len(pairs):
        return Slope(exponent, error, len(rung), difference, verdict=INCONCLUSIVE)
    first, *others = (part.times(weight) for part, weight in zip(relative, np.repeat(weights, 2), strict=True))
    spread = first.beside(*others)
    z = difference / spread.value if spread.value else None
    verdict = decide(difference, spread, tolerance)
    return Slope(exponent, error, len(rung), difference, spread.value, spread.half, z, verdict)


def _stated(along: Series, quantity: str, trained: Times) -> dict[str, Any] | None:
    """The exponent that the plateau law states along the line, where it supports every setting with a time."""
    name = TERMS.get(quantity)
    if name is None or not along.has_default_rates or along.settings[0].model.family != "linear":
        return None
    scanned = grid(along.settings[0], {along.axis: list(trained)})
    rows = []
    for point in scanned.points():
        formation, passage = (_ends(trained[point[0]]) if name == term else None for term in ("formation", "passage"))
        terms = terms_or_refusal(scanned.setting(point))
        rows.append(Row(point, formation, passage, terms=None if isinstance(terms, ValueError) else terms))
    fit = next((fit for fit in fits(scanned, rows, TRAINED) if fit.quantity == name), None)
    if fit is None or fit.predicted is None:
        return None
    return {"exponent": fit.predicted, "source": fit.theory, "z": fit.z}

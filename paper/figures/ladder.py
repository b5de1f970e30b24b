"""The ladder: predicted against observed steps for every setting, a column for each rung, no parameter fitted, with
intervals and the line of agreement. Below, the relative error of each prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onset.paper.style import DARK, RUNG_COLOURS, bars, marker_handle
from onset.validate.judging.formats import share
from onset.validate.judging.intervals import Interval
from onset.validate.suite import Results
from onset.validate.suite.settings import SURROGATE

__all__ = ["LadderPoint", "compute", "draw", "with_ends"]

FIRST = ("unigram → bigram", "formation", "bigram → trigram", "formation of lag 2")
"""Quantities with fixed markers."""

MARKERS = "o^svD<P>X*"

INTERVAL_FACTOR = 100.0
"""Largest factor by which an interval is drawn downwards."""


@dataclass(frozen=True)
class LadderPoint:
    """One prediction and its observation: (value, low, high) of each, in steps."""

    rung: str
    quantity: str
    predicted: tuple[float, float, float]
    observed: tuple[float, float, float]


def compute(results: Results) -> list[LadderPoint]:
    """All predictions in steps that have an observation; a surrogate, which is not calibrated, predicts none."""
    points = []
    for comparison in results.comparisons:
        observed = with_ends(comparison.observed)
        if comparison.unit != "steps" or observed is None:
            continue
        for rung, interval in comparison.predicted.items():
            predicted = with_ends(interval)
            if predicted is not None and rung != SURROGATE:
                points.append(LadderPoint(rung, comparison.quantity, predicted, observed))
    return points


def with_ends(interval: Interval) -> tuple[float, float, float] | None:
    """(value, low, high), with the value in place of missing ends; None without a value."""
    if interval.value is None:
        return None
    low, high = (interval.value if end is None else end for end in (interval.low, interval.high))
    return interval.value, low, high


def _markers(points: list[LadderPoint]) -> dict[str, str]:
    """A marker for each quantity that is drawn."""
    drawn = {point.quantity for point in points}
    quantities = dict.fromkeys([*FIRST, *sorted(drawn)])
    return {name: marker for name, marker in zip(quantities, cycle(MARKERS), strict=False) if name in drawn}


def draw(points: list[LadderPoint]) -> Figure:
    """A column for each rung: steps on logarithmic axes above, relative errors below."""
    markers, known = _markers(points), list(RUNG_COLOURS)
    rungs = sorted({point.rung for point in points}, key=known.index) or known[:1]
    figure, axes = plt.subplots(
        2,
        len(rungs),
        figsize=(2.1 + 1.6 * len(rungs), 4.6),
        height_ratios=[1.6, 1],
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    values = [v for p in points for v in (p.predicted[0], p.observed[0])] or [1.0, 10.0]
    ends = [min(values) / 1.5, max(values) * 1.7]
    for rung, top, bottom in zip(rungs, *axes, strict=True):
        of_rung = [point for point in points if point.rung == rung]
        for point in of_rung:
            _draw_point(top, bottom, point, markers[point.quantity])
        top.plot(ends, ends, color=DARK, lw=0.9, zorder=0)
        top.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
        top.set_title(f"{rung}\n{_typical(of_rung)}", fontsize=9)
        bottom.axhline(0, color=DARK, lw=0.9, zorder=0)
    bottom = axes[1, 0]
    bottom.set_yscale("symlog", linthresh=10)
    bottom.set_yticks([-100, -10, 0, 10, 100], ["−100", "−10", "0", "10", "100"])
    bottom.minorticks_off()
    errors = [100 * abs(p.predicted[0] / p.observed[0] - 1) for p in points]
    limit = 1.3 * max([100.0, *errors])
    bottom.set_ylim(-limit, limit)
    axes[0, 0].set_ylabel("predicted step")
    bottom.set_ylabel("error / %")
    axes[1, len(rungs) // 2].set_xlabel("observed step (trained PyTorch models)")
    handles = [marker_handle(marker, name) for name, marker in markers.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _typical(points: list[LadderPoint]) -> str:
    errors = [abs(point.predicted[0] / point.observed[0] - 1) for point in points]
    return f"median error {share(float(np.median(errors)))}" if errors else ""


def _draw_point(top: Axes, bottom: Axes, point: LadderPoint, marker: str) -> None:
    # An interval that reaches zero has no end on a logarithmic axis.
    x, y = (
        np.maximum(values, values[0] / INTERVAL_FACTOR)
        for values in (np.array(point.observed), np.array(point.predicted))
    )
    for axis, value, error in ((top, y[0], bars(y)), (bottom, 100 * (y[0] / x[0] - 1), 100 * bars(y) / x[0])):
        axis.errorbar(
            x[0],
            value,
            xerr=bars(x),
            yerr=error,
            fmt=marker,
            ms=3.5,
            color=RUNG_COLOURS[point.rung],
            elinewidth=0.6,
            alpha=0.8,
        )

"""The ladder: predicted against observed steps for every setting, one colour per rung, with 95% intervals and the line
of agreement. Below, the relative error of each prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import DARK, RUNG_COLOURS, bars, marker_handle
from onset.validate.judging.intervals import Interval
from onset.validate.suite import Results

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
    """All predictions in steps that have an observation."""
    points = []
    for comparison in results.comparisons:
        observed = with_ends(comparison.observed)
        if comparison.unit != "steps" or observed is None:
            continue
        for rung, interval in comparison.predicted.items():
            predicted = with_ends(interval)
            if predicted is not None:
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
    """Steps on logarithmic axes above, relative errors below."""
    markers = _markers(points)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(5.8, 8.0), height_ratios=[3, 1], sharex=True, layout="constrained"
    )
    rungs = list(RUNG_COLOURS)
    for point in points:
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
                fmt=markers[point.quantity],
                color=RUNG_COLOURS[point.rung],
                mfc="white" if point.rung == "mean-field" else RUNG_COLOURS[point.rung],
                elinewidth=0.9,
                alpha=0.9,
                zorder=2 + rungs.index(point.rung) / 10,
            )
    values = [v for p in points for v in (p.predicted[0], p.observed[0])] or [1.0, 10.0]
    ends = [min(values) / 1.3, max(values) * 1.5]
    top.plot(ends, ends, color=DARK, lw=0.9, zorder=0)
    top.set(xscale="log", yscale="log", xlim=ends, ylim=ends, ylabel="predicted step")
    bottom.axhspan(-5, 5, color=RUNG_COLOURS["finite-context"], alpha=0.1, lw=0)
    bottom.axhline(0, color=DARK, lw=0.9)
    bottom.set_yscale("symlog", linthresh=10)
    bottom.set_yticks([-100, -10, -5, 0, 5, 10, 100], ["−100", "−10", "−5", "0", "5", "10", "100"])
    errors = [100 * (p.predicted[0] / p.observed[0] - 1) for p in points]
    bottom.set_ylim(-130, 1.3 * max([100.0, *errors]))
    bottom.set(xlabel="observed step (trained PyTorch models)", ylabel="error / %")
    notes = {"softmax toy": " (for the transformer, uncalibrated)"}
    drawn = {p.rung for p in points}
    handles = [marker_handle("s", r + notes.get(r, ""), RUNG_COLOURS[r]) for r in rungs if r in drawn]
    handles += [marker_handle(marker, name) for name, marker in markers.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    top.set_title("Predicted and observed transitions, no fitted parameter", loc="left")
    return figure

"""The ladder: predicted against observed steps for every setting, one colour per rung, with 95% intervals and the line of agreement.
Below, the relative error of each prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import DARK, RUNG_COLOURS
from onset.validate.suite import Comparison, Interval, Results

__all__ = ["Point", "compute", "draw"]

FIRST = ("unigram → bigram", "formation", "bigram → trigram", "formation of lag 2")
"""Quantities that keep their marker whatever else is shown."""

MARKERS = "o^svD<P>X*"

LONGEST = 100.0
"""Factor by which an interval is drawn downwards at most."""


@dataclass(frozen=True)
class Point:
    """One prediction beside its observation: (value, low, high) of each, in steps."""

    rung: str
    quantity: str
    predicted: tuple[float, float, float]
    observed: tuple[float, float, float]


def compute(results: Results) -> list[Point]:
    """All predictions in steps that have an observation."""
    return [point for comparison in results.comparisons if comparison.unit == "steps" for point in _points(comparison)]


def _points(comparison: Comparison) -> list[Point]:
    observed = _ends(comparison.observed)
    if observed is None:
        return []
    told = {rung: _ends(interval) for rung, interval in comparison.predicted.items()}
    return [Point(rung, comparison.quantity, ends, observed) for rung, ends in told.items() if ends is not None]


def _ends(interval: Interval) -> tuple[float, float, float] | None:
    """(value, low, high), without an interval the value thrice; None if there is no value."""
    if interval.value is None:
        return None
    low, high = (interval.value if end is None else end for end in (interval.low, interval.high))
    return interval.value, low, high


def _markers(points: list[Point]) -> dict[str, str]:
    """One for each quantity shown."""
    shown = {point.quantity for point in points}
    every = dict.fromkeys([*FIRST, *sorted(shown)])
    return {name: marker for name, marker in zip(every, cycle(MARKERS), strict=False) if name in shown}


def draw(points: list[Point]) -> Figure:
    """Steps on log axes above, relative errors below."""
    markers = _markers(points)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(5.8, 8.0), height_ratios=[3, 1], sharex=True, layout="constrained"
    )
    for point in points:
        colour = RUNG_COLOURS[point.rung]
        # An interval that reaches zero has no end on a logarithmic axis.
        x, y = (np.maximum(told, told[0] / LONGEST) for told in (np.array(point.observed), np.array(point.predicted)))
        across, up = np.abs(x[1:] - x[0])[:, None], np.abs(y[1:] - y[0])[:, None]
        for axis, value, spread in ((top, y[0], up), (bottom, 100 * (y[0] / x[0] - 1), 100 * up / x[0])):
            axis.errorbar(
                x[0],
                value,
                xerr=across,
                yerr=spread,
                fmt=markers[point.quantity],
                color=colour,
                mfc="white" if point.rung == "mean-field" else colour,
                elinewidth=0.9,
                alpha=0.9,
                zorder=2 + list(RUNG_COLOURS).index(point.rung) / 10,
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
    rungs = [rung for rung in RUNG_COLOURS if any(p.rung == rung for p in points)]
    notes = {"softmax toy": " (for the transformer, uncalibrated)"}
    handles = [Line2D([], [], marker="s", ls="", color=RUNG_COLOURS[r], label=r + notes.get(r, "")) for r in rungs]
    handles += [Line2D([], [], marker=m, ls="", color=DARK, label=name) for name, m in markers.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    top.set_title("Predicted and observed transitions, no fitted parameter", loc="left")
    return figure

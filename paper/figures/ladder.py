"""The ladder: predicted against observed steps for every setting, one colour per rung, with 95% intervals and the line of agreement.
Below, the relative error of each prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper.style import RUNG_COLOURS
from validate.suite import Comparison, Results

__all__ = ["Point", "compute", "draw"]

MARKERS = {"unigram → bigram": "o", "formation": "^"}


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
    seen = comparison.observed
    if seen.value is None:
        return []
    observed = (seen.value, float(seen.low or seen.value), float(seen.high or seen.value))
    return [
        Point(
            rung,
            comparison.quantity,
            (told.value, float(told.low or told.value), float(told.high or told.value)),
            observed,
        )
        for rung, told in comparison.predicted.items()
        if told.value is not None
    ]


def draw(points: list[Point]) -> Figure:
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(5.6, 6.6), height_ratios=[3, 1], sharex=True, layout="constrained"
    )
    for point in points:
        colour = RUNG_COLOURS[point.rung]
        look = {
            "fmt": MARKERS[point.quantity],
            "color": colour,
            "mfc": "white" if point.rung == "mean-field" else colour,
            "elinewidth": 0.9,
            "alpha": 0.9,
        }
        x, y = point.observed, point.predicted
        across, up = [[x[0] - x[1]], [x[2] - x[0]]], [[y[0] - y[1]], [y[2] - y[0]]]
        top.errorbar(x[0], y[0], xerr=np.abs(across), yerr=np.abs(up), **look)
        bottom.errorbar(x[0], 100 * (y[0] / x[0] - 1), xerr=np.abs(across), yerr=100 * np.abs(up) / x[0], **look)
    values = [v for p in points for v in (p.predicted[0], p.observed[0])] or [1.0, 10.0]
    ends = [min(values) / 1.3, max(values) * 1.3]
    top.plot(ends, ends, color="#444444", lw=0.9, zorder=0)
    top.set(xscale="log", yscale="log", xlim=ends, ylim=ends, ylabel="predicted step", aspect="equal")
    bottom.axhspan(-5, 5, color="#1F6FB2", alpha=0.1, lw=0)
    bottom.axhline(0, color="#444444", lw=0.9)
    bottom.set(xlabel="observed step (trained PyTorch models)", ylabel="error / %", yscale="symlog")
    bottom.set_yscale("symlog", linthresh=10)
    bottom.set_yticks([-100, -10, -5, 0, 5, 10, 100], ["−100", "−10", "−5", "0", "5", "10", "100"])
    rungs = [rung for rung in RUNG_COLOURS if any(p.rung == rung for p in points)]
    handles = [
        Line2D(
            [],
            [],
            marker="s",
            ls="",
            color=RUNG_COLOURS[rung],
            label=rung + (" (for the transformer)" if rung == "softmax toy" else ""),
        )
        for rung in rungs
    ]
    handles += [Line2D([], [], marker=m, ls="", color="#444444", label=name) for name, m in MARKERS.items()]
    top.legend(handles=handles, loc="upper left")
    top.set_title("No fitted parameter: predicted and observed transitions", loc="left")
    return figure

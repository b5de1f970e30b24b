"""Scaling of the transformer's passage to bigram, and the path of its effective order parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import AMBER, BLUE, DARK, GREEN, GREY, ROSE, VIOLET
from onset.theory.arrays import Array
from onset.validate.claims import scaling
from onset.validate.claims.claim import Runs
from onset.validate.judging.intervals import Interval

__all__ = ["Point", "Scaling", "draw", "of_runs"]

COLOURS = {"T": BLUE, "k": AMBER, "rate": GREEN, "concentration": VIOLET, "batch": ROSE}
MARKERS = {scaling.ADAMW: "o", scaling.SGD: "s"}
LONGEST = 10.0
"""Factor by which an interval is drawn at most."""


@dataclass(frozen=True)
class Point:
    """A setting's (value, low, high) of the predicted and the observed step; `axis` is empty for the base."""

    name: str
    optimizer: str
    axis: str
    predicted: tuple[float, float, float]
    observed: tuple[float, float, float]


@dataclass(frozen=True)
class Scaling:
    """Points; and paths: t over the step of the passage with v₁, ω and μ, shapes (n,) and (n, 3), of each seed and of the toy."""

    constant: float
    points: list[Point]
    transformer: list[tuple[Array, Array]]
    toy: list[tuple[Array, Array]]


def of_runs(runs: Runs) -> Scaling:
    """Passage to bigram, one number changed at a time: observed step of transformers against the toy's times one constant, fitted at the base (black); bars: 95%. Below, effective order parameters against the step over that of the passage, at the base: a line for each seed, and the toy's (dashed). Settings that never pass, in theory or in some seed, are left out."""
    base = scaling.BASE
    constant = scaling.calibration(scaling.seen_step(runs, base), scaling.told_step(runs, base))
    places = [(base, scaling.ADAMW, ""), *((one.name, one.optimizer, one.axis) for one in scaling.VARIATIONS)]
    points = []
    for name, optimizer, axis in places:
        told = _ends(scaling.predicted(constant, scaling.told_step(runs, name)))
        observed = _ends(scaling.seen_step(runs, name))
        if told is not None and observed is not None:
            points.append(Point(name, optimizer, axis, told, observed))
    setting = runs[base].setting
    toys = runs[f"{base}, toy"].trajectories if f"{base}, toy" in runs else ()
    return Scaling(
        constant.value or np.nan,
        points,
        [
            (one.steps / step, scaling.path(setting, one))
            for one in runs[base].trajectories
            if (step := scaling.step_of(one))
        ],
        [(one.steps / step, scaling.toy_path(one)) for one in toys if (step := scaling.step_of(one))],
    )


def _ends(interval: Interval) -> tuple[float, float, float] | None:
    """(value, low, high), cut where an axis would have to be much longer for it."""
    if interval.value is None:
        return None
    value = interval.value
    low = value if interval.low is None else interval.low
    high = value if interval.high is None else interval.high
    return value, max(low, value / LONGEST), min(high, value * LONGEST)


def draw(data: Scaling) -> Figure:
    """Steps above, on logarithmic axes with the line of equality; the three order parameters below."""
    figure = plt.figure(figsize=(7.4, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=[1.7, 1])
    top = figure.add_subplot(grid[0, :])
    for point in data.points:
        (x, *across), (y, *up) = point.predicted, point.observed
        top.errorbar(
            x,
            y,
            xerr=np.abs(np.array(across) - x)[:, None],
            yerr=np.abs(np.array(up) - y)[:, None],
            fmt=MARKERS[point.optimizer],
            color=COLOURS.get(point.axis, "black"),
            ms=5,
            elinewidth=0.9,
            label=point.name,
        )
    values = [v for point in data.points for v in (point.predicted[0], point.observed[0])] or [1.0, 10.0]
    ends = [min(values) / 1.6, max(values) * 1.6]
    top.plot(ends, ends, color=DARK, lw=0.9, zorder=0)
    top.set(xscale="log", yscale="log", xlim=ends, ylim=ends, ylabel="observed step")
    top.set_xlabel(f"toy's step × {data.constant:.3g}")
    top.legend(fontsize=6.5, ncols=2, loc="lower right")
    top.set_title("Passage to bigram, one constant fitted at the base", loc="left")
    for n, name in enumerate(scaling.PARAMETERS):
        axis = figure.add_subplot(grid[1, n])
        for paths, colour, style in ((data.transformer, BLUE, "-"), (data.toy, "black", "--")):
            for part, values_ in paths:
                shown = part <= 1.5
                axis.plot(part[shown], values_[shown, n], color=colour, ls=style, lw=0.9)
        axis.axvline(1, color=GREY, ls=":", lw=1)
        axis.set(xlabel="step / that of the passage", ylabel=f"{name} / natural logits")
        if n == 0:
            axis.set(yscale="log", ylim=(1e-3, 10))
    return figure

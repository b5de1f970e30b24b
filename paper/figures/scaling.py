"""Scaling of the transformer's transition to bigram, and the path of its effective order parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.figures.ladder import with_ends
from onset.paper.style import AMBER, BLUE, DARK, GREEN, GREY, ROSE, VIOLET, bars
from onset.theory.arrays import Array
from onset.validate.claims.claim import Runs
from onset.validate.claims.markov import scaling
from onset.validate.claims.markov.scaling_settings import ADAMW, BASE, SGD, VARIATIONS
from onset.validate.judging.intervals import Interval

__all__ = ["Scaling", "ScalingPoint", "draw", "of_runs"]

COLOURS = {"T": BLUE, "k": AMBER, "rate": GREEN, "concentration": VIOLET, "batch": ROSE}
MARKERS = {ADAMW: "o", SGD: "s"}
INTERVAL_FACTOR = 10.0
"""Largest factor by which an interval is drawn."""


@dataclass(frozen=True)
class ScalingPoint:
    """A setting's (value, low, high) of the predicted and the observed step; `axis` is empty for the base."""

    name: str
    optimizer: str
    axis: str
    predicted: tuple[float, float, float]
    observed: tuple[float, float, float]


@dataclass(frozen=True)
class Scaling:
    """Points; and paths of each seed and of the toy: step / step of the transition (n,), and v₁, ω and μ (n, 3)."""

    constant: float
    points: list[ScalingPoint]
    transformer: list[tuple[Array, Array]]
    toy: list[tuple[Array, Array]]


def of_runs(runs: Runs) -> Scaling:
    """Transition to bigram as one number changes at a time: observed step of transformers against the toy's step times
    one constant, fitted at the base (black), with 95% intervals. Below, effective order parameters at the base against
    the step over that of the transition: one line per seed, and the toy's (dashed). Settings without a transition, in
    theory or in some seed, are left out.
    """
    base = BASE
    constant = scaling.calibration(scaling.observed_step(runs, base), scaling.predicted_step(runs, base))
    places = [(base, ADAMW, ""), *((variation.name, variation.optimizer, variation.axis) for variation in VARIATIONS)]
    points = []
    for name, optimizer, axis in places:
        predicted = _ends(scaling.predicted(constant, scaling.predicted_step(runs, name)))
        observed = _ends(scaling.observed_step(runs, name))
        if predicted is not None and observed is not None:
            points.append(ScalingPoint(name, optimizer, axis, predicted, observed))
    setting = runs[base].setting
    toys = runs[f"{base}, toy"].trajectories if f"{base}, toy" in runs else ()
    return Scaling(
        constant.value or np.nan,
        points,
        [
            (trajectory.steps / step, scaling.path(setting, trajectory))
            for trajectory in runs[base].trajectories
            if (step := scaling.step_of(trajectory))
        ],
        [(toy.steps / step, scaling.toy_path(toy)) for toy in toys if (step := scaling.step_of(toy))],
    )


def _ends(interval: Interval) -> tuple[float, float, float] | None:
    """(value, low, high), with ends cut so that they do not stretch the axes."""
    ends = with_ends(interval)
    if ends is None:
        return None
    value, low, high = ends
    return value, max(low, value / INTERVAL_FACTOR), min(high, value * INTERVAL_FACTOR)


def draw(data: Scaling) -> Figure:
    """Steps above, on logarithmic axes with the line of equality; the three order parameters below."""
    figure = plt.figure(figsize=(7.4, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=[1.7, 1])
    top = figure.add_subplot(grid[0, :])
    for point in data.points:
        top.errorbar(
            point.predicted[0],
            point.observed[0],
            xerr=bars(point.predicted),
            yerr=bars(point.observed),
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
    top.set_title("Transition to bigram, one constant fitted at the base", loc="left")
    for n, name in enumerate(scaling.PARAMETERS):
        axis = figure.add_subplot(grid[1, n])
        for paths, colour, style in ((data.transformer, BLUE, "-"), (data.toy, "black", "--")):
            for time, parameters in paths:
                drawn = time <= 1.5
                axis.plot(time[drawn], parameters[drawn, n], color=colour, ls=style, lw=0.9)
        axis.axvline(1, color=GREY, ls=":", lw=1)
        axis.set(xlabel="step / step of the transition", ylabel=f"{name} / natural logits")
        if n == 0:
            axis.set(yscale="log", ylim=(1e-3, 10))
    return figure

"""A scan: steps until the head forms against each scanned number, with intervals; one line per value of the other axes, and the
fitted exponent in the legend. Crosses at the lower edge: settings that the method does not answer for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from onset.paper.style import RED
from onset.theory.arrays import Array

__all__ = ["MOST", "Line", "Panel", "compute", "draw"]

MOST = 6
"""Lines per panel; of more, these are spread evenly."""


@dataclass(frozen=True)
class Line:
    """Along one axis, others fixed: x, (step, low, high) with NaN where there is none, and the fitted exponent."""

    label: str
    x: Array
    steps: Array
    exponent: float | None


@dataclass(frozen=True)
class Panel:
    axis: str
    lines: list[Line]


def compute(data: Mapping[str, Any], quantity: str = "formation") -> list[Panel]:
    """Panels of ``onset.validate.sweeps.scan.to_dict(…)``, one per axis with at least two values."""
    axes = data["axes"]
    shape = [len(values) for values in axes.values()]
    times = np.array([row[quantity] or (np.nan,) * 3 for row in data["rows"]], dtype=float).reshape(*shape, 3)
    exponents = {
        (f["axis"], tuple(f["fixed"].values())): f["exponent"] for f in data["fits"] if f["quantity"] == quantity
    }
    panels = []
    for n, (name, values) in enumerate(axes.items()):
        others = list(itertools.product(*(range(size) for m, size in enumerate(shape) if m != n)))
        chosen = sorted(set(np.linspace(0, len(others) - 1, min(MOST, len(others))).astype(int).tolist()))
        lines = []
        for index in (others[c] for c in chosen):
            names = [other for other in axes if other != name]
            fixed = [axes[other][i] for other, i in zip(names, index, strict=True)]
            label = ", ".join(f"{other} {value:.4g}" for other, value in zip(names, fixed, strict=True))
            along = times[(*index[:n], slice(None), *index[n:])]
            order = np.argsort(values)
            lines.append(Line(label, np.array(values)[order], along[order], exponents.get((name, tuple(fixed)))))
        if len(values) > 1:
            panels.append(Panel(name, lines))
    return panels


def draw(panels: list[Panel], title: str = "") -> Figure:
    """One panel per axis, in rows of up to three; logarithmic where all values are above zero."""
    count = max(1, len(panels))
    across = min(count, 3)
    down = -(-count // across)
    figure, axes = plt.subplots(
        down, across, figsize=(max(4.2 * across, 5.4), 5.0 * down), layout="constrained", squeeze=False
    )
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, panel)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel("optimiser steps until the head forms")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def _panel(axis: Axes, panel: Panel) -> None:
    colours = colormaps["viridis"](np.linspace(0.05, 0.85, max(2, len(panel.lines))))
    missing: set[float] = set()
    marks = "o-" if max(len(line.x) for line in panel.lines) <= 30 else "-"
    for line, colour in zip(panel.lines, colours, strict=False):
        step, low, high = line.steps.T
        missing |= set(line.x[np.isnan(step)].tolist())
        if np.isnan(step).all():
            continue
        exponent = "" if line.exponent is None else f"exponent {line.exponent:.3f}".replace("-", "−")
        label = "; ".join(part for part in (line.label, exponent) if part)
        axis.plot(line.x, step, marks, color=colour, ms=3, label=label)
        axis.fill_between(line.x, low, high, color=colour, alpha=0.2, lw=0)
    if missing:
        x = np.array(sorted(missing))
        axis.plot(
            x,
            np.full(len(x), 0.02),
            "x",
            color=RED,
            ms=4,
            transform=axis.get_xaxis_transform(),
            label="no answer on some line",
        )
    if all((line.x > 0).all() for line in panel.lines):
        axis.set_xscale("log")
        _plain_ticks(axis, panel.lines[0].x)
    if any(np.isfinite(line.steps).any() for line in panel.lines):
        axis.set_yscale("log")
    axis.set_xlabel(panel.axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def _plain_ticks(axis: Axes, x: Array) -> None:
    """Numbers rather than powers: the scanned ones if they are few, else 1, 2, 5 times powers of ten, or powers alone over a wide range."""
    wide = x[-1] > 200 * x[0]
    locator = FixedLocator(x.tolist()) if len(x) <= 5 else LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0))
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())

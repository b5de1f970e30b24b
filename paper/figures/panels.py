"""Panels of curves, one line for each seed, as the pictures of claims are made of: plain data, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onset.theory.arrays import Array

__all__ = ["Curve", "Panel", "draw"]


@dataclass(frozen=True)
class Curve:
    """What one colour stands for: for each seed x and y, shape (n,)."""

    label: str
    seeds: Sequence[tuple[Array, Array]]
    colour: str
    style: str = "-"


@dataclass(frozen=True)
class Panel:
    """Curves; `levels` are values of y under a name, dashed, `marks` values of x, dotted, each with a colour; `log` names logarithmic axes."""

    title: str
    xlabel: str
    ylabel: str
    curves: Sequence[Curve]
    levels: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    marks: Mapping[str, tuple[Sequence[float], str]] = field(default_factory=dict)
    log: str = ""


def draw(panels: Sequence[Panel]) -> Figure:
    """Two panels to a row, each with its own legend."""
    rows, columns = -(-len(panels) // 2), min(2, len(panels))
    size = (4.0 * columns, 2.9 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        _draw(axis, panel)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    return figure


def _draw(axis: Axes, panel: Panel) -> None:
    for curve in panel.curves:
        for n, (x, y) in enumerate(curve.seeds):
            after = x > 0 if "x" in panel.log else np.ones(len(x), dtype=bool)
            label = curve.label if n == 0 else None
            axis.plot(x[after], y[after], color=curve.colour, ls=curve.style, lw=0.9, alpha=0.8, label=label)
    # Levels and marks are named in the legend too, and the legend stands below: no text to collide with a curve.
    for name, (value, colour) in panel.levels.items():
        axis.axhline(value, color=colour, ls="--", lw=0.9, label=name)
    for name, (values, colour) in panel.marks.items():
        for n, value in enumerate(values):
            axis.axvline(value, color=colour, ls=":", lw=1.1, label=None if n else name)
    axis.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
    axis.set(xscale="log" if "x" in panel.log else "linear", yscale="log" if "y" in panel.log else "linear")
    axis.set_title(panel.title, loc="left", fontsize=8)
    axis.legend(fontsize=6.5, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))

"""Panels of curves with one line for each seed, as in the figures of claims: plain data, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onset.paper.style import grid_of_axes
from onset.theory.arrays import Array

__all__ = ["CurvePanel", "SeedCurves", "draw"]


@dataclass(frozen=True)
class SeedCurves:
    """Curves of one colour: x and y of each seed, shape (n,)."""

    label: str
    seeds: Sequence[tuple[Array, Array]]
    colour: str
    style: str = "-"


@dataclass(frozen=True)
class CurvePanel:
    """Curves, with values of y (`levels`, dashed) and of x (`marks`, dotted) by name, each with a colour.

    `log` names the logarithmic axes, such as "xy".
    """

    title: str
    xlabel: str
    ylabel: str
    curves: Sequence[SeedCurves]
    levels: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    marks: Mapping[str, tuple[Sequence[float], str]] = field(default_factory=dict)
    log: str = ""


def draw(panels: Sequence[CurvePanel]) -> Figure:
    """Two panels to a row, each with its own legend below, where no text collides with a curve."""
    figure, axes = grid_of_axes(len(panels), 2, (4.0, 2.9))
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel)
    return figure


def _draw_panel(axis: Axes, panel: CurvePanel) -> None:
    for curve in panel.curves:
        for n, (x, y) in enumerate(curve.seeds):
            drawn = x > 0 if "x" in panel.log else np.ones(len(x), dtype=bool)
            label = None if n else curve.label
            axis.plot(x[drawn], y[drawn], color=curve.colour, ls=curve.style, lw=0.9, alpha=0.8, label=label)
    for name, (value, colour) in panel.levels.items():
        axis.axhline(value, color=colour, ls="--", lw=0.9, label=name)
    for name, (values, colour) in panel.marks.items():
        for n, value in enumerate(values):
            axis.axvline(value, color=colour, ls=":", lw=1.1, label=None if n else name)
    axis.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
    axis.set(xscale="log" if "x" in panel.log else "linear", yscale="log" if "y" in panel.log else "linear")
    axis.set_title(panel.title, loc="left", fontsize=8)
    columns = 2 if len(axis.get_legend_handles_labels()[0]) == 4 else 3
    axis.legend(fontsize=6.5, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.2))

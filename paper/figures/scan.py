"""A scan: steps until the head forms against each scanned number, with intervals; one line per value of the other axes,
with the fitted exponent. Crosses at the lower edge: settings without an answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from onset.paper.style import RED, grid_of_axes, number_ticks
from onset.theory.arrays import Array

__all__ = ["MAX_LINES", "ScanLine", "ScanPanel", "compute", "draw"]

MAX_LINES = 6
"""Lines per panel; of more, evenly spread ones are drawn."""


@dataclass(frozen=True)
class ScanLine:
    """Along one axis, others fixed: x, (step, low, high) or NaN, and the fitted exponent."""

    label: str
    x: Array
    steps: Array
    exponent: float | None


@dataclass(frozen=True)
class ScanPanel:
    """Lines along one axis."""

    axis: str
    lines: list[ScanLine]


def compute(data: Mapping[str, Any], quantity: str = "formation") -> list[ScanPanel]:
    """Panels of ``onset.validate.sweeps.scan.to_dict(…)``, one per axis with at least two values."""
    axes = data["axes"]
    shape = [len(values) for values in axes.values()]
    times = np.array([row[quantity] or (np.nan,) * 3 for row in data["rows"]], dtype=float).reshape(*shape, 3)
    exponents = {
        (fit["axis"], tuple(fit["fixed"].values())): fit["exponent"]
        for fit in data["fits"]
        if fit["quantity"] == quantity
    }
    panels = []
    for n, (name, values) in enumerate(axes.items()):
        if len(values) < 2:
            continue
        others = {other: entries for other, entries in axes.items() if other != name}
        indices = list(itertools.product(*(range(len(entries)) for entries in others.values())))
        drawn = sorted(set(np.linspace(0, len(indices) - 1, min(MAX_LINES, len(indices))).astype(int).tolist()))
        order, lines = np.argsort(values), []
        for index in (indices[place] for place in drawn):
            fixed = [entries[i] for entries, i in zip(others.values(), index, strict=True)]
            label = ", ".join(f"{other} {value:.4g}" for other, value in zip(others, fixed, strict=True))
            steps = times[(*index[:n], slice(None), *index[n:])][order]
            lines.append(ScanLine(label, np.array(values)[order], steps, exponents.get((name, tuple(fixed)))))
        panels.append(ScanPanel(name, lines))
    return panels


def draw(panels: list[ScanPanel], title: str = "") -> Figure:
    """One panel per axis, in rows of up to three; logarithmic where all values are above zero."""
    figure, axes = grid_of_axes(len(panels), 3, (5.4 if len(panels) < 2 else 4.2, 5.0))
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel)
    for axis in axes[::3]:
        axis.set_ylabel("optimiser steps until the head forms")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def _draw_panel(axis: Axes, panel: ScanPanel) -> None:
    colours = colormaps["viridis"](np.linspace(0.05, 0.85, max(2, len(panel.lines))))
    missing: set[float] = set()
    marks = "o-" if max(len(line.x) for line in panel.lines) <= 30 else "-"
    for line, colour in zip(panel.lines, colours, strict=False):
        step, low, high = line.steps.T
        missing |= set(line.x[np.isnan(step)].tolist())
        if np.isnan(step).all():
            continue
        exponent = "" if line.exponent is None else f"exponent {line.exponent:.3f}".replace("-", "−")
        label = "; ".join(text for text in (line.label, exponent) if text)
        axis.plot(line.x, step, marks, color=colour, ms=3, label=label)
        axis.fill_between(line.x, low, high, color=colour, alpha=0.2, lw=0)
    if missing:
        style = {"color": RED, "ms": 4, "transform": axis.get_xaxis_transform(), "label": "no answer on some line"}
        axis.plot(sorted(missing), [0.02] * len(missing), "x", **style)
    if all((line.x > 0).all() for line in panel.lines):
        x = panel.lines[0].x
        axis.set_xscale("log")
        multiples = (1.0,) if x[-1] > 200 * x[0] else (1.0, 2.0, 5.0)
        number_ticks(axis.xaxis, x.tolist() if len(x) <= 5 else LogLocator(subs=multiples))
    if any(np.isfinite(line.steps).any() for line in panel.lines):
        axis.set_yscale("log")
    axis.set_xlabel(panel.axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.16))

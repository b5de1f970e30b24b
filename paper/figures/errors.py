"""How the error of each rung falls with the context: relative error against trained models, one line per series of settings that
differ in the context alone, with 95% intervals. Grey: what the mean field neglects, ln T/T. Hollow: a sign, too early.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from onset.paper.style import DARK, GREY, RUNG_COLOURS
from onset.theory.arrays import Array
from onset.validate.suite import Results

__all__ = ["Line", "Panel", "compute", "draw"]

FLOOR = 1e-3
"""Errors below are drawn here: no interval is as narrow."""

QUANTITY = "unigram → bigram"


@dataclass(frozen=True)
class Line:
    """Error of one rung along one series: columns context, relative error and half of its 95% interval."""

    rung: str
    series: str
    points: Array


@dataclass(frozen=True)
class Panel:
    title: str
    lines: list[Line]


def compute(results: Results) -> list[Panel]:
    """Panels by family and optimiser, of series of at least two contexts with flat rows and default rates."""
    panels: dict[str, list[Line]] = {}
    for (title, series, rung), points in _errors(results).items():
        if len(points) > 1:
            panels.setdefault(title, []).append(Line(rung, series, np.array(sorted(points))))
    return [Panel(title, lines) for title, lines in panels.items()]


def _errors(results: Results) -> dict[tuple[str, str, str], list[tuple[float, float, float]]]:
    settings = {o.setting.label: o.setting for o in results.outcomes if o.case.toy}
    found: dict[tuple[str, str, str], list[tuple[float, float, float]]] = {}
    for c in results.comparisons:
        setting = settings.get(c.setting)
        if (
            setting is None
            or c.quantity != QUANTITY
            or "(" in c.setting
            or setting.task.prior.kind != "dirichlet"
            or setting.task.order != 2
        ):
            continue
        for one in c.judged:
            error, half = one.verdict.error, one.verdict.half
            if one.upper == "trained" and error is not None and half is not None:
                key = (
                    f"{setting.model.family}, {_named(setting.training.optimizer.name)}",
                    f"k = {setting.task.states}",
                    one.lower,
                )
                found.setdefault(key, []).append((setting.task.context, error, half))
    return found


def _named(optimizer: str) -> str:
    return {"sgd": "SGD"}.get(optimizer, optimizer.capitalize())


def draw(panels: list[Panel]) -> Figure:
    """One panel for each family and optimiser, logarithmic both ways."""
    across = min(2, max(1, len(panels)))
    down = -(-max(1, len(panels)) // across)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(3.9 * across, 3.1 * down + 0.6),
        sharex=True,
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    contexts = sorted({float(t) for panel in panels for line in panel.lines for t in line.points[:, 0]}) or [
        25.0,
        400.0,
    ]
    marks = {name: mark for name, mark in zip(_series(panels), "osD^v", strict=False)}
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, panel, marks, np.geomspace(contexts[0], contexts[-1], 50))
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis in axes.flat:
        axis.set(xscale="log", yscale="log", ylim=(FLOOR, 1.5))
        axis.xaxis.set_major_locator(FixedLocator(contexts))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1.0]))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    for axis in axes[-1]:
        axis.set_xlabel("context T")
    for row in axes:
        row[0].set_ylabel("|error| of " + QUANTITY)
    rungs = [rung for rung in RUNG_COLOURS if any(line.rung == rung for panel in panels for line in panel.lines)]
    handles = [Line2D([], [], color=RUNG_COLOURS[rung], label=rung) for rung in rungs]
    handles += [Line2D([], [], marker=mark, ls="", color=DARK, label=name) for name, mark in marks.items()]
    handles.append(Line2D([], [], color=GREY, ls=":", label="ln T/T"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
    return figure


def _series(panels: list[Panel]) -> list[str]:
    return sorted({line.series for panel in panels for line in panel.lines})


def _panel(axis: Axes, panel: Panel, marks: dict[str, str], contexts: Array) -> None:
    axis.plot(contexts, np.log(contexts) / contexts, color=GREY, ls=":", lw=1.2, zorder=1)
    for line in panel.lines:
        colour, (t, error, half) = RUNG_COLOURS[line.rung], line.points.T
        size = np.maximum(np.abs(error), FLOOR)
        low = np.clip(np.abs(error) - half, FLOOR, None)
        axis.plot(t, size, color=colour, lw=1.1, alpha=0.9)
        axis.vlines(t, np.minimum(low, size), np.abs(error) + half, color=colour, lw=0.8, alpha=0.35)
        for early in (False, True):
            here = (error < 0) == early
            face = "white" if early else colour
            axis.plot(t[here], size[here], marks[line.series], color=colour, mfc=face, ms=4.5, ls="")
    axis.set_title(panel.title, loc="left")

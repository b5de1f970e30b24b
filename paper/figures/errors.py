"""Error of each rung against trained models by context, with 95% intervals: one line per series of settings that differ
in the context alone. Hollow: predicted too early. Dotted grey: ln T/T, the order of what the mean field neglects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from onset.paper.style import GREY, RUNG_COLOURS, grid_of_axes, marker_handle, number_ticks
from onset.theory.arrays import Array
from onset.validate.suite import Results

__all__ = ["ErrorLine", "ErrorPanel", "compute", "draw"]

FLOOR = 1e-3
"""Smaller errors are drawn here; no interval is that narrow."""

QUANTITY = "unigram → bigram"


@dataclass(frozen=True)
class ErrorLine:
    """Error of one rung along one series: columns context, relative error and half of its 95% interval."""

    rung: str
    series: str
    points: Array


@dataclass(frozen=True)
class ErrorPanel:
    """Lines of one family and optimiser."""

    title: str
    lines: list[ErrorLine]


def compute(results: Results) -> list[ErrorPanel]:
    """Panels by family and optimiser, of series of at least two contexts with flat rows and default rates."""
    panels: dict[str, list[ErrorLine]] = {}
    for (title, series, rung), points in _errors(results).items():
        if len(points) > 1:
            panels.setdefault(title, []).append(ErrorLine(rung, series, np.array(sorted(points))))
    return [ErrorPanel(title, lines) for title, lines in panels.items()]


def _errors(results: Results) -> dict[tuple[str, str, str], list[tuple[float, float, float]]]:
    """(Context, error, half of its interval) by panel, series and rung."""
    settings = {o.setting.label: o.setting for o in results.cases if o.case.toy}
    errors: dict[tuple[str, str, str], list[tuple[float, float, float]]] = {}
    for c in results.comparisons:
        setting = settings.get(c.setting)
        if setting is None or c.quantity != QUANTITY or "(" in c.setting:
            continue
        if setting.task.prior.kind != "dirichlet" or setting.task.order != 2:
            continue
        optimizer = setting.training.optimizer.name
        title = f"{setting.model.family}, {'SGD' if optimizer == 'sgd' else optimizer.capitalize()}"
        for judged in c.judged:
            error, half = judged.verdict.error, judged.verdict.half
            if judged.upper == "trained" and error is not None and half is not None:
                key = title, f"k = {setting.task.states}", judged.lower
                errors.setdefault(key, []).append((setting.task.context, error, half))
    return errors


def draw(panels: list[ErrorPanel]) -> Figure:
    """One panel for each family and optimiser, logarithmic both ways."""
    figure, axes = grid_of_axes(len(panels), 2, (3.9, 3.1), 0.6, sharex=True, sharey=True)
    lines = [line for panel in panels for line in panel.lines]
    contexts = sorted({float(t) for line in lines for t in line.points[:, 0]}) or [25.0, 400.0]
    series_marks = dict(zip(sorted({line.series for line in lines}), "osD^v", strict=False))
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, panel, series_marks, np.geomspace(contexts[0], contexts[-1], 50))
    for axis in axes:
        axis.set(xscale="log", yscale="log", ylim=(FLOOR, 1.5))
        number_ticks(axis.xaxis, contexts)
        number_ticks(axis.yaxis, [0.001, 0.01, 0.1, 1.0])
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    for axis in axes[-2:]:
        axis.set_xlabel("context T")
    for axis in axes[::2]:
        axis.set_ylabel("|error| of " + QUANTITY)
    handles = [
        Line2D([], [], color=colour, label=rung)
        for rung, colour in RUNG_COLOURS.items()
        if rung in {line.rung for line in lines}
    ]
    handles += [marker_handle(mark, name) for name, mark in series_marks.items()]
    handles += [marker_handle("o", "too late"), marker_handle("o", "too early", mfc="white")]
    handles.append(Line2D([], [], color=GREY, ls=":", label="ln T/T"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
    return figure


def _draw_panel(axis: Axes, panel: ErrorPanel, series_marks: dict[str, str], contexts: Array) -> None:
    axis.plot(contexts, np.log(contexts) / contexts, color=GREY, ls=":", lw=1.2, zorder=1)
    for line in panel.lines:
        colour, (t, error, half) = RUNG_COLOURS[line.rung], line.points.T
        size = np.maximum(np.abs(error), FLOOR)
        low = np.clip(np.abs(error) - half, FLOOR, None)
        axis.plot(t, size, color=colour, lw=1.1, alpha=0.9)
        axis.vlines(t, np.minimum(low, size), np.abs(error) + half, color=colour, lw=0.8, alpha=0.35)
        for early, face in ((False, colour), (True, "white")):
            points = (error < 0) == early
            axis.plot(t[points], size[points], series_marks[line.series], color=colour, mfc=face, ms=4.5, ls="")
    axis.set_title(panel.title, loc="left")

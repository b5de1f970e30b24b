"""Runs of a folder, one colour per setting: loss, layer-1 attention on lag 1, and the distance to each strategy, over
training. Thin solid lines are trained models, one per seed; dashed ones are predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import GREY, grid_of_axes
from onset.theory.arrays import Array
from onset.validate.store.jobs import TRAIN
from onset.validate.store.listing import ListedRun

__all__ = ["NAMED_SETTINGS", "RunCurve", "SettingCurves", "compute", "draw"]

NAMED_SETTINGS = 12
"""Settings that the legend names."""

LOSS, ATTENTION = "loss / nats per token", "attention on lag 1"


@dataclass(frozen=True)
class RunCurve:
    """A trained seed or a prediction: steps (n,), and values (n,) by quantity."""

    steps: Array
    values: dict[str, Array]
    trained: bool


@dataclass(frozen=True)
class SettingCurves:
    """All curves of one setting."""

    label: str
    curves: list[RunCurve]


def compute(runs: Sequence[ListedRun]) -> list[SettingCurves]:
    """Curves of all runs that have some, by setting; settings of the same label are told apart by their ids.

    Raises
    ------
    ValueError
        If no run has curves.
    """
    settings: dict[str, SettingCurves] = {}
    for run in runs:
        if run.record is None:
            continue
        setting = run.record.setting
        for trajectory in run.record.trajectories:
            values = {LOSS: trajectory.loss, ATTENTION: trajectory.attention.max(axis=1)[:, 1]}
            values |= {f"KL({name} ‖ model)": distance for name, distance in trajectory.distances.items()}
            curves = settings.setdefault(setting.id, SettingCurves(setting.label, [])).curves
            curves.append(RunCurve(trajectory.steps, values, run.facts.get("kind") == TRAIN))
    if not settings:
        raise ValueError(f"picture of {len(runs)} runs: expected one that has curves; choose others with --where.")
    labels = [setting.label for setting in settings.values()]
    return [
        SettingCurves(s.label if labels.count(s.label) == 1 else f"{s.label} ({name[:6]})", s.curves)
        for name, s in settings.items()
    ]


def draw(settings: Sequence[SettingCurves]) -> Figure:
    """A panel for each quantity, steps on a logarithmic axis, and a legend below."""
    quantities = list(dict.fromkeys(name for s in settings for curve in s.curves for name in curve.values))
    figure, axes = grid_of_axes(len(quantities), 3, (3.4, 2.9), 0.8, sharex=True)
    colours = colormaps["viridis"](np.linspace(0.0, 0.88, len(settings)))
    for axis, name in zip(axes, quantities, strict=False):
        for setting, colour in zip(settings, colours, strict=True):
            for curve in setting.curves:
                if name in curve.values:
                    drawn = curve.steps > 0  # a logarithmic axis has no step 0
                    width, dashes, alpha = (0.7, "-", 0.8) if curve.trained else (1.0, "--", 1.0)
                    x, y = curve.steps[drawn], curve.values[name][drawn]
                    axis.plot(x, y, color=colour, lw=width, ls=dashes, alpha=alpha)
        axis.set(xscale="log", xlabel="optimiser step")
        axis.set_title(name, fontsize=8.5)
        axis.tick_params(labelbottom=True)
    handles = [Line2D([], [], color=colour, label=s.label) for s, colour in zip(settings, colours, strict=True)]
    handles = handles[:NAMED_SETTINGS]
    if len(settings) > NAMED_SETTINGS:
        handles.append(Line2D([], [], ls="", label=f"and {len(settings) - NAMED_SETTINGS} more settings"))
    if any(not curve.trained for s in settings for curve in s.curves):
        handles.append(Line2D([], [], color=GREY, ls="--", label="predicted"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=7)
    return figure

"""Runs of a folder, one colour per setting: loss, layer-1 attention on lag 1, and the distance to each strategy, over training.
Thin solid lines are trained models, one per seed; dashed ones are predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import GREY
from onset.theory.arrays import Array
from onset.validate.store.jobs import TRAIN
from onset.validate.store.listing import Listed

__all__ = ["MOST", "Curve", "Family", "compute", "draw"]

MOST = 12
"""Settings that the legend names."""

LOSS, ATTENTION = "loss / nats per token", "attention on lag 1"


@dataclass(frozen=True)
class Curve:
    """A trained seed or a prediction: steps (n,), and by what it shows, values (n,)."""

    steps: Array
    values: dict[str, Array]
    trained: bool


@dataclass(frozen=True)
class Family:
    """All curves of one setting."""

    label: str
    curves: list[Curve]


def compute(runs: Sequence[Listed]) -> list[Family]:
    """Curves of all runs that have some, by setting; settings of one label, which differ in what it does not tell, go with their ids.

    Raises
    ------
    ValueError
        If no run has curves.
    """
    found: dict[str, Family] = {}
    labels: dict[str, set[str]] = {}
    for run in runs:
        if run.record is None:
            continue
        setting = run.record.setting
        labels.setdefault(setting.label, set()).add(setting.id)
        for one in run.record.trajectories:
            values = {LOSS: one.loss, ATTENTION: one.attention.max(axis=1)[:, 1]}
            values |= {f"KL({name} ‖ model)": distance for name, distance in one.distances.items()}
            family = found.setdefault(setting.id, Family(setting.label, []))
            family.curves.append(Curve(one.steps, values, run.facts.get("kind") == TRAIN))
    if not found:
        raise ValueError(f"picture of {len(runs)} runs: expected one that has curves; choose others with --where.")
    return [
        Family(one.label if len(labels[one.label]) == 1 else f"{one.label} ({name[:6]})", one.curves)
        for name, one in found.items()
    ]


def draw(families: Sequence[Family]) -> Figure:
    """A panel for each thing shown, steps on a logarithmic axis, and a legend below."""
    shown = list(dict.fromkeys(name for one in families for curve in one.curves for name in curve.values))
    across = 3
    down = -(-len(shown) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(10.0, 2.9 * down + 0.8), sharex=True, layout="constrained", squeeze=False
    )
    colours = colormaps["viridis"](np.linspace(0.0, 0.88, len(families)))
    for axis, name in zip(axes.flat, shown, strict=False):
        for family, colour in zip(families, colours, strict=True):
            for curve in family.curves:
                if name in curve.values:
                    _line(axis, curve, curve.values[name], colour)
        axis.set(title=name, xscale="log", xlabel="optimiser step")
        axis.title.set_fontsize(8.5)
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    handles = [Line2D([], [], color=colour, label=one.label) for one, colour in zip(families, colours, strict=True)][
        :MOST
    ]
    if len(families) > MOST:
        handles.append(Line2D([], [], ls="", label=f"and {len(families) - MOST} more settings"))
    if any(not curve.trained for one in families for curve in one.curves):
        handles.append(Line2D([], [], color=GREY, ls="--", label="predicted"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=7)
    return figure


def _line(axis: Axes, curve: Curve, values: Array, colour: Array) -> None:
    after = curve.steps > 0  # a logarithmic axis has no step 0
    style = {"lw": 0.7, "alpha": 0.8} if curve.trained else {"lw": 1.0, "ls": "--"}
    axis.plot(curve.steps[after], values[after], color=colour, **style)  # type: ignore[arg-type]

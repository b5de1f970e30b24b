"""Signal s_m of each lag m on the plateau, for k = 2, 3, 4 and 8 states: odd lags tell more about the next symbol than
the even lags next to them, which with Dirichlet rows can mislead (below zero), so lag 1 leads. Left: flat Dirichlet
rows; right: doubly stochastic matrices. Filled: odd lags; open: even lags. The axis is linear within the grey band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import DARK, GREY, marker_handle
from onset.theory.arrays import Array
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.markov.signals import signal
from onset.validate.suite import Results

__all__ = ["SignalPanel", "compute", "draw"]

STATES = (2, 3, 4, 8)
LAGS = range(1, 9)
PRIORS = {"flat Dirichlet rows": Dirichlet, "doubly stochastic": DoublyStochastic}

TOLERANCE = 1e-4
"""Largest error of a signal."""

LINEAR = 3e-4
"""End of the linear part of the axis."""


@dataclass(frozen=True)
class SignalPanel:
    """s_m and its error by number of states, shape (len(LAGS), 2)."""

    title: str
    signals: dict[int, Array]


def compute(results: Results | None = None) -> list[SignalPanel]:
    """Signals of every lag; no suite's results are needed."""
    return [
        SignalPanel(title, {k: np.array([signal(kind(k), m, tolerance=TOLERANCE) for m in LAGS]) for k in STATES})
        for title, kind in PRIORS.items()
    ]


def draw(panels: list[SignalPanel]) -> Figure:
    """One panel per prior, |s_m| on a logarithmic axis."""
    figure, axes = plt.subplots(1, len(panels), figsize=(7.6, 3.9), sharey=True, layout="constrained")
    lags = np.array(LAGS)
    for axis, panel in zip(axes, panels, strict=True):
        colours = colormaps["viridis"](np.linspace(0.05, 0.85, len(panel.signals)))
        for (k, values), colour in zip(panel.signals.items(), colours, strict=True):
            axis.errorbar(lags, values[:, 0], yerr=values[:, 1], color=colour, lw=1, label=f"k = {k}")
            for first, face in ((0, colour), (1, "white")):  # odd lags, even lags
                axis.plot(lags[first::2], values[first::2, 0], "o", color=colour, mfc=face)
        axis.axhline(0, color=DARK, lw=0.8)
        axis.axhspan(-LINEAR, LINEAR, color=GREY, alpha=0.12, lw=0)
        axis.set_yscale("symlog", linthresh=LINEAR, linscale=0.6)
        axis.set_yticks([-0.01, -0.001, 0, 0.001, 0.01, 0.1], ["−0.01", "−0.001", "0", "0.001", "0.01", "0.1"])
        axis.minorticks_off()
        axis.set(xlabel="lag m", ylim=(-0.012, 0.3))
        axis.set_xticks(lags)
        axis.set_title(panel.title, loc="left")
    axes[0].set_ylabel("signal of lag m")
    lines, labels = axes[0].get_legend_handles_labels()
    handles = [line[0] for line in lines]
    handles += [marker_handle("o", "odd lag", mfc=DARK), marker_handle("o", "even lag", mfc="white")]
    axes[1].legend(handles, [*labels, "odd lag", "even lag"], loc="lower right", ncols=2)
    return figure

"""Layer-1 attention on each lag over training, relative to uniform attention, predicted and observed, for a toy model
and a transformer. Before the previous-token head forms, odd lags rise above even ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from onset.paper.figures.phases import transformer
from onset.paper.style import DARK, grid_of_axes
from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.validate.suite import CaseResult, Results

__all__ = ["AttentionPanel", "compute", "draw", "shows"]

LAGS = 6
RUNG = "finite-context"
TIMES = np.linspace(0, 1.2, 200)


@dataclass(frozen=True)
class AttentionPanel:
    """Attention of the last position × T on the first lags, shape (n, LAGS), at `time` / step of unigram → bigram."""

    title: str
    time: Array
    attention: Array


def shows(results: Results) -> bool:
    return _toy(results) is not None


def _toy(results: Results) -> CaseResult | None:
    """The linear toy model nearest to the transformer's T = 100 that is trained and predicted at finite context."""
    toys = [o for o in results.cases if o.setting.model.family == "linear" and o.observed and RUNG in o.answers]
    return min(toys, key=lambda o: abs(o.setting.task.context - 100), default=None)


def compute(results: Results) -> list[AttentionPanel]:
    """Predicted and observed for a linear toy model, and for the first transformer."""
    toy = _toy(results)
    if toy is None or toy.observed is None:
        raise ValueError(
            f"suite {results.suite!r} holds no linear toy model trained and predicted at finite context: expected one "
            "for the attention figure; run onset validate to its end."
        )
    context = toy.setting.task.context
    panels = [
        _panel(f"predicted: {toy.setting.label}, finite context", toy.answers[RUNG].trajectories, context),
        _panel(f"observed: {toy.setting.label}", toy.observed.trajectories, context),
    ]
    other = transformer(results)
    if other is not None and other.observed is not None:
        (rung, prediction), *_ = other.answers.items()
        context = other.setting.task.context
        panels.append(_panel(f"predicted: {rung}, same rate", prediction.trajectories, context))
        panels.append(_panel(f"observed: {other.setting.label}", other.observed.trajectories, context))
    return panels


def _panel(title: str, trajectories: tuple[Trajectory, ...], context: int) -> AttentionPanel:
    """Mean over trajectories, each in units of its own transition (of its last step without a transition)."""
    curves = []
    for run in trajectories:
        steps = TIMES * (run.transitions()[0][-1].step or run.steps[-1])
        by_lag = run.attention[:, 0, :LAGS].T
        curves.append([np.interp(steps, run.steps, weight, right=np.nan) for weight in by_lag])
    return AttentionPanel(title, TIMES, context * np.mean(curves, axis=0).T)


def draw(panels: list[AttentionPanel]) -> Figure:
    figure, axes = grid_of_axes(len(panels), 2, (3.8, 2.9), sharex=True, sharey="row")
    odd, even = colormaps["Blues"], colormaps["Oranges"]
    for axis, panel in zip(axes, panels, strict=True):
        for r in range(panel.attention.shape[1]):
            colour = DARK if r == 0 else (odd if r % 2 else even)(1 - 0.13 * r)
            dashes, order = (":", 5) if r == 0 else ("-", 2)
            axis.plot(panel.time, panel.attention[:, r], color=colour, label=f"lag {r}", ls=dashes, zorder=order)
        axis.set_yscale("log")
        axis.set_title(panel.title, loc="left", fontsize=8)
    for axis in axes[::2]:
        axis.set_ylabel("attention × T")
    for axis in axes[-2:]:
        axis.set_xlabel("step / step of unigram → bigram")
    axes[0].legend(ncols=2, loc="upper left")
    return figure

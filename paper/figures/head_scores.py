"""Head scores over training: one row for each setting. Thin lines are heads of trained models, a colour for each layer;
dashed vertical lines the mean step at which a layer's first head of that kind forms. At the right, the loss and the
in-context-learning score: loss at a late position less that at an early one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import GREY, grid_of_axes
from onset.theory.transitions import combine
from onset.validate.heads.training import RecordedRun
from onset.validate.inspection.formation import HEAD_KINDS, find_formations

__all__ = ["MOST_SETTINGS", "SettingScores", "compute", "draw"]

MOST_SETTINGS = 6
"""Settings that are drawn; others are named in an error."""


@dataclass(frozen=True)
class SettingScores:
    """The recorded runs of one setting, with the mean step of each formation that all runs have."""

    label: str
    runs: list[RecordedRun]
    formed: dict[tuple[int, str], float]


def compute(runs: Sequence[RecordedRun]) -> list[SettingScores]:
    """Runs by setting.

    Raises
    ------
    ValueError
        If there are more settings than can be drawn.
    """
    by_setting: dict[str, list[RecordedRun]] = {}
    for run in runs:
        by_setting.setdefault(run.setting.id, []).append(run)
    if len(by_setting) > MOST_SETTINGS:
        raise ValueError(
            f"{len(by_setting)} settings: expected at most {MOST_SETTINGS} in one picture; give a folder with fewer, "
            "or a run file."
        )
    settings = []
    for group in by_setting.values():
        formations = [find_formations(run.setting, run.curve) for run in group]
        means = {name: combine([formed[name] for formed in formations]).step for name in formations[0]}
        formed = {name: step for name, step in means.items() if step is not None}
        settings.append(SettingScores(group[0].setting.label, group, formed))
    return settings


def draw(settings: Sequence[SettingScores]) -> Figure:
    """Three panels a setting: previous-token scores, prefix-matching scores, losses."""
    figure, axes = grid_of_axes(3 * len(settings), 3, (3.4, 2.6), 0.8)
    layers = max(setting.runs[0].scores("previous-token").shape[1] for setting in settings)
    colours = colormaps["viridis"](np.linspace(0.0, 0.85, layers))
    for row, setting in enumerate(settings):
        panels = axes[3 * row : 3 * row + 3]
        for axis, kind in zip(panels, HEAD_KINDS, strict=False):
            _scores(axis, setting, kind, colours)
        _losses(panels[2], setting)
        panels[0].set_title(f"{setting.label}\nprevious-token score", fontsize=8, loc="left")
        panels[1].set_title("prefix-matching score", fontsize=8, loc="left")
    handles = [Line2D([], [], color=colour, label=f"layer {n + 1}") for n, colour in enumerate(colours)]
    handles += [
        Line2D([], [], color=GREY, ls="--", lw=0.9, label="a head of the layer's colour forms"),
        Line2D([], [], color="black", lw=0.8, label="loss"),
        Line2D([], [], color="crimson", lw=0.8, label="in-context-learning score"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=5, fontsize=7)
    return figure


def _scores(axis, setting: SettingScores, kind: str, colours) -> None:
    for run in setting.runs:
        scores, drawn = run.scores(HEAD_KINDS[kind]), run.curve.steps > 0
        for layer in range(scores.shape[1]):
            for head in range(scores.shape[2]):
                axis.plot(run.curve.steps[drawn], scores[drawn, layer, head], color=colours[layer], lw=0.7)
    for (layer, formed), step in setting.formed.items():
        if formed == kind:
            axis.axvline(step, color=colours[layer - 1], ls="--", lw=0.9)
    axis.set(xscale="log", xlabel="optimiser step", ylabel="above uniform attention")


def _losses(axis, setting: SettingScores) -> None:
    early, late = setting.runs[0].in_context_positions
    score = axis.twinx()
    for run in setting.runs:
        drawn = run.curve.steps > 0
        axis.plot(run.curve.steps[drawn], run.curve.loss[drawn], color="black", lw=0.7)
        score.plot(run.curve.steps[drawn], run.in_context_scores[drawn], color="crimson", lw=0.7)
    axis.set(xscale="log", xlabel="optimiser step", ylabel="loss / nats per token")
    score.set_ylabel(f"loss at {late} less at {early}", color="crimson")
    axis.set_title("loss and in-context-learning score", fontsize=8, loc="left")

"""One setting explained: v₁, the logit of lag 1, and the strength Ω of the match against steps, in the mean field, with the stages shaded; broken: where Ω
would be if it followed v₁ at once (the slow manifold). Where that runs ahead of Ω, the match delays the head. Below, the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import DARK, RUNG_COLOURS, STRATEGY_COLOURS
from onset.simulate.explain import Explanation, Stage
from onset.theory.arrays import Array
from onset.theory.transitions import Transition

__all__ = ["Picture", "compute", "draw"]

SHADES = {"start": "#CFD8DC", "plateau": "#FBE3B5", "escape": "#C7DDF2", "end": "#DDEBDD"}
RELEVANT = 1.15
"""How far past the last stage but one the picture goes."""


@dataclass(frozen=True)
class Picture:
    """Steps, v_1, Ω and loss of the mean field, the Ω* that goes with v_1 (NaN off the manifold), stages, and the law's formation if it answers."""

    title: str
    steps: Array
    lag1: Array
    omega: Array
    target: Array
    loss: Array
    stages: tuple[Stage, ...]
    law: Transition | None


def compute(explained: Explanation) -> Picture:
    """What the picture shows of an explanation."""
    one = explained.trajectory
    lag1 = one.parameters["lag_logits.1"]
    scale = explained.setting.task.context if explained.setting.model.family == "linear" else 1
    omega = scale * (one.parameters["match.diagonal"] - one.parameters["match.off_diagonal"])
    target = np.full(len(lag1), np.nan)
    if explained.manifold is not None:
        log_e, follows = explained.manifold.T
        target = np.interp(lag1, log_e, follows, right=np.nan)
    formed = explained.numbers.get("terms", {}).get("formation")
    law = None
    if formed is not None:
        law = Transition("none", "previous-token head", formed["step"], formed["low"], formed["high"])
    title = f"{explained.setting.label}: {explained.regime}"
    return Picture(title, one.steps, lag1, omega, target, one.loss, explained.stages, law)


def draw(data: Picture) -> Figure:
    figure, axes = plt.subplots(3, 1, figsize=(6.6, 6.6), sharex=True, height_ratios=[1, 1, 0.8], layout="constrained")
    top, middle, bottom = axes
    top.plot(data.steps, data.lag1, color=STRATEGY_COLOURS["bigram"])
    middle.plot(data.steps, data.omega, color=STRATEGY_COLOURS["bigram"], label="mean field")
    if np.isfinite(data.target).any():
        middle.plot(data.steps, data.target, "--", color=DARK, lw=1.1, label="slow manifold, Ω*(v₁)")
        middle.legend(loc="upper left")
    bottom.plot(data.steps, data.loss, color="black")
    end = data.steps[-1] if len(data.stages) < 2 else min(RELEVANT * data.stages[-2].end, data.steps[-1])
    for axis in axes:
        for stage in data.stages:
            axis.axvspan(stage.start, stage.end, color=SHADES[stage.name], alpha=0.6, lw=0)
        axis.set_xlim(0, end)
        if data.law is not None and data.law.step is not None:
            axis.axvline(data.law.step, color=RUNG_COLOURS["mean-field"], ls=":", lw=1.4)
    for stage in data.stages:
        middle_of = (stage.start + min(stage.end, end)) / 2
        if (min(stage.end, end) - stage.start) > 0.08 * end:
            top.annotate(
                stage.name,
                (middle_of, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    if data.law is not None and data.law.step is not None:
        top.annotate(
            f"law: head at {data.law.step:.0f} [{data.law.low:.0f}, {data.law.high:.0f}]",
            (data.law.step, 0.93),
            xycoords=("data", "axes fraction"),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color="#8A5A00",
        )
    top.set(ylabel="logit v₁ of lag 1")
    middle.set(ylabel="strength Ω of the match")
    bottom.set(ylabel="loss / nats", xlabel="optimiser step")
    figure.suptitle(data.title, x=0.01, ha="left", fontsize=10)
    return figure

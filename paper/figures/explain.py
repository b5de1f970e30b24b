"""One setting explained in the mean field, with its stages shaded: the logit v₁ of lag 1, the strength Ω of the match
and, broken, the Ω that would follow v₁ at once (the slow manifold), and the loss. Where the broken line runs ahead, the
match delays the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import BLUE, DARK, RUNG_COLOURS
from onset.simulate.explain import Explanation, Stage
from onset.theory.arrays import Array
from onset.theory.transitions import Transition

__all__ = ["ExplanationFigure", "compute", "draw"]

SHADES = {"start": "#CFD8DC", "plateau": "#FBE3B5", "escape": "#C7DDF2", "end": "#DDEBDD"}
RELEVANT = 1.15
"""End of the step axis, in units of the end of the last stage but one."""


@dataclass(frozen=True)
class ExplanationFigure:
    """Steps, v₁, Ω and loss of the mean field, its stages, and the law's formation if the law applies.

    `target` is the Ω of the slow manifold at v₁, NaN off the manifold.
    """

    title: str
    steps: Array
    lag1: Array
    omega: Array
    target: Array
    loss: Array
    stages: tuple[Stage, ...]
    law: Transition | None


def compute(explained: Explanation) -> ExplanationFigure:
    """Data of the figure of an explanation."""
    run = explained.trajectory
    lag1 = run.parameters["lag_logits.1"]
    scale = explained.setting.task.context if explained.setting.model.family == "linear" else 1
    omega = scale * (run.parameters["match.diagonal"] - run.parameters["match.off_diagonal"])
    target = np.full(len(lag1), np.nan)
    if explained.manifold is not None:
        log_e, manifold_omega = explained.manifold.T
        target = np.interp(lag1, log_e, manifold_omega, right=np.nan)
    formed = explained.numbers.get("terms", {}).get("formation")
    law = None
    if formed is not None:
        law = Transition("none", "previous-token head", formed["step"], formed["low"], formed["high"])
    regime = "the plateau law has no terms" if explained.regime == "outside" else explained.regime
    title = f"{explained.setting.label}: {regime}"
    return ExplanationFigure(title, run.steps, lag1, omega, target, run.loss, explained.stages, law)


def draw(data: ExplanationFigure) -> Figure:
    figure, axes = plt.subplots(3, 1, figsize=(6.6, 6.6), sharex=True, height_ratios=[1, 1, 0.8], layout="constrained")
    top, middle, bottom = axes
    top.plot(data.steps, data.lag1, color=BLUE)
    middle.plot(data.steps, data.omega, color=BLUE, label="mean field")
    if np.isfinite(data.target).any():
        middle.plot(data.steps, data.target, "--", color=DARK, lw=1.1, label="slow manifold, Ω*(v₁)")
        middle.legend(loc="upper left")
    bottom.plot(data.steps, data.loss, color="black")
    end = data.steps[-1] if len(data.stages) < 2 else min(RELEVANT * data.stages[-2].end, data.steps[-1])
    text = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 8}
    for stage in data.stages:
        for axis in axes:
            axis.axvspan(stage.start, stage.end, color=SHADES[stage.name], alpha=0.6, lw=0)
        visible = min(stage.end, end)
        if visible - stage.start > 0.08 * end:
            top.annotate(stage.name, ((stage.start + visible) / 2, 1.0), xytext=(0, 3), ha="center", **text)
    if data.law is not None and data.law.step is not None:
        for axis in axes:
            axis.axvline(data.law.step, color=RUNG_COLOURS["mean-field"], ls=":", lw=1.4)
        label = f"law: head at {data.law.step:.0f} [{data.law.low:.0f}, {data.law.high:.0f}]"
        place = (data.law.step, 0.93)
        top.annotate(label, place, xytext=(-5, 0), ha="right", va="top", color="#8A5A00", **text)
    top.set(ylabel="logit v₁ of lag 1", xlim=(0, end))
    middle.set(ylabel="strength Ω of the match")
    bottom.set(ylabel="loss / nats", xlabel="optimiser step")
    figure.suptitle(data.title, x=0.01, ha="left", fontsize=10)
    return figure

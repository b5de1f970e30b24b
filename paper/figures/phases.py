"""The phases of one trained transformer: its loss with the ideal losses as lines, and its distance to each strategy.
Dotted: where it passes from one strategy to the next. Band: where the softmax toy at the same learning rate should, uncalibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onset.paper.style import RUNG_COLOURS, STRATEGY_COLOURS
from onset.theory.recording import Trajectory
from onset.theory.transitions import Transition
from onset.validate.suite import Outcome, Results

__all__ = ["Phases", "compute", "draw", "shows", "transformer"]


@dataclass(frozen=True)
class Phases:
    label: str
    trajectory: Trajectory
    plateaus: dict[str, float]
    observed: list[Transition]
    predicted: list[Transition]


def transformer(results: Results) -> Outcome | None:
    """The first transformer with trained models and a prediction."""
    return next((o for o in results.outcomes if not o.case.toy and o.observed is not None and o.answers), None)


def shows(results: Results) -> bool:
    return transformer(results) is not None


def compute(results: Results) -> Phases:
    """The transformer seed whose passage to bigram comes first, with what is predicted for it."""
    outcome = transformer(results)
    if outcome is None or outcome.observed is None:
        raise ValueError(
            f"suite {results.suite!r} holds no trained transformer: expected one for the phases figure; run onset validate to its end."
        )
    best = min(outcome.observed.trajectories, key=lambda one: one.transitions()[0][-1].step or np.inf)
    prediction = next(iter(outcome.answers.values()))
    setting = outcome.setting
    plateaus = {name: setting.task.expected_loss(name).value for name in prediction.plateaus}
    return Phases(setting.label, best, plateaus, best.transitions()[0], prediction.transitions()[0])


def draw(data: Phases) -> Figure:
    """Loss above, distances below, against the step on a logarithmic axis."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.8, 5.8), sharex=True, layout="constrained")
    one = data.trajectory
    after = one.steps > 0  # a logarithmic axis has no step 0
    top.plot(one.steps[after], one.loss[after], color="black")
    for name, level in data.plateaus.items():
        top.axhline(level, color=STRATEGY_COLOURS[name], ls="--", lw=1)
        _label(top, f"ideal {name}", (1, level), ("axes fraction", "data"), STRATEGY_COLOURS[name], (-2, 2), ha="right")
    for name, distance in one.distances.items():
        bottom.plot(one.steps[after], distance[after], color=STRATEGY_COLOURS[name])
        _label(bottom, name, (one.steps[-1], distance[-1]), ("data", "data"), STRATEGY_COLOURS[name], (3, -3))
    for axis in (top, bottom):
        for found in data.observed:
            if found.step is not None:
                axis.axvline(found.step, color="black", ls=":", lw=1)
        for found in data.predicted:
            if found.low is not None and found.high is not None:
                axis.axvspan(found.low, found.high, color=RUNG_COLOURS["softmax toy"], alpha=0.25, lw=0)
    toy = RUNG_COLOURS["softmax toy"]
    toy, edge = RUNG_COLOURS["softmax toy"], 4 * one.steps[1]
    # Observed steps are named on their left, unless they are close to the edge, the toy's on their right: no text crosses a line.
    for who, kind, colour, height in (("observed", data.observed, "black", 0.99), ("toy", data.predicted, toy, 0.87)):
        for found in kind:
            if found.step is not None:
                text, where = f"{who}: {found.source}\n→ {found.target}", ("data", "axes fraction")
                right = who == "toy" or found.step < edge
                shift, side = ((3, 0), "left") if right else ((-3, 0), "right")
                _label(top, text, (found.step, height), where, colour, shift, ha=side, va="top")
    low, high = top.get_ylim()
    top.set(ylabel="loss / nats per token", ylim=(low, high + 0.35 * (high - low)))
    bottom.set(ylabel="KL(strategy ‖ model) / nats per token", xlabel="optimiser step", ylim=(0, None), xscale="log")
    bottom.set_xlim(
        left=max(0.9 * one.steps[1], 1), right=2.4 * max([one.steps[-1], *(t.high for t in data.predicted if t.high)])
    )
    top.set_title(f"Uniform, unigram, bigram: {data.label}", loc="left")
    return figure


def _label(
    axis: Axes,
    text: str,
    where: tuple[float, float],
    frame: tuple[str, str],
    colour: str,
    shift: tuple[int, int],
    **more: Any,
) -> None:
    axis.annotate(
        text, where, xycoords=frame, xytext=shift, textcoords="offset points", color=colour, fontsize=7.5, **more
    )

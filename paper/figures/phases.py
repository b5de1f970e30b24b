"""The phases of one trained transformer: its loss with the ideal losses as lines, and its distance to each strategy.
Dotted: where it passes from one strategy to the next. Band: where the softmax toy at the same learning rate should, uncalibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from paper.style import RUNG_COLOURS, STRATEGY_COLOURS
from theory.dynamics import Trajectory
from theory.ideal import finite_loss
from theory.transitions import Transition
from validate.suite import Results

__all__ = ["Phases", "compute", "draw"]


@dataclass(frozen=True)
class Phases:
    label: str
    trajectory: Trajectory
    plateaus: dict[str, float]
    observed: list[Transition]
    predicted: list[Transition]


def compute(results: Results) -> Phases:
    """The transformer seed whose passage to bigram comes first, with what is predicted for it."""
    outcome = next((o for o in results.outcomes if o.case.surrogate is not None), None)
    if outcome is None:
        raise ValueError(
            f"suite {results.suite!r} trains no transformer: expected one for the phases figure; use the quick suite."
        )
    best = min(outcome.observed.trajectories, key=lambda one: one.transitions()[0][-1].step or np.inf)
    prediction = next(iter(outcome.predictions.values()))
    setting = outcome.case.setting
    plateaus = {name: finite_loss(setting.prior, name, setting.context).value for name in prediction.plateaus}
    return Phases(outcome.case.setting.label, best, plateaus, best.transitions()[0], prediction.transitions()[0])


def draw(data: Phases) -> Figure:
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 5.6), sharex=True, layout="constrained")
    one = data.trajectory
    top.plot(one.steps, one.loss, color="black", label="transformer")
    for name, level in data.plateaus.items():
        top.axhline(level, color=STRATEGY_COLOURS[name], ls="--", lw=1)
        top.annotate(
            f"ideal {name}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            color=STRATEGY_COLOURS[name],
            fontsize=8,
        )
    top.set(ylabel="loss / nats per token")
    for name, distance in one.distances.items():
        bottom.plot(one.steps, distance, color=STRATEGY_COLOURS[name], label=name)
    bottom.set(ylabel="KL(strategy ‖ model) / nats", xlabel="optimiser step", ylim=(0, None))
    for axis in (top, bottom):
        for transition in data.observed:
            if transition.step is not None:
                axis.axvline(transition.step, color="black", ls=":", lw=1)
        for transition in data.predicted:
            if transition.low is not None and transition.high is not None:
                axis.axvspan(transition.low, transition.high, color=RUNG_COLOURS["softmax toy"], alpha=0.25, lw=0)
    for transition in data.predicted:
        if transition.step is not None:
            text = f"toy predicts\n{transition.source} → {transition.target}"
            bottom.annotate(
                text,
                (transition.step, 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=7,
                color=RUNG_COLOURS["softmax toy"],
            )
    bottom.legend(title="distance to", loc="center left")
    top.set_title(f"Uniform, unigram, bigram: {data.label}", loc="left")
    return figure

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

from paper.style import RUNG_COLOURS, STRATEGY_COLOURS
from theory.dynamics import Trajectory
from theory.ideal import finite_loss
from theory.transitions import Transition
from validate.suite import Outcome, Results

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
    plateaus = {name: finite_loss(setting.prior, name, setting.context).value for name in prediction.plateaus}
    return Phases(setting.label, best, plateaus, best.transitions()[0], prediction.transitions()[0])


def draw(data: Phases) -> Figure:
    """Loss above, distances below, against the step on a logarithmic axis."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.8, 5.8), sharex=True, layout="constrained")
    one = data.trajectory
    top.plot(one.steps, one.loss, color="black")
    for name, level in data.plateaus.items():
        top.axhline(level, color=STRATEGY_COLOURS[name], ls="--", lw=1)
        _label(top, f"ideal {name}", (1, level), ("axes fraction", "data"), STRATEGY_COLOURS[name], (-2, 2), ha="right")
    for name, distance in one.distances.items():
        bottom.plot(one.steps, distance, color=STRATEGY_COLOURS[name])
        _label(bottom, name, (one.steps[-1], distance[-1]), ("data", "data"), STRATEGY_COLOURS[name], (3, -3))
    for axis in (top, bottom):
        for found in data.observed:
            if found.step is not None:
                axis.axvline(found.step, color="black", ls=":", lw=1)
        for found in data.predicted:
            if found.low is not None and found.high is not None:
                axis.axvspan(found.low, found.high, color=RUNG_COLOURS["softmax toy"], alpha=0.25, lw=0)
    for who, kind, colour, height in (
        ("observed", data.observed, "black", 0.99),
        ("toy", data.predicted, RUNG_COLOURS["softmax toy"], 0.87),
    ):
        for found in kind:
            if found.step is not None:
                text = f"{who}: {found.source}\n→ {found.target}"
                _label(
                    top, text, (found.step, height), ("data", "axes fraction"), colour, (-3, 0), ha="right", va="top"
                )
    low, high = top.get_ylim()
    top.set(ylabel="loss / nats per token", ylim=(low, high + 0.35 * (high - low)))
    bottom.set(ylabel="KL(strategy ‖ model) / nats per token", xlabel="optimiser step", ylim=(0, None), xscale="log")
    bottom.set_xlim(
        left=max(one.steps[1] / 2, 1), right=1.6 * max([one.steps[-1], *(t.high for t in data.predicted if t.high)])
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

"""Phases of one trained transformer: its loss with the ideal losses as dashed lines, and its distance to each strategy.
Dotted: transitions between strategies. Band: prediction of the softmax toy at the same learning rate, uncalibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from onset.paper.style import RUNG_COLOURS, strategy_colours
from onset.theory.recording import Trajectory
from onset.theory.transitions import Transition
from onset.validate.suite import CaseResult, Results

__all__ = ["Phases", "compute", "draw", "shows", "transformer"]


@dataclass(frozen=True)
class Phases:
    """A trained seed, the ideal losses, and the observed and predicted transitions."""

    label: str
    trajectory: Trajectory
    plateaus: dict[str, float]
    observed: list[Transition]
    predicted: list[Transition]


def transformer(results: Results) -> CaseResult | None:
    """The first transformer with trained models and a prediction."""
    return next((o for o in results.cases if not o.case.toy and o.observed is not None and o.answers), None)


def shows(results: Results) -> bool:
    return transformer(results) is not None


def compute(results: Results) -> Phases:
    """The transformer seed with the earliest transition to bigram, and its prediction."""
    outcome = transformer(results)
    if outcome is None or outcome.observed is None:
        raise ValueError(
            f"suite {results.suite!r} holds no trained transformer: expected one for the phases figure; run onset "
            "validate to its end."
        )
    first = min(outcome.observed.trajectories, key=lambda run: run.transitions()[0][-1].step or np.inf)
    prediction = next(iter(outcome.answers.values()))
    setting = outcome.setting
    plateaus = {name: setting.task.expected_loss(name).value for name in prediction.plateaus}
    return Phases(setting.label, first, plateaus, first.transitions()[0], prediction.transitions()[0])


def draw(data: Phases) -> Figure:
    """Loss above, distances below, against the step on a logarithmic axis."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.8, 5.8), sharex=True, layout="constrained")
    run, colours = data.trajectory, strategy_colours(list(data.trajectory.distances))
    drawn = run.steps > 0  # a logarithmic axis has no step 0
    top.plot(run.steps[drawn], run.loss[drawn], color="black")
    for name, level in data.plateaus.items():
        top.axhline(level, color=colours[name], ls="--", lw=1)
        _label(top, f"ideal {name}", (1, level), ("axes fraction", "data"), colours[name], (-2, 2), ha="right")
    for name, distance in run.distances.items():
        bottom.plot(run.steps[drawn], distance[drawn], color=colours[name])
        _label(bottom, name, (run.steps[-1], distance[-1]), ("data", "data"), colours[name], (3, -3))
    toy = RUNG_COLOURS["softmax toy"]
    for axis in (top, bottom):
        for transition in data.observed:
            if transition.step is not None:
                axis.axvline(transition.step, color="black", ls=":", lw=1)
        for transition in data.predicted:
            if transition.low is not None and transition.high is not None:
                axis.axvspan(transition.low, transition.high, color=toy, alpha=0.25, lw=0)
    # Labels stand on the left of observed steps unless close to the edge, and on the right of predicted ones.
    edge = 4 * run.steps[1]
    for source, transitions, colour, height in (
        ("observed", data.observed, "black", 0.99),
        ("toy", data.predicted, toy, 0.87),
    ):
        for transition in transitions:
            if transition.step is not None:
                text = f"{source}: {transition.source}\n→ {transition.target}"
                right = source == "toy" or transition.step < edge
                shift, side = ((3, 0), "left") if right else ((-3, 0), "right")
                place = (transition.step, height)
                _label(top, text, place, ("data", "axes fraction"), colour, shift, ha=side, va="top")
    low, high = top.get_ylim()
    top.set(ylabel="loss / nats per token", ylim=(low, high + 0.35 * (high - low)))
    bottom.set(ylabel="KL(strategy ‖ model) / nats per token", xlabel="optimiser step", ylim=(0, None), xscale="log")
    last = max([run.steps[-1], *(transition.high for transition in data.predicted if transition.high)])
    bottom.set_xlim(max(0.9 * run.steps[1], 1), 2.4 * last)
    top.set_title(f"{', '.join(run.distances).capitalize()}: {data.label}", loc="left")
    return figure


def _label(
    axis: Axes,
    text: str,
    place: tuple[float, float],
    coordinates: tuple[str, str],
    colour: str,
    shift: tuple[int, int],
    **options: Any,
) -> None:
    """Text at `place`, shifted by points."""
    style = {"textcoords": "offset points", "color": colour, "fontsize": 7.5}
    axis.annotate(text, place, xycoords=coordinates, xytext=shift, **style, **options)

"""Order parameters of the linear family: strength Ω of the match against the weight q₁ = e^{v₁}/T of lag 1, in the mean
field and of a trained model. First the match relaxes to the plateau at nearly fixed q₁; then q₁ grows, and the match
follows the slow manifold with a lag, the delay of the plateau law. Dots are equally spaced in steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import GREY, RUNG_COLOURS
from onset.theory.arrays import Array
from onset.theory.laws.linear import path
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.execution import compute as compute_jobs
from onset.validate.store.jobs import TRAIN, Job, observation, prediction
from onset.validate.store.runs import Store
from onset.validate.suite import Results

__all__ = ["Portrait", "compute", "draw"]

STATES, CONTEXT = 3, 200
DOTS = 25
"""Steps between two dots."""
FOLDER = Path("out/figures/runs")
"""Store of the runs."""


@dataclass(frozen=True)
class Portrait:
    """Ω and q₁ along the slow manifold, shape (n, 2), and step, Ω and q₁ along the other paths, shape (n, 3)."""

    label: str
    manifold: Array
    paths: dict[str, Array]


def compute(results: Results | None = None) -> Portrait:
    """Predict and train what the store lacks; no suite's results are needed."""
    setting = Setting.of("linear", states=STATES, context=CONTEXT, initialization={"match": 1 / CONTEXT})
    store = Store(FOLDER)
    predicted, trained = Job(setting, "mean-field"), Job(setting, TRAIN, 0)
    compute_jobs([predicted, trained], store).check()
    slow = path(setting)
    return Portrait(
        setting.label,
        np.column_stack([slow.manifold.target[:, 1], np.exp(slow.manifold.log_e) / CONTEXT]),
        {
            "mean field": _path(prediction(setting, "mean-field", store).trajectories[0]),
            "trained": _path(observation(setting, [0], store).trajectories[0]),
        },
    )


def _path(run: Trajectory) -> Array:
    omega = CONTEXT * (run.parameters["match.diagonal"] - run.parameters["match.off_diagonal"])
    return np.column_stack([run.steps, omega, np.exp(run.parameters["lag_logits.1"]) / CONTEXT])


def draw(data: Portrait) -> Figure:
    figure, axis = plt.subplots(figsize=(5.8, 4.4), layout="constrained")
    axis.plot(*data.manifold.T, color=GREY, lw=5, alpha=0.45, solid_capstyle="round", label="slow manifold Ω*(q₁)")
    colours = {"mean field": RUNG_COLOURS["mean-field"], "trained": "black"}
    for name, columns in data.paths.items():
        steps, omega, weight = columns.T
        axis.plot(omega, weight, color=colours[name], lw=1.2, label=name)
        at = np.arange(0, steps[-1], DOTS)
        log_weight = np.interp(at, steps, np.log(weight))
        axis.plot(np.interp(at, steps, omega), np.exp(log_weight), ".", color=colours[name], ms=6)
    first = next(iter(data.paths.values()))
    axis.annotate("start", tuple(first[0, 1:]), xytext=(6, -10), textcoords="offset points", fontsize=8)
    axis.annotate("plateau", tuple(data.manifold[0]), xytext=(8, -3), textcoords="offset points", fontsize=8)
    axis.set(yscale="log", xlabel="strength Ω of the match", ylabel="weight of lag 1, q₁ = exp(v₁)/T")
    axis.legend(loc="upper left")
    axis.set_title(f"{data.label}; dots every {DOTS} steps", loc="left")
    return figure

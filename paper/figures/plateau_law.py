"""The length of the unigram plateau against the context, linear family under SGD: the plateau law with its interval, the mean field, the
finite context and trained models, all started at W₀ = 1/T, no fitted parameter. Below, the difference of each from the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import AMBER, BLUE, DARK, VIOLET
from onset.theory.arrays import Array
from onset.theory.laws.terms import terms
from onset.theory.setting import Setting
from onset.theory.transitions import Transition
from onset.validate.execution import compute as compute_jobs
from onset.validate.store.jobs import TRAIN, Job, observation, prediction
from onset.validate.store.runs import Store
from onset.validate.suite import Results

__all__ = ["Lengths", "compute", "draw"]

STATES = (2, 3, 4)
LONG: tuple[int, ...] = tuple(10**n for n in range(2, 7))
"""Contexts of the mean field."""
FINITE: tuple[int, ...] = (50, 100, 200)
"""Contexts of the finite context."""
SHORT: tuple[int, ...] = (50, 100, 200, 400)
"""Contexts of training."""
SEEDS = 4
POINTS = 60
FOLDER = Path("out/figures/runs")
"""Where runs are kept."""

RATES = {2: 100.0, 3: 200.0, 4: 400.0}
"""Rate of the match, times T²: large enough for the law, small enough for gradient descent to be stable."""

ASIDE = {"mean field": 1.0, "finite context": 0.98, "trained": 1.02}
"""Points of one context are drawn beside each other, by these factors and one for each k."""
MARKERS = {"mean field": "D", "finite context": "o", "trained": "s"}
COLOURS = (BLUE, AMBER, VIOLET)


@dataclass(frozen=True)
class Lengths:
    """Steps of unigram → bigram for one k: the law (n, 4) as T, step, low, high, and rows of the same kind for each other rung."""

    states: int
    law: Array
    rungs: dict[str, Array]


def setting(states: int, context: int) -> Setting:
    """The setting all rungs share."""
    return Setting.of(
        "linear",
        states=states,
        context=context,
        learning_rate={"match": RATES[states] / context**2},
        initialization={"match": 1 / context},
    )


def compute(results: Results | None = None) -> list[Lengths]:
    """Predict and train what the store lacks; no suite's results are needed."""
    store = Store(FOLDER)
    points = [
        *((k, t, "mean field", Job(setting(k, t), "mean-field")) for k in STATES for t in LONG),
        *((k, t, "finite context", Job(setting(k, t), "finite-context")) for k in STATES for t in FINITE),
        *((k, t, "trained", Job(setting(k, t), TRAIN, seed)) for k in STATES for t in SHORT for seed in range(SEEDS)),
    ]
    compute_jobs([job for *_, job in points], store).check()
    found = []
    for k in STATES:
        seen: dict[str, dict[int, Transition]] = {name: {} for name in MARKERS}
        for states, t, name, job in points:
            if states == k and t not in seen[name]:
                seen[name][t] = _passage(job, store)
        contexts = np.geomspace(min(SHORT), max(LONG), POINTS)
        found.append(Lengths(k, by_law(k, contexts), {name: _rows(group) for name, group in seen.items()}))
    return found


def _passage(job: Job, store: Store) -> Transition:
    if job.kind == TRAIN:
        return observation(job.setting, range(SEEDS), store).transitions()[0][-1]
    return prediction(job.setting, job.kind, store).transitions()[0][-1]


def by_law(states: int, contexts: Array) -> Array:
    """T, step, low, high where the law answers, shape (n, 4)."""
    rows = []
    for t in sorted({round(t) for t in contexts.tolist()}):
        try:
            told = terms(setting(states, t))["passage"]
        except ValueError:
            continue
        rows.append((t, told.step, told.low, told.high))
    return np.array(rows, dtype=float).reshape(-1, 4)


def _rows(found: dict[int, Transition]) -> Array:
    rows = [(t, one.step, one.low, one.high) for t, one in found.items() if one.step is not None]
    return np.array(rows, dtype=float).reshape(-1, 4)


def draw(data: list[Lengths]) -> Figure:
    """Steps above, on logarithmic axes; relative difference from the law below."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(6.2, 6.6), height_ratios=[2.2, 1], sharex=True, layout="constrained"
    )
    for n, (one, colour) in enumerate(zip(data, COLOURS, strict=False)):
        t, step, low, high = one.law.T
        top.plot(t, step, color=colour, label=f"law, k = {one.states}")
        top.fill_between(t, low, high, color=colour, alpha=0.2, lw=0)
        bottom.fill_between(t, 100 * (low / step - 1), 100 * (high / step - 1), color=colour, alpha=0.15, lw=0)
        for name, rows in one.rungs.items():
            x, value, below, above = rows.T
            face = colour if name == "trained" else "white"
            style: dict[str, Any] = {"fmt": MARKERS[name], "color": colour, "mfc": face, "ms": 4, "elinewidth": 0.9}
            top.errorbar(x, value, yerr=[value - below, above - value], **style)
            known = (x >= t.min(initial=np.inf)) & (x <= t.max(initial=0.0))
            if not known.any():
                continue
            law = np.exp(np.interp(np.log(x[known]), np.log(t), np.log(step)))
            spread = [100 * (value - below)[known] / law, 100 * (above - value)[known] / law]
            beside = x[known] * ASIDE[name] * 1.08 ** (n - 1)
            bottom.errorbar(beside, 100 * (value[known] / law - 1), yerr=spread, **style)
    top.set(xscale="log", yscale="log", ylabel="steps until unigram → bigram")
    bottom.axhline(0, color=DARK, lw=0.9)
    bottom.set(xlabel="context T", ylabel="difference from the law / %")
    handles, _ = top.get_legend_handles_labels()
    handles = [h for h in handles if isinstance(h, Line2D)] + [
        Line2D([], [], marker=m, ls="", color=DARK, mfc=DARK if n == "trained" else "white", label=n)
        for n, m in MARKERS.items()
    ]
    top.legend(handles=handles, loc="upper left")
    top.set_title("Length of the unigram plateau, no fitted parameter", loc="left")
    return figure

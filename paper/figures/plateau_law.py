"""Length of the unigram plateau against the context, linear family under SGD: the plateau law with its interval, mean
field, finite context and trained models, all started at W₀ = 1/T, with no fitted parameter. Below, the difference from
the law.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import AMBER, BLUE, DARK, VIOLET, marker_handle
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
"""Contexts of the finite-context theory."""
SHORT: tuple[int, ...] = (50, 100, 200, 400)
"""Contexts of training."""
SEEDS = 4
LAW_CONTEXTS = 60
"""Contexts at which the law is drawn."""
FOLDER = Path("out/figures/runs")
"""Store of the runs."""

RATES = {2: 100.0, 3: 200.0, 4: 400.0}
"""Learning rate of the match times T²: large enough for the law, and stable under gradient descent."""

HORIZONTAL_SHIFTS = {"mean field": 1.0, "finite context": 0.98, "trained": 1.02}
"""Factors that draw points of one context side by side."""
MARKERS = {"mean field": "D", "finite context": "o", "trained": "s"}
COLOURS = (BLUE, AMBER, VIOLET)


@dataclass(frozen=True)
class Lengths:
    """Steps of unigram → bigram for one k, columns T, step, low, high: of the law and of each other rung."""

    states: int
    law: Array
    rungs: dict[str, Array]


def setting(states: int, context: int) -> Setting:
    """The setting that all rungs share."""
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
    kinds = {
        "mean field": ("mean-field", LONG),
        "finite context": ("finite-context", FINITE),
        "trained": (TRAIN, SHORT),
    }
    jobs = [
        Job(setting(k, t), kind, seed)
        for k in STATES
        for kind, contexts in kinds.values()
        for t in contexts
        for seed in range(SEEDS if kind == TRAIN else 1)
    ]
    compute_jobs(jobs, store).check()
    law_contexts = np.geomspace(min(SHORT), max(LONG), LAW_CONTEXTS)
    return [
        Lengths(
            k,
            by_law(k, law_contexts),
            {name: _rows(_transitions(k, kind, contexts, store)) for name, (kind, contexts) in kinds.items()},
        )
        for k in STATES
    ]


def _transitions(states: int, kind: str, contexts: Iterable[int], store: Store) -> Iterator[tuple[int, Transition]]:
    """Context and transition of the trained models or of a prediction."""
    for t in contexts:
        if kind == TRAIN:
            yield t, observation(setting(states, t), range(SEEDS), store).transitions()[0][-1]
        else:
            yield t, prediction(setting(states, t), kind, store).transitions()[0][-1]


def by_law(states: int, contexts: Array) -> Array:
    """T, step, low, high where the law answers, shape (n, 4)."""
    transitions = []
    for t in sorted({round(t) for t in contexts.tolist()}):
        with suppress(ValueError):
            transitions.append((t, terms(setting(states, t))["passage"]))
    return _rows(transitions)


def _rows(transitions: Iterable[tuple[int, Transition]]) -> Array:
    rows = [(t, passed.step, passed.low, passed.high) for t, passed in transitions if passed.step is not None]
    return np.array(rows, dtype=float).reshape(-1, 4)


def draw(data: list[Lengths]) -> Figure:
    """Steps above, on logarithmic axes; relative difference from the law below."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(6.2, 6.6), height_ratios=[2.2, 1], sharex=True, layout="constrained"
    )
    for n, (lengths, colour) in enumerate(zip(data, COLOURS, strict=False)):
        t, step, low, high = lengths.law.T
        top.plot(t, step, color=colour, label=f"law, k = {lengths.states}")
        top.fill_between(t, low, high, color=colour, alpha=0.2, lw=0)
        bottom.fill_between(t, 100 * (low / step - 1), 100 * (high / step - 1), color=colour, alpha=0.15, lw=0)
        for name, rows in lengths.rungs.items():
            x, value, below, above = rows.T
            face = colour if name == "trained" else "white"
            style: dict[str, Any] = {"fmt": MARKERS[name], "color": colour, "mfc": face, "ms": 4, "elinewidth": 0.9}
            top.errorbar(x, value, yerr=[value - below, above - value], **style)
            inside = (x >= t.min(initial=np.inf)) & (x <= t.max(initial=0.0))
            if not inside.any():
                continue
            law = np.exp(np.interp(np.log(x[inside]), np.log(t), np.log(step)))
            spread = [100 * (value - below)[inside] / law, 100 * (above - value)[inside] / law]
            shifted = x[inside] * HORIZONTAL_SHIFTS[name] * 1.08 ** (n - 1)
            bottom.errorbar(shifted, 100 * (value[inside] / law - 1), yerr=spread, **style)
    top.set(xscale="log", yscale="log", ylabel="steps until unigram → bigram")
    bottom.axhline(0, color=DARK, lw=0.9)
    bottom.set(xlabel="context T", ylabel="difference from the law / %")
    handles, _ = top.get_legend_handles_labels()
    handles = [h for h in handles if isinstance(h, Line2D)] + [
        marker_handle(marker, name, mfc=DARK if name == "trained" else "white") for name, marker in MARKERS.items()
    ]
    top.legend(handles=handles, loc="upper left")
    top.set_title("Length of the unigram plateau, no fitted parameter", loc="left")
    return figure

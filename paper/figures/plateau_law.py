"""Length of the unigram plateau against the context, linear family under SGD: the plateau law with its interval, mean
field, finite context and trained models, all started at W₀ = 1/T, with no fitted parameter. Below, the difference from
the law.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import AMBER, BLUE, DARK, VIOLET, marker_handle
from onset.theory.arrays import Array
from onset.theory.laws.terms import terms
from onset.theory.transitions import Transition, TransitionSource
from onset.validate.suite import CaseResult, Results
from onset.validate.suite.settings import plateau_setting

__all__ = ["Lengths", "compute", "draw", "shows"]

SUITE = "plateau-law"
"""Suite whose results the figure shows."""

RUNGS = {"mean-field": "mean field", "finite-context": "finite context"}
"""Predictions beside the law, and their names in the legend."""

LAW_CONTEXTS = 60
"""Contexts at which the law is drawn."""

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


def shows(results: Results) -> bool:
    """Whether `results` are those of the figure's suite, with curves."""
    return results.suite == SUITE and any(case.answers or case.observed for case in results.cases)


def compute(results: Results | None) -> list[Lengths]:
    """The suite's predictions and trained models, and the law at contexts between.

    Raises
    ------
    ValueError
        If the results are those of another suite, or hold no curves.
    """
    if results is None or not shows(results):
        raise ValueError(
            f"suite {'none' if results is None else results.suite!r}: expected results of {SUITE!r} for the figure "
            f"plateau_law; run onset validate --suite {SUITE}, then onset figures plateau_law --results out/{SUITE}."
        )
    by_states: dict[int, list[CaseResult]] = defaultdict(list)
    for case in results.cases:
        by_states[case.setting.task.states].append(case)
    return [_lengths(states, cases) for states, cases in by_states.items()]


def _lengths(states: int, cases: Sequence[CaseResult]) -> Lengths:
    sources: dict[str, Mapping[int, TransitionSource]] = {
        name: {c.setting.task.context: c.answers[method] for c in cases if method in c.answers}
        for method, name in RUNGS.items()
    }
    sources["trained"] = {c.setting.task.context: c.observed for c in cases if c.observed is not None}
    contexts = [c.setting.task.context for c in cases]
    rungs = {
        name: _rows((t, source.transitions()[0][-1]) for t, source in by_context.items())
        for name, by_context in sources.items()
    }
    return Lengths(states, by_law(states, np.geomspace(min(contexts), max(contexts), LAW_CONTEXTS)), rungs)


def by_law(states: int, contexts: Array) -> Array:
    """T, step, low, high where the law answers, shape (n, 4)."""
    transitions = []
    for t in sorted({round(t) for t in contexts.tolist()}):
        with suppress(ValueError):
            transitions.append((t, terms(plateau_setting(states, t))["passage"]))
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

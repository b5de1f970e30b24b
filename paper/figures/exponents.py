"""Exponents d ln t/d ln T of the passage to bigram: fitted to trained models (black, ± standard error of the fit), and to what each rung predicts for
the same settings. Bars: what the difference to training is known to, 95%. Crosses: the closed form that theory states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onset.paper.style import DARK, RED, RUNG_COLOURS
from onset.validate.judging.intervals import Z
from onset.validate.suite import TRAINED, Results

__all__ = ["Row", "compute", "draw"]

SHORT = {"unigram → bigram": "passage", "formation": "formation", "bigram → trigram": "to trigram"}


@dataclass(frozen=True)
class Row:
    """One series and quantity: the trained exponent with its standard error, rungs' exponents as (trained + difference, half of the
    difference's 95% interval), and the closed form's if there is one."""

    label: str
    axis: str
    trained: tuple[float, float]
    rungs: dict[str, tuple[float, float]]
    stated: float | None


def compute(results: Results) -> list[Row]:
    """Of every series that has a trained exponent."""
    rows = []
    for found in results.exponents:
        own = found.slopes[TRAINED]
        rungs = {
            rung: (own.exponent + slope.difference, Z * slope.difference_error)
            for rung, slope in found.slopes.items()
            if slope.difference is not None and slope.difference_error is not None
        }
        stated = None if found.stated is None else found.stated["exponent"]
        label = f"{found.series}, {SHORT.get(found.quantity, found.quantity)}"
        rows.append(Row(label, found.axis, (own.exponent, own.error), rungs, stated))
    return rows


def draw(rows: list[Row]) -> Figure:
    """A line per row, one above the other, series over T before those over a rate."""
    figure, axis = plt.subplots(figsize=(7.4, 1.3 + 0.33 * max(3, len(rows))), layout="constrained")
    rungs = [rung for rung in RUNG_COLOURS if any(rung in row.rungs for row in rows)]
    places = np.linspace(-0.33, 0.33, len(rungs) + 1)
    for n, row in enumerate(rows):
        value, error = row.trained
        axis.axhspan(n - 0.5, n + 0.5, color="#f4f4f4" if n % 2 else "white", lw=0, zorder=0)
        axis.errorbar(value, n + places[0], xerr=error, fmt="D", color="black", ms=4, zorder=4)
        for place, rung in zip(places[1:], rungs, strict=True):
            if rung in row.rungs:
                at, half = row.rungs[rung]
                style = {"fmt": "o", "ms": 3.2, "color": RUNG_COLOURS[rung], "elinewidth": 0.9, "zorder": 3}
                axis.errorbar(at, n + place, xerr=half, **style)
        if row.stated is not None:
            axis.plot(row.stated, n + places[0], "x", color=RED, ms=6, mew=1.6, zorder=5)
    axis.axvline(0, color=DARK, lw=0.8)
    axis.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=7)
    axis.set(
        ylim=(max(len(rows), 1) - 0.5, -0.5),
        xlabel="d ln t / d ln x   (x = T, or the match's rate where the series names it)",
    )
    axis.grid(axis="y", visible=False)
    handles = [Line2D([], [], marker="D", ls="", color="black", label="trained")]
    handles += [Line2D([], [], marker="o", ls="", ms=4, color=RUNG_COLOURS[rung], label=rung) for rung in rungs]
    handles += [Line2D([], [], marker="x", ls="", mew=1.6, color=RED, label="closed form")] * any(
        row.stated is not None for row in rows
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure

"""Exponents d ln t/d ln T of the transition to bigram, fitted to trained models (black, ± standard error of the fit)
and to the predictions of each rung for the same settings, with the 95% interval of the difference. Crosses: closed
form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import DARK, RED, RUNG_COLOURS, marker_handle
from onset.validate.suite import TRAINED, Results

__all__ = ["ExponentRow", "compute", "draw"]

SHORT = {"unigram → bigram": "to bigram", "formation": "formation", "bigram → trigram": "to trigram"}


@dataclass(frozen=True)
class ExponentRow:
    """Exponents of one series and quantity.

    The trained one with its standard error; for each rung trained + difference, and half of the difference's 95%
    interval; the closed form's, if there is one.
    """

    label: str
    axis: str
    trained: tuple[float, float]
    rungs: dict[str, tuple[float, float]]
    stated: float | None


def compute(results: Results) -> list[ExponentRow]:
    """Every series that has a trained exponent."""
    rows = []
    for series in results.exponents:
        trained = series.slopes[TRAINED]
        rungs = {
            rung: (trained.exponent + slope.difference, slope.difference_half)
            for rung, slope in series.slopes.items()
            if slope.difference is not None and slope.difference_half is not None
        }
        stated = None if series.stated is None else series.stated["exponent"]
        label = f"{series.series}, {SHORT.get(series.quantity, series.quantity)}"
        rows.append(ExponentRow(label, series.axis, (trained.exponent, trained.error), rungs, stated))
    return rows


def draw(rows: list[ExponentRow]) -> Figure:
    """One line per row."""
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
    handles = [marker_handle("D", "trained", "black")]
    handles += [marker_handle("o", rung, RUNG_COLOURS[rung], ms=4) for rung in rungs]
    if any(row.stated is not None for row in rows):
        handles.append(marker_handle("x", "closed form", RED, mew=1.6))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure

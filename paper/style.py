"""The style that all figures share, and how they are written: PDF and PNG, without LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, NullLocator

from onset.theory.arrays import Array

__all__ = [
    "AMBER",
    "BLUE",
    "BROWN",
    "DARK",
    "GREEN",
    "GREY",
    "RED",
    "ROSE",
    "RUNG_COLOURS",
    "STYLE",
    "VIOLET",
    "bars",
    "grid_of_axes",
    "marker_handle",
    "number_ticks",
    "save",
    "strategy_colours",
    "styled",
]

BLUE, AMBER, GREEN, VIOLET, ROSE, BROWN = "#1F6FB2", "#D98E04", "#2E8B57", "#8A4FBE", "#C2477F", "#7A5230"
"""Colours of categories, in this order; they can be told apart by colour-blind readers."""
GREY, DARK, RED = "#8C8C8C", "#444444", "#B03030"
"""Colours of reference lines, of axes and legends, and of warnings."""

STYLE: list[Any] = [str(Path(__file__).with_name("onset.mplstyle"))]
"""Style sheets of all figures; a later one overrides."""

RUNG_COLOURS = {
    "law": ROSE,
    "law-corrected": BROWN,
    "mean-field": AMBER,
    "mean-field-corrected": GREEN,
    "finite-context": BLUE,
    "softmax toy": VIOLET,
}
"""One colour per rung of the ladder."""


def strategy_colours(strategies: Sequence[str]) -> dict[str, str]:
    """A colour for each of a task's strategies, by its place in their expected order."""
    return dict(zip(strategies, cycle((GREY, AMBER, BLUE, GREEN, VIOLET, ROSE, BROWN)), strict=False))


def grid_of_axes(
    count: int, columns: int, size: tuple[float, float], legend_height: float = 0.0, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes (at least one) in rows of at most `columns`, each of `size` in inches."""
    columns = min(columns, max(1, count))
    rows = -(-max(1, count) // columns)
    figsize = size[0] * columns, size[1] * rows + legend_height
    figure, grid = plt.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False, **options)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes


def marker_handle(marker: str, label: str, colour: str = DARK, **options: Any) -> Line2D:
    """Legend entry of a marker."""
    return Line2D([], [], marker=marker, ls="", color=colour, label=label, **options)


def number_ticks(axis: Axis, places: Sequence[float] | Locator) -> None:
    """Major ticks at `places`, labelled with plain numbers; no minor ticks."""
    axis.set_major_locator(places if isinstance(places, Locator) else FixedLocator(list(places)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "−")))


def bars(values: Sequence[float] | Array) -> Array:
    """Lengths of error bars downwards and upwards, shape (2, 1), of (value, low, high)."""
    value, *ends = values
    return np.abs(np.array(ends) - value)[:, None]


@contextmanager
def styled() -> Iterator[None]:
    """Figures drawn inside have the shared style, on a canvas that needs no screen."""
    mpl.use("Agg")
    with plt.style.context(STYLE):
        yield


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write `figure` as ``name.pdf`` and ``name.png`` into `folder`, close it, and return the PNG's path."""
    # No dates or versions inside, so that the same figure is the same file.
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    png = folder / f"{name}.png"
    figure.savefig(png, metadata={"Software": None})
    plt.close(figure)
    return png

"""The look all figures share, and how they are written: PDF and PNG, without LaTeX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

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
    "STRATEGY_COLOURS",
    "VIOLET",
    "save",
    "styled",
]

BLUE, AMBER, GREEN, VIOLET, ROSE, BROWN = "#1F6FB2", "#D98E04", "#2E8B57", "#8A4FBE", "#C2477F", "#7A5230"
"""Of what is told apart, in this order, also by the colour-blind."""
GREY, DARK, RED = "#8C8C8C", "#444444", "#B03030"
"""Of lines to measure by, of axes and keys, and of what stands out."""

RUNG_COLOURS = {
    "law": ROSE,
    "law-corrected": BROWN,
    "mean-field": AMBER,
    "mean-field-corrected": GREEN,
    "finite-context": BLUE,
    "softmax toy": VIOLET,
}
"""One colour per rung of the ladder."""
STRATEGY_COLOURS = {
    "uniform": GREY,
    "unigram": AMBER,
    "bigram": BLUE,
    "trigram": GREEN,
    "4-gram": VIOLET,
}


@contextmanager
def styled() -> Iterator[None]:
    """Figures drawn inside have the shared style, on a canvas that needs no screen."""
    mpl.use("Agg")
    with plt.style.context(str(Path(__file__).with_name("onset.mplstyle"))):
        yield


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write `figure` as ``name.pdf`` and ``name.png`` into `folder`, close it, and return the PNG's path."""
    # No dates or versions inside, so that the same figure is the same file.
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    png = folder / f"{name}.png"
    figure.savefig(png, metadata={"Software": None})
    plt.close(figure)
    return png

"""The look all figures share, and how they are written: PDF and PNG, without LaTeX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

__all__ = ["RUNG_COLOURS", "STRATEGY_COLOURS", "save", "styled"]

RUNG_COLOURS = {
    "law": "#C2477F",
    "law-corrected": "#7A5230",
    "mean-field": "#D98E04",
    "mean-field-corrected": "#2E8B57",
    "finite-context": "#1F6FB2",
    "softmax toy": "#8A4FBE",
}
"""One colour per rung of the ladder, told apart also by the colour-blind."""
STRATEGY_COLOURS = {
    "uniform": "#8C8C8C",
    "unigram": "#D98E04",
    "bigram": "#1F6FB2",
    "trigram": "#2E8B57",
    "4-gram": "#8A4FBE",
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

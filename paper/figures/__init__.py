"""Figures, one module each: `compute` takes a suite's results and returns plain data, `draw` turns data into a figure.

`FIGURES` is the one place where a figure is registered; its caption is the module's docstring. Those not `OF_SUITE`
compute or train what they show themselves, and take None for results.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from paper import style
from paper.figures import attention, ideal_losses, ladder, phase_portrait, phases, plateau_law, signals
from theory import arguments
from validate.files import writable_folder
from validate.suite import Results

__all__ = ["FIGURES", "OF_SUITE", "caption", "render"]

FIGURES: dict[str, ModuleType] = {
    "ladder": ladder,
    "phases": phases,
    "attention": attention,
    "plateau_law": plateau_law,
    "signals": signals,
    "ideal_losses": ideal_losses,
    "phase_portrait": phase_portrait,
}

OF_SUITE = ("ladder", "phases", "attention")
"""Those that show a suite's results, and stand in its report."""


def caption(name: str) -> str:
    """What the figure shows, in a sentence or two."""
    return " ".join((FIGURES[name].__doc__ or "").split())


def render(results: Results | None, folder: str | Path, names: Sequence[str] = ()) -> dict[str, Path]:
    """Draw the named figures (default: all) into `folder` as PDF and PNG; return the PNG's path for each name."""
    chosen = [arguments.one_of("figure", name, FIGURES) for name in (names or FIGURES)]
    folder = writable_folder(folder)
    with style.styled():
        return {name: style.save(FIGURES[name].draw(FIGURES[name].compute(results)), folder, name) for name in chosen}

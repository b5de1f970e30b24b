"""Figures, one module each: `compute` takes a suite's results and returns plain data, `draw` turns data into a figure.

`FIGURES` is the one place where a figure is registered; its caption is the first line of the module's docstring.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from paper import style
from paper.figures import attention, ladder, phases
from theory import arguments
from validate.files import writable_folder
from validate.suite import Results

__all__ = ["FIGURES", "caption", "render"]

FIGURES: dict[str, ModuleType] = {"ladder": ladder, "phases": phases, "attention": attention}


def caption(name: str) -> str:
    """What the figure shows, in a sentence or two."""
    return " ".join((FIGURES[name].__doc__ or "").split())


def render(results: Results, folder: str | Path, names: Sequence[str] = ()) -> dict[str, Path]:
    """Draw the named figures (default: all) into `folder` as PDF and PNG; return the PNG's path for each name."""
    chosen = [arguments.one_of("figure", name, FIGURES) for name in (names or FIGURES)]
    folder = writable_folder(folder)
    with style.styled():
        return {name: style.save(FIGURES[name].draw(FIGURES[name].compute(results)), folder, name) for name in chosen}

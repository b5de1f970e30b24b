"""All figures by name, those of a suite's results and those of the theory.

`FIGURES` is the one place where a figure is registered; its caption is the module's docstring. The figure of a claim is
called ``claim-ID`` (`onset.paper.figures.claims`). Figures that are not in `OF_SUITE` compute what they show, and take
None as results. None trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from onset.paper import style
from onset.paper.figures import (
    attention,
    basins,
    errors,
    exponents,
    ideal_losses,
    ladder,
    phase_portrait,
    phases,
    plateau_law,
    signals,
)
from onset.paper.figures.claims import PICTURES, ClaimFigure
from onset.theory import arguments
from onset.theory.plain_data import plain
from onset.validate.store.files import writable_folder
from onset.validate.suite import Results

__all__ = ["FIGURES", "OF_SUITE", "caption", "numbers", "of_suite", "render"]

FIGURES: dict[str, ModuleType | ClaimFigure] = {
    "ladder": ladder,
    "errors": errors,
    "exponents": exponents,
    "basins": basins,
    "phases": phases,
    "attention": attention,
    "plateau_law": plateau_law,
    "signals": signals,
    "ideal_losses": ideal_losses,
    "phase_portrait": phase_portrait,
} | {f"claim-{claim}": picture for claim, picture in PICTURES.items()}

OF_SUITE = (
    *("ladder", "errors", "exponents", "basins", "phases", "attention", "plateau_law"),
    *(f"claim-{claim}" for claim in PICTURES),
)
"""Figures of a suite's results, and of its report; a figure that needs certain runs has a function `shows`."""


def caption(name: str) -> str:
    """Caption of a figure."""
    return " ".join((FIGURES[name].__doc__ or "").split())


def of_suite(results: Results) -> tuple[str, ...]:
    """Figures of `OF_SUITE` that `results`, perhaps unfinished, hold the data of."""
    return tuple(name for name in OF_SUITE if not hasattr(FIGURES[name], "shows") or FIGURES[name].shows(results))


def _selected(results: Results | None, names: Sequence[str]) -> list[str]:
    """The named figures, by default those of the theory and of what `results` hold."""
    available = () if results is None else of_suite(results)
    default = [name for name in FIGURES if name in available or name not in OF_SUITE]
    return [arguments.one_of("figure", name, FIGURES) for name in (names or default)]


def numbers(results: Results | None, names: Sequence[str] = ()) -> dict[str, Any]:
    """Data of the named figures, by default of all possible ones, as JSON can hold it."""
    return {name: plain(FIGURES[name].compute(results)) for name in _selected(results, names)}


def render(results: Results | None, folder: str | Path, names: Sequence[str] = ()) -> dict[str, Path]:
    """Draw the named figures, by default all possible ones, as PDF and PNG; return the paths of the PNGs by name."""
    selected = _selected(results, names)
    folder = writable_folder(folder)
    with style.styled():
        return {name: style.save(FIGURES[name].draw(FIGURES[name].compute(results)), folder, name) for name in selected}

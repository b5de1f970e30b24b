"""Figures, one module each: `compute` takes a suite's results and returns plain data, `draw` turns data into a figure.

`FIGURES` is the one place where a figure is registered; its caption is the module's docstring. A claim's picture is called ``claim-ID`` (`onset.paper.figures.claims`). Those not `OF_SUITE`
compute or train what they show themselves, and take None for results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

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
from onset.paper.figures.claims import PICTURES, Picture
from onset.theory import arguments
from onset.validate.store.files import writable_folder
from onset.validate.suite import Results

__all__ = ["FIGURES", "OF_SUITE", "caption", "numbers", "of_suite", "render"]

FIGURES: dict[str, ModuleType | Picture] = {
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

OF_SUITE = ("ladder", "errors", "exponents", "basins", "phases", "attention", *(f"claim-{claim}" for claim in PICTURES))
"""Those that show a suite's results, and stand in its report; where such a figure needs certain runs, its `shows` says whether they are there."""


def caption(name: str) -> str:
    """What the figure shows, in a sentence or two."""
    return " ".join((FIGURES[name].__doc__ or "").split())


def of_suite(results: Results) -> tuple[str, ...]:
    """Those of `OF_SUITE` for which `results`, perhaps unfinished, hold what they show."""
    return tuple(name for name in OF_SUITE if not hasattr(FIGURES[name], "shows") or FIGURES[name].shows(results))


def _chosen(results: Results | None, names: Sequence[str]) -> list[str]:
    """The named figures, or those of the theory and what `results` hold."""
    there = () if results is None else of_suite(results)
    usual = [name for name in FIGURES if name in there or name not in OF_SUITE]
    return [arguments.one_of("figure", name, FIGURES) for name in (names or usual)]


def numbers(results: Results | None, names: Sequence[str] = ()) -> dict[str, Any]:
    """What the named figures (default: all that there is something for) show, as plain data."""
    chosen = _chosen(results, names)
    return {name: _plain(FIGURES[name].compute(results)) for name in chosen}


def _plain(data: Any) -> Any:
    """Dataclasses as dicts, arrays as lists, numbers that JSON has no word for as None."""
    if is_dataclass(data) and not isinstance(data, type):
        return {entry.name: _plain(getattr(data, entry.name)) for entry in fields(data)}
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, np.ndarray):
        return _plain(data.tolist())
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, np.generic):
        data = data.item()
    return None if isinstance(data, float) and not math.isfinite(data) else data


def render(results: Results | None, folder: str | Path, names: Sequence[str] = ()) -> dict[str, Path]:
    """Draw the named figures (default: all that there is something for) into `folder` as PDF and PNG; return the PNG's path for each name."""
    chosen = _chosen(results, names)
    folder = writable_folder(folder)
    with style.styled():
        return {name: style.save(FIGURES[name].draw(FIGURES[name].compute(results)), folder, name) for name in chosen}

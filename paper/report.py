"""The report of a suite with its figures, as `onset validate` writes it."""

from __future__ import annotations

from pathlib import Path

from onset.paper.figures.registry import caption, of_suite, render
from onset.validate import report
from onset.validate.suite import Results

__all__ = ["write_report"]


def write_report(results: Results, folder: Path, seeds: int | None = None) -> Path:
    """Write figures, ``results.json`` and ``report.html`` of a suite into `folder`; return the page's path.

    Parameters
    ----------
    results : Results
    folder : Path
    seeds : int, optional
        Number of seeds that was asked for, stored so that the report can be written again.
    """
    names = of_suite(results)
    pictures: dict[str, Path] = {}
    try:
        if names:
            pictures = render(results, folder / "figures", names)
    finally:  # the numbers are written even if a figure cannot be drawn
        captioned = {name: (png, caption(name)) for name, png in pictures.items()}
        page = report.write(results, folder, captioned, seeds=seeds)
    return page

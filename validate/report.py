"""The report of a suite: one self-contained HTML page and `results.json`."""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from theory import arguments
from validate.files import writable_folder, write_text
from validate.runs import Store
from validate.suite import RUNGS, SUITES, Interval, Results, collect

__all__ = ["results_of", "versions", "write"]

RESULTS = "results.json"
PAGE = "report.html"
PACKAGES = ("numpy", "scipy", "numba", "torch", "matplotlib")


def versions() -> dict[str, str]:
    """Versions of Python and of what the numbers depend on, and the machine's kind and cores."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    for package in ("icl-onset", *PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def to_dict(results: Results) -> dict[str, Any]:
    return {
        "suite": results.suite,
        "seeds": {outcome.case.setting.id: list(outcome.observed.seeds) for outcome in results.outcomes},
        "holds": results.holds,
        "versions": versions(),
        "comparisons": [c.to_dict() for c in results.comparisons],
        "findings": [c.to_dict() for c in results.findings],
        "settings": [
            {
                "label": o.case.setting.label,
                "observed": o.observed.to_dict(),
                "predicted": {rung: p.to_dict() for rung, p in o.predictions.items()},
            }
            for o in results.outcomes
        ],
    }


def write(
    results: Results, folder: str | Path, figures: Mapping[str, tuple[Path, str]], *, seeds: int | None = None
) -> Path:
    """Write ``results.json`` and ``report.html`` into `folder`, each atomically, and return the page's path.

    Parameters
    ----------
    results : Results
    folder : path
    figures : mapping of name to (PNG file, caption)
    seeds : int, optional
        What the suite was asked for, so that the report can be made again.
    """
    folder = writable_folder(folder)
    data = to_dict(results)
    write_text(folder / RESULTS, json.dumps(data | {"asked_seeds": seeds}, indent=1, allow_nan=False) + "\n")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"interval": show, "percent": percent}
    pictures = [
        (name, base64.b64encode(png.read_bytes()).decode(), caption) for name, (png, caption) in figures.items()
    ]
    toys = [c for c in results.comparisons if c.judged in RUNGS]
    others = [c for c in results.comparisons if c.judged not in RUNGS]
    page = environment.get_template("report.html.jinja").render(
        results=results, data=data, pictures=pictures, rungs=RUNGS, toys=toys, others=others
    )
    write_text(folder / PAGE, page)
    return folder / PAGE


def results_of(folder: str | Path) -> tuple[Results, int | None]:
    """The results that a folder's runs and ``results.json`` hold, and the seeds once asked for.

    Raises
    ------
    ValueError
        If the folder holds no readable results, or a run of theirs is missing.
    """
    path = Path(folder) / RESULTS
    try:
        data = json.loads(path.read_text())
        name, seeds = data["suite"], data["asked_seeds"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ValueError(
            f"{path}: no readable results of a suite there ({problem}); run onset validate --out {folder} first."
        ) from problem
    arguments.one_of("suite", name, SUITES)
    return collect(name, Store(Path(folder) / "runs"), seeds=seeds), seeds


def show(interval: Interval | None) -> str:
    """A value and its interval, all to the same number of digits; the reason if there is none."""
    if interval is None:
        return "–"
    if interval.value is None:
        return interval.reason or "none"
    digits = max(0, min(4, 3 - int(np.floor(np.log10(abs(interval.value) or 1)))))
    if interval.low is None or interval.high is None or interval.low == interval.high:
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def percent(error: float | None) -> str:
    return "–" if error is None else f"{100 * error:+.1f}%"

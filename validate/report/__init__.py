"""Report of a suite: `results.json`, from which all other shown numbers are made, and one self-contained HTML page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onset.theory import arguments
from onset.theory.setting import Setting
from onset.validate.report.page import render
from onset.validate.store.files import writable_folder, write_text
from onset.validate.store.provenance import RELEASE, versions
from onset.validate.store.runs import Store
from onset.validate.suite import SUITES, Results, collect
from onset.validate.suite.results import FORMAT

__all__ = ["PAGE", "RESULTS", "load", "load_all", "results_of", "write"]

RESULTS = "results.json"
PAGE = "report.html"


def write(
    results: Results, folder: str | Path, figures: Mapping[str, tuple[Path, str]], *, seeds: int | None = None
) -> Path:
    """Write ``results.json``, ``report.html`` and the settings of the claims into `folder`; return the page's path.

    Parameters
    ----------
    results : Results
    folder : path
    figures : mapping of name to (PNG file, caption)
    seeds : int, optional
        Seeds that the suite was asked for, so that the report can be made again.

    Raises
    ------
    ValueError
        If the folder holds results of this suite with fewer missing runs.
    """
    folder = writable_folder(folder)
    if (better := _missing_in(folder, results.suite)) is not None and better < len(results.missing):
        raise ValueError(
            f"{folder / RESULTS}: it holds results of the suite {results.suite!r} that lack {better} runs, and these "
            f"lack {len(results.missing)}: expected no more; finish them with onset validate, or move the file."
        )
    data = results.to_dict() | {"asked_seeds": seeds, "versions": versions()}
    for need in {need.subject: need for result in results.claims for need in result.needs.values()}.values():
        if isinstance(need.subject, Setting):
            write_text(folder / need.file, need.setting.to_toml())
    write_text(folder / RESULTS, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    pictures = [
        (name, base64.b64encode(png.read_bytes()).decode(), caption) for name, (png, caption) in figures.items()
    ]
    return write_text(folder / PAGE, render(results, data, pictures))


def load(path: str | Path) -> dict[str, Any]:
    """Content of a ``results.json``, given its path or its folder's.

    Raises
    ------
    ValueError
        If there is no readable one, or its format is unknown.
    """
    path = Path(path)
    file = path / RESULTS if path.suffix != ".json" else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if missing := {"suite", "asked_seeds", "findings", "format"} - set(data):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, TypeError) as problem:
        raise ValueError(
            f"{file}: no readable results of a suite there ({problem}); run onset validate --out {file.parent} first."
        ) from problem
    if data["format"] != FORMAT:
        raise ValueError(
            f"{file}: format = {arguments.shown(data['format'])}: expected {FORMAT}, that of Onset {RELEASE}; run "
            f"onset validate --out {file.parent} again, or use the release that wrote the file."
        )
    return data


def load_all(path: str | Path) -> list[dict[str, Any]]:
    """Contents of the results of several suites in a folder: files of any name, or folders with a ``results.json``; of
    a path that `load` takes, that one alone."""
    path = Path(path)
    if not path.is_dir() or (path / RESULTS).exists():
        return [load(path)]
    files = sorted([*path.glob("*.json"), *path.glob(f"*/{RESULTS}")])
    return [load(file) for file in files] if files else [load(path)]


def results_of(folder: str | Path) -> tuple[Results, int | None]:
    """Results of a folder, and the seeds that the suite was asked for.

    From its runs where they are there; else from its ``results.json`` alone, without the curves.

    Raises
    ------
    ValueError
        If the folder holds no readable results.
    """
    data = load(folder)
    name, seeds = arguments.one_of("suite", data["suite"], SUITES), data["asked_seeds"]
    collected = collect(name, Store(Path(folder) / "runs"), seeds=seeds)
    if len(collected.missing) <= len(data["missing"]):
        return collected, seeds
    try:
        return Results.from_dict(data), seeds
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(
            f"{folder}: {RESULTS} cannot be read ({type(problem).__name__}: {problem}); run onset validate --out "
            f"{folder} again."
        ) from problem


def _missing_in(folder: Path, suite: str) -> int | None:
    """Number of runs that the results of `suite` in a folder lack; None if there are no such results."""
    try:
        data = load(folder)
    except ValueError:
        return None
    return len(data["missing"]) if data["suite"] == suite else None

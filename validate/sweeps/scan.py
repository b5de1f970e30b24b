"""Scans run and kept: `scan.csv`, one row per point, and `scan.json`, the rows with the fitted exponents and what they were made from.

Both are written whole. By methods slower than the law, the JSON is saved as points come in, and the same scan goes on from it.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onset.simulate.exponents import Fit, fits
from onset.simulate.predict import METHODS
from onset.simulate.scan import Grid, Row, predict_one
from onset.theory import arguments
from onset.theory.laws.terms import Terms
from onset.validate.store.files import write_text

__all__ = ["CSV", "JSON", "run", "to_dict", "write"]

CSV, JSON = "scan.csv", "scan.json"

EVERY = 20.0
"""Seconds between two saves."""

TIMES = tuple(f"{quantity}{end}" for quantity in ("formation", "passage") for end in ("", "_low", "_high"))

Progress = Callable[[int, int, str], None]


def run(
    chosen: Grid,
    method: str = "law",
    *,
    seed: int = 0,
    folder: Path | None = None,
    fresh: bool = False,
    progress: Progress = lambda done, total, what: None,
) -> tuple[list[Row], list[Fit]]:
    """Predict every point of the grid by `method`, and fit exponents.

    Parameters
    ----------
    chosen : Grid
    method : str
        Of `onset.simulate.predict.METHODS`.
    seed : int
        Seed of quadrature points and sampled sequences.
    folder : Path, optional
        Where an earlier, perhaps unfinished, run of the same scan is looked for and this one saved on the way.
    fresh : bool
        Do not look.
    progress : callable
        Called with points done, points in total and the setting just done (empty for the law, which is too quick to tell).
    """
    arguments.one_of("method", method, METHODS)
    quick = method == "law"
    known = {} if fresh or quick or folder is None else _known(folder / JSON, chosen, method, seed)
    rows: list[Row] = []
    saved = time.monotonic()
    total = len(chosen)
    for point in chosen.points():
        row = known.get(point)
        rows.append(row or predict_one(chosen, point, method, seed=seed, progress=lambda step, steps: None))
        if not quick or len(rows) % 1000 == 0:
            progress(len(rows), total, "" if quick else _name(chosen, point))
        if folder is not None and not quick and time.monotonic() - saved > EVERY:
            _save(folder, _head(chosen, method, seed) | {"complete": False, "rows": [_plain(r) for r in rows]})
            saved = time.monotonic()
    return rows, fits(chosen, rows, method)


def to_dict(chosen: Grid, rows: list[Row], fitted: list[Fit], method: str, seed: int = 0) -> dict[str, Any]:
    """All of a scan as plain data."""
    return _head(chosen, method, seed) | {
        "complete": True,
        "answered": sum(row.formation is not None or row.passage is not None for row in rows),
        "rows": [_plain(row) for row in rows],
        "fits": [fit._asdict() for fit in fitted],
    }


def write(folder: Path, data: dict[str, Any]) -> list[Path]:
    """Write `scan.csv` and `scan.json` of ``to_dict(…)`` into `folder`; return their paths."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*data["axes"], *TIMES, "reason"])
    for row in data["rows"]:
        times = [v for quantity in ("formation", "passage") for v in (row[quantity] or ("", "", ""))]
        table.writerow([*(f"{v:.12g}" for v in row["values"]), *times, row["reason"]])
    return [write_text(folder / CSV, text.getvalue()), _save(folder, data)]


def _save(folder: Path, data: dict[str, Any]) -> Path:
    return write_text(folder / JSON, json.dumps(data, allow_nan=False) + "\n")


def _head(chosen: Grid, method: str, seed: int) -> dict[str, Any]:
    axes = {name: list(values) for name, values in chosen.axes.items()}
    return {"base": chosen.base.to_dict(), "method": method, "seed": seed, "axes": axes}


def _plain(row: Row) -> dict[str, Any]:
    terms = None if row.terms is None else {name: list(found) for name, found in row.terms.items()}
    return row._asdict() | {"values": list(row.values), "terms": terms}


def _known(path: Path, chosen: Grid, method: str, seed: int) -> dict[tuple[float, ...], Row]:
    """The rows of an earlier run of the same base, axes' names, method and seed; none if the file is absent or is no scan."""
    try:
        data = json.loads(path.read_text())
        head = {name: data[name] for name in ("base", "method", "seed")}
        if head != {n: v for n, v in _head(chosen, method, seed).items() if n != "axes"} or list(data["axes"]) != list(
            chosen.axes
        ):
            return {}
        return {tuple(row["values"]): _row(row) for row in data["rows"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _row(data: dict[str, Any]) -> Row:
    told = {name: None if data[name] is None else tuple(data[name]) for name in ("formation", "passage")}
    terms = None if data["terms"] is None else {name: Terms(*found) for name, found in data["terms"].items()}
    return Row(tuple(data["values"]), told["formation"], told["passage"], data["reason"], terms)


def _name(chosen: Grid, point: tuple[float, ...]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in zip(chosen.axes, point, strict=True))

"""Scans: sweeps of one method of prediction over a grid, with fitted exponents; `scan.csv` and `scan.json`.

The law is evaluated where it stands, in microseconds a point. Other methods are jobs like those of any sweep: each
prediction is a file in the folder's `runs`, and the same scan resumes from them. Rows of a `scan.json` of the same
base, axes, method and seed are taken as they are.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onset.simulate.exponents import Fit, fits
from onset.simulate.predict import METHODS, predict
from onset.simulate.scan import Grid, Row, predict_one
from onset.theory import arguments
from onset.theory.laws.terms import Terms
from onset.validate.store.files import write_table, write_text

__all__ = ["CSV", "JSON", "run", "to_dict", "write"]

CSV, JSON = "scan.csv", "scan.json"

STORE = ("h5py", "h5netcdf", "xarray", "filelock")
"""Packages without which predictions cannot be kept."""

SMALL = 30.0
"""Estimated seconds of all predictions up to which they are computed in this process."""

TIMES = tuple(f"{quantity}{end}" for quantity in ("formation", "passage") for end in ("", "_low", "_high"))


def run(
    points: Grid,
    method: str = "law",
    *,
    seed: int = 0,
    folder: Path | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    watch: Callable[[Any], None] = lambda status: None,
) -> tuple[list[Row], list[Fit]]:
    """Predict every point of a grid, and fit exponents.

    Parameters
    ----------
    points : Grid
    method : str
        Of `onset.simulate.predict.METHODS`.
    seed : int
        Seed of quadrature points and sampled sequences.
    folder : Path, optional
        Folder of an earlier, perhaps unfinished, scan to resume, and of the predictions of this one (methods other than
        the law), where the packages to write files are installed.
    fresh : bool
        Compute what the folder holds again.
    progress : callable
        Called now and then with points done and in total, by the law.
    watch : callable
        Called with the `onset.validate.execution.Status` of other methods.

    Raises
    ------
    ComputationStopped
        If a prediction failed other than by a refusal.
    """
    arguments.one_of("method", method, METHODS)
    arguments.seed("seed", seed)
    known: dict[tuple[float, ...], Row] = {}
    predicted = predict
    if method != "law" and folder is not None and _can_store():
        from onset.validate.execution import compute, cost
        from onset.validate.store.jobs import Job, prediction
        from onset.validate.store.runs import Store

        known = {} if fresh else _rows_of(folder / JSON, _head(points, method, seed))
        jobs = [Job(points.setting(point), method, seed) for point in points.points() if point not in known]
        store = Store(folder / "runs")
        workers = 1 if sum(map(cost, jobs)) < SMALL else None
        compute(jobs, store, fresh=fresh, workers=workers, watch=watch).check()
        predicted = partial(prediction, store=store)
    rows = []
    for point in points.points():
        rows.append(known.get(point) or predict_one(points, point, method, seed=seed, predicted=predicted))
        if method == "law" and len(rows) % 1000 == 0:
            progress(len(rows), len(points))
    return rows, fits(points, rows, method)


def _can_store() -> bool:
    """Whether predictions can be kept in files; a warning says why not."""
    for package in STORE:
        if find_spec(package) is None:
            warnings.warn(
                f"predictions are not kept, so that an interrupted scan begins anew: {package} is not installed; "
                "pip install 'icl-onset[train]'.",
                stacklevel=3,
            )
            return False
    return True


def to_dict(points: Grid, rows: list[Row], fitted: list[Fit], method: str, seed: int = 0) -> dict[str, Any]:
    """All of a scan as plain data."""
    return _head(points, method, seed) | {
        "complete": True,
        "answered": sum(row.formation is not None or row.passage is not None for row in rows),
        "rows": [_plain(row) for row in rows],
        "fits": [fit._asdict() for fit in fitted],
    }


def write(folder: Path, data: dict[str, Any]) -> list[Path]:
    """Write `scan.csv` and `scan.json` of ``to_dict(…)`` into `folder`; return their paths."""
    lines = [
        [
            *(f"{value:.12g}" for value in row["values"]),
            *(row["formation"] or ("",) * 3),
            *(row["passage"] or ("",) * 3),
            row["reason"],
        ]
        for row in data["rows"]
    ]
    return [
        write_table(folder / CSV, [*data["axes"], *TIMES, "reason"], lines),
        write_text(folder / JSON, json.dumps(data, allow_nan=False) + "\n"),
    ]


def _head(points: Grid, method: str, seed: int) -> dict[str, Any]:
    axes = {name: list(values) for name, values in points.axes.items()}
    return {"base": points.base.to_dict(), "method": method, "seed": seed, "axes": axes}


def _plain(row: Row) -> dict[str, Any]:
    terms = None if row.terms is None else {name: list(values) for name, values in row.terms.items()}
    return row._asdict() | {"values": list(row.values), "terms": terms}


def _rows_of(path: Path, head: dict[str, Any]) -> dict[tuple[float, ...], Row]:
    """Rows of an earlier scan of the same base, names of axes, method and seed; none if the file is no such scan."""
    try:
        data = json.loads(path.read_text())
        if any(data[name] != head[name] for name in ("base", "method", "seed")) or [*data["axes"]] != [*head["axes"]]:
            return {}
        return {tuple(row["values"]): _row(row) for row in data["rows"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _row(data: dict[str, Any]) -> Row:
    formation, passage = (None if data[name] is None else tuple(data[name]) for name in ("formation", "passage"))
    terms = None if data["terms"] is None else {name: Terms(*values) for name, values in data["terms"].items()}
    return Row(tuple(data["values"]), formation, passage, data["reason"], terms)

"""Runs of a folder for other tools: a table of their numbers, or all their curves in one dataset. Written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from onset.theory import arguments
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.store.files import replacing_or_told, write_text
from onset.validate.store.listing import NAMES, Listed
from onset.validate.store.runs import to_dataset

__all__ = ["ENDINGS", "export", "row", "to_csv", "write_dataset"]

ENDINGS = (".csv", ".nc")

CHUNK = 64
"""Records, lags and so on that are stored together."""


def export(runs: Sequence[Listed], file: Path, level: float = FORMATION_LEVEL) -> Path:
    """Write `runs` to `file`: a table if it ends in `.csv`, one dataset if in `.nc`.

    Raises
    ------
    ValueError
        If it ends otherwise, its folder cannot be written to, or `.nc` is asked of runs without curves.
    """
    if arguments.one_of("export file's ending", file.suffix, ENDINGS) == ".csv":
        return write_text(file, to_csv(runs, level))
    return write_dataset(runs, file)


def row(run: Listed, level: float = FORMATION_LEVEL) -> dict[str, Any]:
    """A run's numbers side by side: what it was made from by the command line's names, then how it went, in optimiser steps and nats per token."""
    told = run.to_dict(level)
    found = {name: told.get(name) for name in ("file", "label")}
    found |= {name: run.facts.get(name) for name in NAMES}
    found |= {"last_step": told.get("steps")}
    found |= {f"to_{one['target']}": one["step"] for one in told.get("passages", ())}
    found |= {f"formation_lag_{lag}": one["step"] for lag, one in enumerate(told.get("formations", ()), 1)}
    found |= {name: told.get(name) for name in ("final_loss", "diverged", "seconds", "started")}
    found |= {f"version_{name}": version for name, version in (told.get("versions") or {}).items()}
    return found | {"outcome": told.get("outcome"), "problem": told.get("problem")}


def to_csv(runs: Sequence[Listed], level: float = FORMATION_LEVEL) -> str:
    """One line per run; several values of one entry are joined by spaces, what a run lacks is empty."""
    rows = [row(run, level) for run in runs]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for one in rows for name in one)), lineterminator="\n")
    table.writeheader()
    for one in rows:
        table.writerow({n: " ".join(map(str, v)) if isinstance(v, tuple) else v for n, v in one.items()})
    return text.getvalue()


def write_dataset(runs: Sequence[Listed], file: Path) -> Path:
    """Write all curves of `runs` as one NetCDF dataset.

    Dimensions: `run`, one per curve (a prediction may have several, told apart by `replicate`); `record`, whose optimiser steps
    are `step` (run, record); `strategy`, `head`, `lag` and those of the probes. Where a run has fewer, NaN stands, which takes no
    room in the file. `setting` (run) is the setting as JSON; what it says in single values also has coordinates of its own. Order
    parameters, which differ from setting to setting, stay in the run files.

    Raises
    ------
    ValueError
        If no run has curves.
    """
    curves = [(run, n) for run in runs if run.record is not None for n in range(len(run.record.trajectories))]
    if not curves:
        raise ValueError(f"export of {len(runs)} runs: expected one that has curves; export these as .csv.")
    layout = _Layout()
    for run, n in curves:
        layout.add(_curve(run, n))
    told = [_told(run) | {"replicate": n} for run, n in curves]
    with replacing_or_told(file) as temporary, h5netcdf.File(temporary, "w") as tree:
        layout.create(tree, len(curves))
        for at, (run, n) in enumerate(curves):
            layout.place(at, _curve(run, n))
        columns = {
            name: [one.get(name) for one in told] for name in dict.fromkeys(name for one in told for name in one)
        }
        for name, values in columns.items():
            _write(tree, name.replace("-", "_"), "run", values)
        tree["seconds"].attrs["units"] = "s"
        tree.attrs["coordinates"] = " ".join(name.replace("-", "_") for name in columns)
        tree.attrs["description"] = "Runs of Onset: times in optimiser steps, losses and distances in nats per token."
    return file


class _Layout:
    """Dimensions that hold every curve: by their labels where these are names, else by the longest; and the variables."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.sizes: dict[str, int] = {}
        self.variables: dict[str, xr.DataArray] = {}
        self.made: dict[str, Any] = {}

    def add(self, curve: xr.Dataset) -> None:
        for dim, size in curve.sizes.items():
            if str(dim) in curve.coords and curve[dim].dtype == object:
                known = self.names.setdefault(str(dim), [])
                known += [name for name in curve[dim].values if name not in known]
            else:
                self.sizes[str(dim)] = max(size, self.sizes.get(str(dim), 0))
        self.variables = {str(name): one for name, one in curve.data_vars.items()} | self.variables

    def create(self, tree: h5netcdf.File, runs: int) -> None:
        sizes = {"run": runs} | self.sizes | {dim: len(names) for dim, names in self.names.items()}
        tree.dimensions = {dim: size for dim, size in sizes.items() if size}
        for dim in tree.dimensions:
            if dim not in ("run", "record"):
                first = 0 if dim == "lag" else 1
                _write(tree, dim, dim, self.names.get(dim) or list(range(first, first + sizes[dim])))
        for name, one in self.variables.items():
            dims = ("run", *map(str, one.dims))
            if not all(map(sizes.get, dims)):
                continue
            chunks = tuple(1 if dim == "run" else min(CHUNK, sizes[dim]) for dim in dims)
            made = tree.create_variable(
                name, dims, float, fillvalue=np.nan, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True
            )
            made.attrs.update(one.attrs)
            self.made[name] = made

    def place(self, at: int, curve: xr.Dataset) -> None:
        for name, one in curve.data_vars.items():
            if one.size:
                whole = one.reindex({dim: self.names[str(dim)] for dim in one.dims if dim in self.names})
                self.made[str(name)][(at, *(slice(size) for size in whole.shape))] = whole.values


def _write(tree: h5netcdf.File, name: str, dim: str, values: Sequence[Any]) -> None:
    """A column of numbers with NaN, or of texts with "", where there is none."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        tree.create_variable(name, (dim,), data=np.array([np.nan if value is None else value for value in values]))
    else:
        texts = ["" if value is None else str(value) for value in values]
        tree.create_variable(name, (dim,), h5py.string_dtype(), data=np.array(texts, dtype=object))


def _curve(run: Listed, n: int) -> xr.Dataset:
    assert run.record is not None
    data = to_dataset(run.record.trajectories[n], run.record.setting).drop_dims("parameter_name")
    steps = data["step"]
    data = data.drop_vars("step").rename(step="record")
    return data.assign(step=("record", steps.values, steps.attrs))


def _told(run: Listed) -> dict[str, Any]:
    """What has one value for a run."""
    told = {name: value for name, value in run.to_dict().items() if name in ("file", "label", "seconds", "started")}
    told["setting"] = json.dumps(run.record.setting.to_dict() if run.record else None)
    return told | {name: value for name, value in run.facts.items() if not isinstance(value, tuple)}

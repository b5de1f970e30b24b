"""Export of runs: a table of their numbers as CSV, or all their curves as one NetCDF dataset; written atomically."""

from __future__ import annotations

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
from onset.validate.store.files import replacing_or_refused, write_table
from onset.validate.store.listing import NAMES, ListedRun
from onset.validate.store.runs import to_dataset

__all__ = ["ENDINGS", "export", "row", "write_dataset"]

ENDINGS = (".csv", ".nc")

CHUNK = 64
"""Records, lags and so on that are stored together."""


def export(runs: Sequence[ListedRun], file: Path, level: float = FORMATION_LEVEL) -> Path:
    """Write `runs` to `file`: a table with a line for each run if it ends in `.csv`, one dataset if in `.nc`.

    Raises
    ------
    ValueError
        If it ends otherwise, its folder cannot be written to, or `.nc` is asked of runs without curves.
    """
    if arguments.one_of("export file's ending", file.suffix, ENDINGS) == ".csv":
        rows = [row(run, level) for run in runs]
        names = list(dict.fromkeys(name for values in rows for name in values))
        return write_table(file, names, [[values.get(name) for name in names] for values in rows])
    return write_dataset(runs, file)


def row(run: ListedRun, level: float = FORMATION_LEVEL) -> dict[str, Any]:
    """A run's facts and numbers, in optimiser steps and nats per token; values of a fact are joined by spaces."""
    data = run.to_dict(level)
    values = {name: data.get(name) for name in ("file", "label")}
    facts = dict.fromkeys(NAMES) | run.facts
    values |= {name: " ".join(map(str, fact)) if isinstance(fact, tuple) else fact for name, fact in facts.items()}
    values |= {"last_step": data.get("steps")}
    values |= {f"to_{t['target']}": t["step"] for t in data.get("passages", ())}
    values |= {f"formation_lag_{lag}": t["step"] for lag, t in enumerate(data.get("formations", ()), 1)}
    values |= {name: data.get(name) for name in ("final_loss", "diverged", "seconds", "started")}
    values |= {f"version_{name}": version for name, version in (data.get("versions") or {}).items()}
    return values | {"outcome": data.get("outcome"), "problem": data.get("problem")}


def write_dataset(runs: Sequence[ListedRun], file: Path) -> Path:
    """Write all curves of `runs` as one NetCDF dataset.

    Dimensions: `run`, one per curve (a prediction may have several, told apart by `replicate`); `record`, at the
    optimiser steps `step` (run, record); `strategy`, `head`, `lag` and those of the probes. Shorter runs are filled
    with NaN, which takes no room in the file. `setting` (run) is the setting as JSON; its single values also have
    coordinates of their own. Order parameters, which differ from setting to setting, stay in the run files.

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
    facts = [_facts(run) | {"replicate": n} for run, n in curves]
    names = list(dict.fromkeys(name for values in facts for name in values))
    with replacing_or_refused(file) as temporary, h5netcdf.File(temporary, "w") as tree:
        layout.create(tree, len(curves))
        for place, (run, n) in enumerate(curves):
            layout.write(place, _curve(run, n))
        for name in names:
            _write_column(tree, name, "run", [values.get(name) for values in facts])
        tree["seconds"].attrs["units"] = "s"
        tree.attrs["coordinates"] = " ".join(names)
        tree.attrs["description"] = "Runs of Onset: times in optimiser steps, losses and distances in nats per token."
    return file


class _Layout:
    """Dimensions and variables that hold every curve: all labels where these are names, else the largest size."""

    def __init__(self) -> None:
        self.labels: dict[str, list[str]] = {}
        self.sizes: dict[str, int] = {}
        self.variables: dict[str, xr.DataArray] = {}
        self.written: dict[str, Any] = {}

    def add(self, curve: xr.Dataset) -> None:
        for dim in map(str, curve.sizes):
            if dim in curve.coords and curve[dim].dtype == object:
                self.labels[dim] = list(dict.fromkeys([*self.labels.get(dim, ()), *curve[dim].values]))
            self.sizes[dim] = max(curve.sizes[dim], self.sizes.get(dim, 0), len(self.labels.get(dim, ())))
        self.variables = {str(name): variable for name, variable in curve.data_vars.items()} | self.variables

    def create(self, tree: h5netcdf.File, runs: int) -> None:
        sizes = {"run": runs} | self.sizes
        tree.dimensions = {dim: size for dim, size in sizes.items() if size}
        for dim in tree.dimensions:
            if dim not in ("run", "record"):
                first = 0 if dim == "lag" else 1
                _write_column(tree, dim, dim, self.labels.get(dim) or list(range(first, first + sizes[dim])))
        for name, variable in self.variables.items():
            dims = ("run", *map(str, variable.dims))
            if all(map(sizes.get, dims)):
                chunks = tuple(1 if dim == "run" else min(CHUNK, sizes[dim]) for dim in dims)
                storage = {"chunks": chunks, "compression": "gzip", "compression_opts": 1, "shuffle": True}
                self.written[name] = tree.create_variable(name, dims, float, fillvalue=np.nan, **storage)
                self.written[name].attrs.update(variable.attrs)

    def write(self, place: int, curve: xr.Dataset) -> None:
        for name, variable in curve.data_vars.items():
            if variable.size:
                values = variable.reindex(
                    {dim: self.labels[str(dim)] for dim in variable.dims if dim in self.labels}
                ).values
                self.written[str(name)][(place, *map(slice, values.shape))] = values


def _write_column(tree: h5netcdf.File, name: str, dim: str, values: Sequence[Any]) -> None:
    """A column of numbers with NaN for missing ones, or of texts with "" for missing ones."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        tree.create_variable(name, (dim,), data=np.array([np.nan if value is None else value for value in values]))
    else:
        texts = ["" if value is None else str(value) for value in values]
        tree.create_variable(name, (dim,), h5py.string_dtype(), data=np.array(texts, dtype=object))


def _curve(run: ListedRun, n: int) -> xr.Dataset:
    """A trajectory whose records are numbered, with the steps as a variable."""
    assert run.record is not None
    data = to_dataset(run.record.trajectories[n], run.record.setting).drop_dims("parameter_name")
    steps = data["step"]
    return data.drop_vars("step").rename(step="record").assign(step=("record", steps.values, steps.attrs))


def _facts(run: ListedRun) -> dict[str, Any]:
    """Facts with one value."""
    values = {name: value for name, value in run.to_dict().items() if name in ("file", "label", "seconds", "started")}
    values["setting"] = json.dumps(run.record.setting.to_dict() if run.record else None)
    return values | {n.replace("-", "_"): value for n, value in run.facts.items() if not isinstance(value, tuple)}

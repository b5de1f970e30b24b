"""A store of runs: one NetCDF file for each trained model or prediction, written atomically.

A file holds one group per trajectory, with named dimensions (step, strategy, lag, parameter), and the setting as JSON;
within a trained transformer's group stands one with its weights.
Behind the NetCDF data, where readers do not look, stands their SHA-256. It is checked before the file is opened,
because HDF5 may hang on a damaged file; HDF5's own checksums cover neither attributes nor metadata. A damaged file is
set aside as `….corrupt` and computed again. An intact file of a newer release is refused and left in place. A killed
process leaves at most a hidden temporary file.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.store import measurements
from onset.validate.store.files import replacing, set_aside, writable_folder
from onset.validate.store.measurements import Measurement
from onset.validate.store.probes import PROBES
from onset.validate.store.provenance import RELEASE

__all__ = ["FAILURE", "Damaged", "Record", "Store", "UnreadableRun", "read", "to_dataset"]

FORMAT = 3
"""Format of new files."""

READABLE = (1, 2, FORMAT)
"""Formats that are read; the first has no heads, the first two have no probes."""

FAILURE = ".failed.json"
"""Ending of the note on a run that failed (`onset.validate.execution.failures`)."""

WEIGHTS = "weights"
"""Group of a trained transformer's weights."""

SEAL = b"\nsha256 "
"""Mark in front of the checksum."""

LARGEST_CACHE = 2**30
"""Bytes of run files that a store keeps in memory; files are not compressed."""


class UnreadableRun(UserWarning):
    """A run file was truncated, corrupt or foreign, and has been set aside."""


class Damaged(ValueError):
    """A file that no release wrote as it is: truncated, altered, of another tool or of another run."""


@dataclass(frozen=True)
class Record:
    """Content of a run file: the setting, its trajectories, and `notes`, plain data as JSON can hold it."""

    setting: Setting
    trajectories: tuple[Trajectory, ...]
    notes: dict[str, Any]


class Store:
    """Run files in `folder`. Loaded records stay in memory, up to `LARGEST_CACHE`, and are used while their files are
    unchanged.

    Raises
    ------
    ValueError
        If the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = writable_folder(folder)
        self._loaded: dict[str, tuple[tuple[int, int, int], Record]] = {}

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.nc"

    def __contains__(self, job: Any) -> bool:
        """Whether there is a file for a job, readable or not."""
        return self.holds(job.name)

    def holds(self, name: str) -> bool:
        """Whether there is a file of this name, readable or not."""
        return self.path(name).exists() or self._measured(name).exists()

    def _measured(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def save(self, name: str, record: Record | Measurement) -> Path:
        """Write `record` and forget an earlier failure; after a crash the file is either complete or absent."""
        if isinstance(record, Measurement):
            measurements.write(self._measured(name), record)
            (self.folder / f"{name}{FAILURE}").unlink(missing_ok=True)
            return self._measured(name)
        header = {
            "format": FORMAT,
            "release": RELEASE,
            "run": name,
            "setting": json.dumps(record.setting.to_dict()),
            "notes": json.dumps(record.notes),
        }
        groups = {"/": xr.Dataset(attrs=header)}
        for n, curve in enumerate(record.trajectories):
            groups[f"/trajectory_{n}"] = to_dataset(curve, record.setting)
            if curve.weights:
                groups[f"/trajectory_{n}/{WEIGHTS}"] = _weights(curve)
        tree = xr.DataTree.from_dict(groups)
        with replacing(self.path(name)) as temporary:
            tree.to_netcdf(temporary, engine="h5netcdf")
            with temporary.open("r+b") as written:
                written.write(_seal(written.read()))
        (self.folder / f"{name}{FAILURE}").unlink(missing_ok=True)
        return self.path(name)

    def load(self, name: str) -> Record | None:
        """The record called `name`, or None if there is none; a damaged file is set aside with a warning that names it.

        Raises
        ------
        ValueError
            If the file is intact, but cannot be opened, or not be read by this release.
        """
        path = self.path(name)
        try:
            state = path.stat()
            version = state.st_mtime_ns, state.st_size, state.st_ino
            if (known := self._loaded.get(name)) is not None and known[0] == version:
                return known[1]
            record = read(path)
        except FileNotFoundError:
            return None
        except Damaged as problem:
            aside = set_aside(path)
            warnings.warn(
                f"run file {path} cannot be read ({problem}); set aside as {aside.name} and computed again",
                UnreadableRun,
                stacklevel=2,
            )
            return None
        if sum(size for (_, size, _), _ in self._loaded.values()) + state.st_size <= LARGEST_CACHE:
            self._loaded[name] = version, record
        return record

    def measurement(self, name: str) -> Measurement | None:
        """What was measured of a model or a run, or None; an unreadable file is set aside with a warning."""
        path = self._measured(name)
        if not path.exists():
            return None
        try:
            return measurements.read(path)
        except ValueError as problem:
            aside = set_aside(path)
            warnings.warn(f"{problem} Set aside as {aside.name} and measured again.", UnreadableRun, stacklevel=2)
            return None


def to_dataset(trajectory: Trajectory, setting: Setting) -> xr.Dataset:
    """A trajectory with named dimensions, labels and units."""
    n, nats = len(trajectory.steps), {"units": "nats per token"}
    data = xr.Dataset(
        {
            "loss": ("step", trajectory.loss, nats),
            "distance": (("strategy", "step"), np.array(list(trajectory.distances.values())), nats),
            "attention": (("step", "head", "lag"), trajectory.attention),
            "parameter": (("parameter_name", "step"), np.array(list(trajectory.parameters.values())).reshape(-1, n)),
            "excess": (
                ("baseline", "step", "value"),
                np.array(list(trajectory.excess.values())).reshape(-1, n, 2),
                nats,
            ),
        },
        coords={
            "step": ("step", trajectory.steps, {"units": "optimiser steps"}),
            "strategy": np.array(list(trajectory.distances), dtype=object),
            "parameter_name": np.array(list(trajectory.parameters), dtype=object),
            "baseline": np.array(list(trajectory.excess), dtype=object),
            "value": np.array(["mean", "standard_error"], dtype=object),
        },
        attrs={"diverged": -1 if trajectory.diverged is None else trajectory.diverged},
    )
    for name, values in trajectory.probes.items():
        probe = PROBES[name]
        dims = ("step", *(dimension.name for dimension in probe.dimensions))
        data[name] = dims, values, {"units": probe.unit, "long_name": probe.meaning}
        data.coords.update({dimension.name: list(dimension.labels(setting)) for dimension in probe.dimensions})
    return data


def _weights(trajectory: Trajectory) -> xr.Dataset:
    """Weights by name, each with dimensions of its own."""
    return xr.Dataset(
        {
            name: (tuple(f"{name} {axis}" for axis in range(values.ndim)), values)
            for name, values in trajectory.weights.items()
        }
    )


def _seal(data: bytes) -> bytes:
    return SEAL + hashlib.sha256(data).hexdigest().encode()


def read(path: Path) -> Record:
    """Content of the run file at `path`, which is left as it is.

    Raises
    ------
    FileNotFoundError
    Damaged
        If the file is not as a release wrote it.
    ValueError
        If it cannot be opened, or was written by a newer release.
    """
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise ValueError(
            f"run file {path} cannot be opened ({problem.strerror}): expected a file that may be read; "
            "mend its permissions or move it away."
        ) from problem
    data, seal, _ = sealed.rpartition(SEAL)
    if not seal:
        raise Damaged("no checksum at its end: truncated, or not a run file" if sealed else "it is empty")
    if data + _seal(data) != sealed:
        raise Damaged("its checksum does not match its content")
    release = "of unknown version"
    try:
        # A suite reads hundreds of files: h5py takes a fifth of h5netcdf's time, and xarray takes three times that.
        with h5py.File(io.BytesIO(data), "r") as tree:
            release = str(tree.attrs.get("release", release))
            if (run := str(tree.attrs.get("run", path.stem))) != path.stem:
                raise Damaged(f"it is the file of another run, {run}")
            return _record(tree)
    except Damaged:
        raise
    except (KeyError, OSError, TypeError, ValueError) as problem:
        raise ValueError(
            f"run file {path} was written by Onset {release} and cannot be read by this one, {RELEASE} ({problem}): "
            "expected a run of this release or an older one; use the one that wrote it, or another folder."
        ) from problem


def _record(tree: h5py.File) -> Record:
    if (form := _number(tree.attrs["format"])) not in READABLE:
        raise ValueError(f"format {form}, known are {', '.join(map(str, READABLE))}")
    setting = Setting.from_dict(json.loads(str(tree.attrs["setting"])))
    groups = sorted(map(str, tree), key=lambda name: int(name.rpartition("_")[2]))
    trajectories = tuple(_trajectory(tree[name], setting.task.lags) for name in groups)
    return Record(setting, trajectories, json.loads(str(tree.attrs["notes"])))


def _trajectory(group: Any, lags: tuple[int, ...]) -> Trajectory:
    diverged = _number(group.attrs["diverged"])

    def by_name(variable: str, dimension: str) -> dict[str, np.ndarray]:
        if not group[dimension].size:  # an empty list has no type of its own
            return {}
        return dict(zip(group[dimension].asstr()[:], group[variable][:], strict=True))

    steps, attention = group["step"][:], group["attention"][:]
    return Trajectory(
        steps=steps,
        loss=group["loss"][:],
        distances=by_name("distance", "strategy"),
        attention=attention.reshape(len(steps), -1, attention.shape[-1]),
        parameters=by_name("parameter", "parameter_name"),
        excess=by_name("excess", "baseline"),
        probes={name: group[name][:] for name in PROBES if name in group},
        diverged=None if diverged < 0 else diverged,
        lags=lags,
        weights=_weights_of(group[WEIGHTS]) if WEIGHTS in group else {},
    )


def _weights_of(group: Any) -> dict[str, np.ndarray]:
    """Weights by name, without the dimensions, which stand beside them."""
    return {name: values[:] for name, values in group.items() if "DIMENSION_LIST" in values.attrs}


def _number(attribute: Any) -> int:
    """NetCDF stores an attribute of one number as an array of length one."""
    return int(np.ravel(attribute)[0])

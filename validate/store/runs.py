"""A store of runs: one NetCDF file per finished run or prediction, written atomically.

A file holds one group per trajectory with named dimensions (step, strategy, lag, parameter) and the setting as JSON. Behind
the NetCDF data, where readers do not look, stands a SHA-256 of it, checked before the file is opened: a damaged file can
make a reader hang. A file without its seal, which no release wrote as it stands, is named, set aside as `….corrupt` and computed
again. A whole file that this release cannot read, since a newer one wrote it, is refused and stays where it is. A killed process
leaves at most a hidden temporary file.
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
from onset.validate.store.files import replacing, set_aside, writable_folder
from onset.validate.store.probes import PROBES, labels
from onset.validate.store.provenance import RELEASE

__all__ = ["FAILURE", "Damaged", "Record", "Store", "UnreadableRun", "read", "to_dataset"]

FORMAT = 3
READ = (1, 2, FORMAT)
"""Formats that are read; the first knew no heads, the second no probes."""
FAILURE = ".failed.json"
"""What stands in a run's place, with its reason, while it fails; see `onset.validate.execution.failures`."""
SEAL = b"\nsha256 "


class UnreadableRun(UserWarning):
    """A run file was truncated, corrupt or foreign, and has been set aside."""


class Damaged(ValueError):
    """No release wrote this file as it stands: it is truncated, altered, of another tool or of another run."""


@dataclass(frozen=True)
class Record:
    """What a run file holds: the setting, one or more trajectories, and `notes`, plain data as JSON can hold it."""

    setting: Setting
    trajectories: tuple[Trajectory, ...]
    notes: dict[str, Any]


class Store:
    """Run files below `folder`.

    Raises
    ------
    ValueError
        If the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = writable_folder(folder)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.nc"

    def __contains__(self, job: Any) -> bool:
        """Whether there is a file for what has this `name`, readable or not."""
        return self.path(job.name).exists()

    def save(self, name: str, record: Record) -> Path:
        """Write `record`; after a crash the file is either whole or absent."""
        groups = {f"/trajectory_{i}": to_dataset(one, record.setting) for i, one in enumerate(record.trajectories)}
        whole = {"format": FORMAT, "release": RELEASE, "run": name}
        head = whole | {"setting": json.dumps(record.setting.to_dict()), "notes": json.dumps(record.notes)}
        tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=head), **groups})
        with replacing(self.path(name)) as temporary:
            tree.to_netcdf(temporary, engine="h5netcdf")
            with temporary.open("r+b") as written:
                written.write(_seal(written.read()))
        return self.path(name)

    def load(self, name: str) -> Record | None:
        """The record called `name`, or None if there is none; a damaged file is set aside with a warning that names it.

        Raises
        ------
        ValueError
            If the file is whole, but cannot be opened, or not be read by this release.
        """
        path = self.path(name)
        try:
            return read(path)
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


def to_dataset(one: Trajectory, setting: Setting) -> xr.Dataset:
    """A trajectory with named dimensions, labels and units."""
    data = xr.Dataset(
        {
            "loss": ("step", one.loss),
            "distance": (("strategy", "step"), np.array(list(one.distances.values()))),
            "attention": (("step", "head", "lag"), one.attention),
            "parameter": (
                ("parameter_name", "step"),
                np.array(list(one.parameters.values())).reshape(len(one.parameters), len(one.steps)),
            ),
            "excess": (
                ("baseline", "step", "value"),
                np.array(list(one.excess.values())).reshape(len(one.excess), len(one.steps), 2),
            ),
        },
        coords={
            "step": one.steps,
            "strategy": np.array(list(one.distances), dtype=object),
            "parameter_name": np.array(list(one.parameters), dtype=object),
            "baseline": np.array(list(one.excess), dtype=object),
            "value": np.array(["mean", "standard_error"], dtype=object),
        },
        attrs={"diverged": -1 if one.diverged is None else one.diverged},
    )
    data["loss"].attrs["units"] = data["distance"].attrs["units"] = data["excess"].attrs["units"] = "nats per token"
    data["step"].attrs["units"] = "optimiser steps"
    for name, values in one.probes.items():
        probe = PROBES[name]
        data[name] = ("step", *probe.dims), values, {"units": probe.unit, "long_name": probe.meaning}
        data.coords.update({dim: labels(setting, dim) for dim in probe.dims})
    return data


def _seal(data: bytes) -> bytes:
    return SEAL + hashlib.sha256(data).hexdigest().encode()


def read(path: Path) -> Record:
    """What the run file at `path` holds; the file is left as it is.

    Raises
    ------
    FileNotFoundError
    Damaged
        If the file is not as a release wrote it.
    ValueError
        If it cannot be opened, or is of a release that writes what this one cannot read.
    """
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise ValueError(
            f"run file {path} cannot be opened ({problem.strerror}): expected a file that may be read; mend its permissions or move it away."
        ) from problem
    data, found, _ = whole.rpartition(SEAL)
    if not found:
        raise Damaged("no checksum at its end: truncated, or not a run file" if whole else "it is empty")
    if data + _seal(data) != whole:
        raise Damaged("its checksum does not match its content")
    release = "of unknown version"
    try:
        # By h5py: a suite reads hundreds of files, and xarray takes a hundred times as long to open one.
        with h5py.File(io.BytesIO(data), "r") as tree:
            release = str(tree.attrs.get("release", release))
            if (run := str(tree.attrs.get("run", path.stem))) != path.stem:
                raise Damaged(f"it is the file of another run, {run}")
            return _record(tree)
    except Damaged:
        raise
    except (KeyError, OSError, TypeError, ValueError) as problem:
        raise ValueError(
            f"run file {path} was written by Onset {release} and cannot be read by this one, {RELEASE} ({problem}): expected a run of this release or an older one; use the one that wrote it, or another folder."
        ) from problem


def _record(tree: h5py.File) -> Record:
    if _number(tree.attrs["format"]) not in READ:
        raise ValueError(f"format {_number(tree.attrs['format'])}, known are {', '.join(map(str, READ))}")
    setting = Setting.from_dict(json.loads(str(tree.attrs["setting"])))
    notes = json.loads(str(tree.attrs["notes"]))
    groups = sorted(map(str, tree), key=lambda name: int(name.rpartition("_")[2]))
    return Record(setting, tuple(_trajectory(tree[name], setting.task.lags) for name in groups), notes)


def _trajectory(group: Any, lags: tuple[int, ...]) -> Trajectory:
    diverged = _number(group.attrs["diverged"])

    def named(variable: str, dimension: str) -> dict[str, np.ndarray]:
        if not group[dimension].size:  # an empty list has no type of its own
            return {}
        return dict(zip(group[dimension].asstr()[:], group[variable][:], strict=True))

    steps, attention = group["step"][:], group["attention"][:]
    return Trajectory(
        steps=steps,
        loss=group["loss"][:],
        distances=named("distance", "strategy"),
        attention=attention.reshape(len(steps), -1, attention.shape[-1]),
        parameters=named("parameter", "parameter_name"),
        excess=named("excess", "baseline"),
        probes={name: group[name][:] for name in PROBES if name in group},
        diverged=None if diverged < 0 else diverged,
        lags=lags,
    )


def _number(attribute: Any) -> int:
    """NetCDF has attributes of one number only as arrays of one."""
    return int(np.ravel(attribute)[0])

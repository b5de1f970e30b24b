"""onset.validate.store.runs: a run is read back as written; a damaged file is named, set aside and computed again."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import h5py
import xarray as xr

import onset.validate.store.runs
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.execution import compute
from onset.validate.store.jobs import TRAIN, Job
from onset.validate.store.runs import Record, Store, UnreadableRun

STEPS = np.array([0.0, 5.0, 10.0])
FULL = Trajectory(
    steps=STEPS,
    loss=STEPS + 0.1,
    distances={"uniform": STEPS, "unigram": STEPS + 1, "bigram": STEPS + 2},
    attention=np.arange(12.0).reshape(3, 1, 4),
    parameters={"match.diagonal": STEPS * 2},
    excess={"unigram": np.ones((3, 2))},
    diverged=12,
)
BARE = Trajectory(steps=STEPS, loss=STEPS, distances={"uniform": STEPS}, attention=np.ones((3, 2, 2)))
RECORD = Record(Setting.of("softmax", states=3), (FULL, BARE), {"seed": 3, "plateaus": {"unigram": [0.5, 1e-3]}})


def same(a: Trajectory, b: Trajectory) -> bool:
    named = all(
        list(x) == list(y) and all(np.array_equal(x[key], y[key]) for key in x)
        for x, y in ((a.distances, b.distances), (a.parameters, b.parameters), (a.excess, b.excess))
    )
    plain = all(np.array_equal(x, y) for x, y in ((a.steps, b.steps), (a.loss, b.loss), (a.attention, b.attention)))
    return named and plain and a.diverged == b.diverged


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    """Setting, notes and every number of every trajectory, exactly."""
    store = Store(tmp_path)
    store.save("one", RECORD)
    loaded = store.load("one")
    assert loaded is not None
    assert (loaded.setting, loaded.notes) == (RECORD.setting, RECORD.notes)
    assert [same(a, b) for a, b in zip(loaded.trajectories, RECORD.trajectories, strict=True)] == [True, True]


def test_a_loaded_record_is_kept_until_its_file_changes(tmp_path, monkeypatch):
    """Loading again opens no file, unless the run was written again or the memory of the store is full."""
    store = Store(tmp_path)
    store.save("one", RECORD)
    first = store.load("one")
    assert store.load("one") is first
    store.save("one", replace(RECORD, notes={"seed": 4}))
    again = store.load("one")
    assert again is not None
    assert again.notes == {"seed": 4}
    monkeypatch.setattr(onset.validate.store.runs, "LARGEST_CACHE", 0)
    store.save("two", RECORD)
    assert store.load("two") is not store.load("two")
    assert store.load("one") is again


def test_other_tools_can_read_a_run(tmp_path):
    """A run is NetCDF with named dimensions and units; the seal behind it disturbs no reader."""
    with xr.open_dataset(Store(tmp_path).save("one", RECORD), group="trajectory_0", engine="h5netcdf") as data:
        assert data["distance"].dims == ("strategy", "step")
        assert data["loss"].attrs["units"] == "nats per token"


def other_netcdf() -> bytes:
    """What another tool would write."""
    return bytes(xr.Dataset({"temperature": ("x", [1.0, 2.0])}).to_netcdf(engine="h5netcdf"))


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"not a run at all",
    "another NetCDF": lambda content: other_netcdf(),
    "one bit flipped": lambda content: content[:4000] + bytes([content[4000] ^ 1]) + content[4001:],
    "seal cut short": lambda content: content[:-1],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_and_set_aside(tmp_path, damage):
    """The warning names the file, the file is kept under another name, and the store no longer holds the run."""
    store = Store(tmp_path)
    path = store.save("one", RECORD)
    spoilt = DAMAGE[damage](path.read_bytes())
    path.write_bytes(spoilt)
    with pytest.warns(UnreadableRun, match=f"{path.name} cannot be read .*set aside as one.nc.corrupt"):
        assert store.load("one") is None
    assert not path.exists()
    assert (tmp_path / "one.nc.corrupt").read_bytes() == spoilt
    assert store.load("one") is None


def test_what_was_set_aside_is_not_overwritten(tmp_path):
    """Each damaged file of a name gets a name of its own."""
    store = Store(tmp_path)
    for text in ("first", "second", "third"):
        store.path("one").write_text(text)
        with pytest.warns(UnreadableRun):
            store.load("one")
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"one.nc.corrupt": "first", "one.nc.corrupt-2": "second", "one.nc.corrupt-3": "third"}


def test_the_file_of_another_run_is_not_taken_for_this_one(tmp_path):
    """A run copied to another run's name is whole, but not that run."""
    store = Store(tmp_path)
    store.path("two").write_bytes(store.save("one", RECORD).read_bytes())
    with pytest.warns(UnreadableRun, match="two.nc.*it is the file of another run, one"):
        assert store.load("two") is None
    assert store.load("one") is not None


def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "one", **changed: object) -> Store:
    """A store whose run `name` was written by a release to come."""
    store = Store(tmp_path)
    with monkeypatch.context() as future:
        for what, value in ({"RELEASE": "9.1"} | changed).items():
            future.setattr(onset.validate.store.runs, what, value)
        store.save(name, RECORD)
    return store


def test_a_run_of_a_newer_release_is_refused_and_left_where_it_is(tmp_path, monkeypatch):
    """Neither misread nor moved: the message names the file, the release that wrote it, and what to do."""
    store = newer(tmp_path, monkeypatch, FORMAT=99)
    before = store.path("one").read_bytes()
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"one\.nc was written by Onset 9\.1 .*format 99.*use the one that wrote it"
        ):
            store.load("one")
    assert [path.name for path in tmp_path.iterdir()] == ["one.nc"]
    assert store.path("one").read_bytes() == before


def test_a_setting_of_a_newer_release_is_refused_too(tmp_path, monkeypatch):
    """The format is known, but the setting has an entry that this release does not know."""
    entries = RECORD.setting.to_dict() | {"curriculum": "easy first"}
    monkeypatch.setattr(Setting, "to_dict", lambda self: entries)
    store = newer(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"one\.nc was written by Onset 9\.1 .*no entry 'curriculum'"):
        store.load("one")
    assert store.path("one").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_nothing_is_computed_over_a_run_of_a_newer_release(tmp_path, monkeypatch, fresh):
    """Before anything is trained, and also when everything is to be computed again."""
    job = Job(Setting.of(context=16, steps=5), TRAIN)
    store = newer(tmp_path, monkeypatch, job.name, FORMAT=99)
    with pytest.raises(ValueError, match=f"{job.name}.nc was written by Onset 9.1"):
        compute([Job(job.setting, TRAIN, 1), job], store, workers=1, fresh=fresh)
    assert [path.name for path in tmp_path.iterdir()] == [f"{job.name}.nc"]


def test_what_cannot_be_opened_is_not_taken_for_damaged(tmp_path):
    """A folder in a run's place stays there."""
    store = Store(tmp_path)
    store.path("one").mkdir()
    with pytest.raises(ValueError, match=r"one\.nc cannot be opened .*directory"):
        store.load("one")
    assert store.path("one").is_dir()


@pytest.mark.parametrize("form", [1, 2])
def test_runs_of_older_formats_are_read(tmp_path, form):
    """The first knew neither heads nor probes, the second no probes; neither told the release that wrote it nor its own
    name.
    """
    old = Trajectory(steps=STEPS, loss=STEPS, distances={"uniform": STEPS}, attention=np.arange(12.0).reshape(3, 1, 4))
    store = Store(tmp_path)
    path = store.save("one", Record(RECORD.setting, (old,), {"seed": 1}))
    held = io.BytesIO(path.read_bytes().rpartition(onset.validate.store.runs.SEAL)[0])
    with h5py.File(held, "r+") as tree:
        del tree.attrs["release"], tree.attrs["run"]
        tree.attrs["format"] = form
        if form == 1:
            del tree["trajectory_0/attention"]
            tree["trajectory_0/attention"] = old.attention[:, 0]
    path.write_bytes(held.getvalue() + onset.validate.store.runs._seal(held.getvalue()))
    loaded = store.load("one")
    assert loaded is not None
    assert same(loaded.trajectories[0], old)
    assert loaded.notes == {"seed": 1}


def test_a_run_says_where_it_comes_from(tmp_path):
    """When it started, how long it took, the device, the seed and the versions."""
    store, job = Store(tmp_path), Job(Setting.of(context=16, steps=5), TRAIN, 4)
    before = datetime.now(UTC).replace(microsecond=0)
    compute([job], store, workers=1, device="cpu")
    loaded = store.load(job.name)
    assert loaded is not None
    assert before <= datetime.fromisoformat(loaded.notes["started"]) <= datetime.now(UTC)
    assert loaded.notes["seconds"] > 0
    assert (loaded.notes["device"], loaded.notes["seed"], loaded.notes["kind"]) == ("cpu", 4, "train")
    assert loaded.notes["versions"]["numpy"] == np.__version__
    assert {"icl-onset", "python", "torch", "numba"} <= set(loaded.notes["versions"])


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    """If the disk fails at the last moment, the old file stays whole and nothing half-written remains."""
    store = Store(tmp_path)
    before = store.save("one", RECORD).read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("onset.validate.store.files.os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        store.save("one", RECORD)
    assert [p.name for p in tmp_path.iterdir()] == ["one.nc"]
    assert store.path("one").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    """One sentence that names the folder and the option."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"output folder .*file/runs: cannot be written .*--out"):
        Store(tmp_path / "file" / "runs")

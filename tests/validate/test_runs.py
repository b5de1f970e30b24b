"""validate.runs: what is written is read back, and a damaged file is named, set aside and computed again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("xarray")

from theory.dynamics import Trajectory
from theory.setting import Setting
from validate.runs import Record, Store, UnreadableRun

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
    found = store.load("one")
    assert found is not None
    assert (found.setting, found.notes) == (RECORD.setting, RECORD.notes)
    assert [same(a, b) for a, b in zip(found.trajectories, RECORD.trajectories, strict=True)] == [True, True]


def test_other_tools_can_read_a_run(tmp_path):
    """A run is NetCDF with named dimensions and units; the seal behind it disturbs no reader."""
    import xarray as xr

    with xr.open_dataset(Store(tmp_path).save("one", RECORD), group="trajectory_0", engine="h5netcdf") as data:
        assert data["distance"].dims == ("strategy", "step")
        assert data["loss"].attrs["units"] == "nats per token"


DAMAGE = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "foreign": lambda whole: b"not a run at all",
    "one bit flipped": lambda whole: whole[:4000] + bytes([whole[4000] ^ 1]) + whole[4001:],
    "seal cut short": lambda whole: whole[:-1],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_and_set_aside(tmp_path, damage):
    """The warning names the file, the file is kept under another name, and the store no longer holds the run."""
    store = Store(tmp_path)
    path = store.save("one", RECORD)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.warns(UnreadableRun, match=path.name):
        assert store.load("one") is None
    assert not path.exists()
    assert path.with_suffix(".nc.corrupt").exists()
    assert store.load("one") is None


def test_a_future_format_is_not_misread(tmp_path, monkeypatch):
    """A file of another format is set aside, not guessed at."""
    import validate.runs

    store = Store(tmp_path)
    monkeypatch.setattr(validate.runs, "FORMAT", 99)
    store.save("one", RECORD)
    monkeypatch.undo()
    with pytest.warns(UnreadableRun, match="format 99"):
        assert store.load("one") is None


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    """If the disk fails at the last moment, the old file stays whole and nothing half-written remains."""
    import validate.runs

    store = Store(tmp_path)
    before = store.save("one", RECORD).read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(validate.runs.os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        store.save("one", RECORD)
    assert [p.name for p in tmp_path.iterdir()] == ["one.nc"]
    assert store.path("one").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    """One sentence that names the folder and the option."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"output folder .*file/runs: cannot be written .*--out"):
        Store(tmp_path / "file" / "runs")

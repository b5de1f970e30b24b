"""onset.validate.store.listing, onset.validate.store.export and onset runs: what a folder holds, chosen, drawn and
handed on; nothing in it is touched.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

pytest.importorskip("torch")

import xarray as xr

import onset.validate.store.runs
from onset.command_line.options import SettingOptions
from onset.paper.figures import runs as picture
from onset.theory.markov.priors import Dirichlet, Mixture, Unigram
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.execution import failures
from onset.validate.store.export import export
from onset.validate.store.jobs import Job
from onset.validate.store.listing import facts, list_runs, select
from onset.validate.store.runs import Record, Store

LINEAR, LONGER = (Setting.of("linear", context=context) for context in (20, 40))
MIXED = Setting.of("linear", prior=Mixture((Dirichlet(3, 0.3), Unigram(3)), (0.75, 0.25)), context=20)
DEEP = Setting.of("transformer", states=2, order=3, context=12)


def curve(setting: Setting, records: int, shift: float = 0.0, *, diverged: int | None = None) -> Trajectory:
    """Passes from each strategy to the next halfway between records, all numbers known; two heads where the order asks
    for them.
    """
    steps = 10.0 * np.arange(records)
    names = setting.task.strategies
    distances = {name: np.abs(steps / 10 - 2 * n) + shift for n, name in enumerate(names)}
    attention = np.zeros((records, setting.task.order - 1, setting.task.context))
    for head in range(setting.task.order - 1):
        attention[:, head, head + 1] = steps / 100
    probes = {"last": np.ones((records, len(names) + 1))} if setting is DEEP else {}
    return Trajectory(steps, 1 / (1 + steps) + shift, distances, attention, probes=probes, diverged=diverged)


RECORDS = {
    "a-train-0": Record(LINEAR, (curve(LINEAR, 7),), {"kind": "train", "seed": 0, "seconds": 1.5, "device": "cpu"}),
    "a-train-1": Record(
        LINEAR, (curve(LINEAR, 5, 0.5),), {"kind": "train", "seed": 1, "started": "2026-01-02T03:04:05"}
    ),
    "a-mean-field-0": Record(LINEAR, (curve(LINEAR, 6), curve(LINEAR, 6, 0.1)), {"kind": "mean-field", "seed": 0}),
    "b-train-0": Record(LONGER, (curve(LONGER, 4, diverged=33),), {"kind": "train", "seed": 0}),
    "b-law-0": Record(LONGER, (), {"kind": "law", "seed": 0, "refused": "too far"}),
    "c-train-0": Record(MIXED, (curve(MIXED, 7),), {"kind": "train", "seed": 0}),
    "d-train-0": Record(DEEP, (curve(DEEP, 9),), {"kind": "train", "seed": 0}),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """All records, a truncated file, and one of a release to come."""
    store = Store(tmp_path / "out" / "runs")
    for name, record in RECORDS.items():
        store.save(name, record)
    store.path("damaged").write_bytes(store.path("a-train-0").read_bytes()[:500])
    with monkeypatch.context() as future:
        future.setattr(onset.validate.store.runs, "FORMAT", 99)
        store.save("newer", RECORDS["a-train-0"])
    return tmp_path / "out"


def test_every_file_is_listed_and_none_is_touched(folder):
    """From the folder given as --out or from its runs; what cannot be read comes last, with its name and why."""
    before = {item.name: item.read_bytes() for item in (folder / "runs").iterdir()}
    runs = list_runs(folder)
    assert {run.path.stem: run.record for run in runs if run.record}.keys() == RECORDS.keys()
    assert [run.path for run in runs] == [run.path for run in list_runs(folder / "runs")]
    states = {run.path.stem: run.state for run in runs}
    assert states["b-train-0"] == "diverged"
    assert states["b-law-0"] == "refused"
    assert states["a-train-0"] == "finished"
    assert [(run.path.stem, run.state) for run in runs[-2:]] == [("damaged", "damaged"), ("newer", "unreadable")]
    assert "damaged.nc is damaged" in runs[-2].problem
    assert "newer.nc was written by Onset" in runs[-1].problem
    assert {item.name: item.read_bytes() for item in (folder / "runs").iterdir()} == before


def test_a_run_that_failed_is_listed_with_its_reason_until_it_succeeds(folder):
    """Its setting, kind and seed can be chosen by like those of finished ones."""
    store = Store(folder / "runs")
    failures.keep(store, Job(LONGER, "train", 7), "MemoryError: too large")
    failures.keep(store, Job(LONGER, "train", 8), "it was killed")
    store.save(Job(LONGER, "train", 8).name, RECORDS["b-train-0"])
    (run,) = select(list_runs(folder), ["state=failed", "context=40", "seed=7", "kind=train"])
    assert run.to_dict()["outcome"] == "MemoryError: too large"
    assert "too large" in run.problem
    assert len(list_runs(folder)) == len(RECORDS) + 4
    run.path.write_text("{}")
    assert "cannot be read (KeyError" in next(item.problem for item in list_runs(folder) if item.path == run.path)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no run files; give the --out folder of onset train"):
        list_runs(tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"family": "softmax", "context": 50, "optimizer": "adam"}, {"context": 50, "optimizer": "adam"}),
        ({"states": 3, "concentration": 0.3}, {"states": 3, "concentration": (0.3,), "prior": "dirichlet"}),
        ({"prior": "doubly-stochastic", "states": 4}, {"prior": "doubly-stochastic", "concentration": ()}),
        ({"learning_rate": ("match=0.02",)}, {"learning-rate.match": 0.02, "learning-rate.lag_logits": 1.0}),
        ({"learning_rate": ("0.5",)}, {"learning-rate": 0.5, "learning-rate.match": 0.5}),
        ({"initialization": ("0.1",)}, {"initialization": 0.1, "initialization.match": 0.1}),
        ({"family": "transformer", "architecture": "one-layer"}, {"architecture": "one-layer", "weight-decay": 0.1}),
        ({"family": "transformer", "precision": "bfloat16"}, {"precision": "bfloat16", "architecture": "published"}),
        ({"frozen": ("match",), "batch": 8, "steps": 30, "record_every": 2}, {"frozen": ("match",), "record-every": 2}),
        ({"whole": True, "order": 3}, {"whole": True, "order": 3}),
    ],
)
def test_a_setting_is_told_by_the_options_that_make_it(options, expected):
    """What was given on the command line is found under the same name, and so are defaults."""
    values = facts(SettingOptions(**options).build())
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (["context=20"], {"a-train-0", "a-train-1", "a-mean-field-0", "c-train-0"}),
        (["context=20,40", "kind=train", "family=linear"], {"a-train-0", "a-train-1", "b-train-0", "c-train-0"}),
        (["concentration=0.3"], {"c-train-0"}),
        (["prior=mixture", "weight=0.75"], {"c-train-0"}),
        (["seed=1"], {"a-train-1"}),
        (["state=diverged"], {"b-train-0"}),
        (["state=damaged,unreadable"], {"damaged", "newer"}),
        (["learning_rate.match=0.0625"], {"b-train-0", "b-law-0"}),
        (["architecture=published", "whole=false"], {"d-train-0"}),
        (["family=Linear", "device=cpu"], {"a-train-0"}),
    ],
)
def test_runs_are_chosen_by_what_they_were_made_from(folder, where, names):
    """All conditions hold, one of several values each; 100/40² is the default rate of the match."""
    assert {run.path.stem for run in select(list_runs(folder), where)} == names


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("contxt=20", "name in --where = 'contxt': .*did you mean 'context'"),
        ("context", "where = 'context': expected NAME=VALUE"),
        ("context=", "where = 'context=': expected NAME=VALUE"),
        ("context=21", "none of 9 runs has it; expected one of: 12, 20, 40"),
        ("concentration=abc", "expected one of: 0.3, 1"),
    ],
)
def test_a_condition_that_leaves_nothing_says_what_there_is(folder, where, message):
    with pytest.raises(ValueError, match=message):
        select(list_runs(folder), [where])


def test_the_table_holds_the_numbers_of_the_runs(folder, tmp_path):
    """Steps, losses and times, against the closed forms of the made-up curves; the crossings lie between records 0 and
    2, 2 and 4, …
    """
    rows = {
        row["file"].rpartition("/")[2]: row
        for row in csv.DictReader(export(list_runs(folder), tmp_path / "all.csv").read_text().splitlines())
    }
    assert len(rows) == len(RECORDS) + 2
    item = rows["a-train-0.nc"]
    assert (item["context"], item["seed"], item["kind"], item["state"], item["device"]) == (
        "20",
        "0",
        "train",
        "finished",
        "cpu",
    )
    assert float(item["last_step"]) == 60
    assert float(item["seconds"]) == 1.5
    assert float(item["final_loss"]) == pytest.approx(1 / 61)
    # |s - 2n| is as far from n as from n + 1 at s = 2n + 1; attention s/10 passes 0.1 at s = 1.
    assert (float(item["to_unigram"]), float(item["to_bigram"]), float(item["formation_lag_1"])) == (10, 30, 10)
    deep = rows["d-train-0.nc"]
    assert [float(deep[name]) for name in ("to_trigram", "formation_lag_1", "formation_lag_2")] == [50, 10, 10]
    assert rows["b-train-0.nc"]["diverged"] == "33"
    assert rows["b-law-0.nc"]["outcome"] == "too far"
    assert rows["c-train-0.nc"]["weight"] == "0.75"
    assert "damaged" in rows["damaged.nc"]["problem"]


def test_the_dataset_holds_every_curve(folder, tmp_path, run):
    """Named dimensions and units; every curve exactly, NaN beyond its end; the setting can be made from its JSON."""
    file = tmp_path / "all.nc"
    assert run("runs", str(folder), "--export", str(file))[0] == 0
    with xr.open_dataset(file, engine="h5netcdf") as data:
        assert data["attention"].dims == ("run", "record", "head", "lag")
        assert data["distance"].dims == ("run", "strategy", "record")
        assert data["last"].dims == ("run", "record", "law")
        assert data["loss"].attrs["units"] == data["distance"].attrs["units"] == "nats per token"
        assert data["step"].attrs["units"] == "optimiser steps"
        assert data["lag"].values.tolist() == list(range(40))
        assert data["head"].values.tolist() == [1, 2]
        assert dict(data.sizes)["run"] == sum(len(item.trajectories) for item in RECORDS.values())
        for n in range(data.sizes["run"]):
            item = data.isel(run=n)
            record = RECORDS[str(item["file"].values).rpartition("/")[2].removesuffix(".nc")]
            curve = record.trajectories[int(item["replicate"])]
            length, heads, lags = curve.attention.shape
            assert np.array_equal(item["step"][:length], curve.steps)
            assert np.array_equal(item["loss"][:length], curve.loss)
            assert np.isnan(item["loss"][length:]).all()
            assert np.array_equal(item["attention"][:length, :heads, :lags], curve.attention)
            assert int(np.isfinite(item["attention"]).sum()) == curve.attention.size
            for name in data["strategy"].values:
                values = item["distance"].sel(strategy=name)
                assert (
                    np.array_equal(values[:length], curve.distances[name])
                    if name in curve.distances
                    else np.isnan(values).all()
                )
            assert Setting.from_dict(json.loads(str(item["setting"].values))) == record.setting
            assert int(item["context"]) == record.setting.task.context


def test_a_failed_export_leaves_what_was_there(folder, tmp_path, run, monkeypatch):
    """Whether table or dataset; another ending is refused before anything is read."""
    monkeypatch.setattr(
        "onset.validate.store.files.os.fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    for ending in (".csv", ".nc"):
        file = tmp_path / f"all{ending}"
        file.write_text("before")
        status, _, err = run("runs", str(folder), "--export", str(file))
        assert status == 2
        assert "No space left" in err
        assert file.read_text() == "before"
    assert not [item for item in tmp_path.iterdir() if item.name.startswith(".")]
    assert "did you mean '.nc'" in run("runs", str(folder), "--export", "all.ncc")[2]


def test_the_command_lists_and_says_what_it_cannot_read(folder, run):
    """A table; damaged files on stderr by name, exit status 0; as JSON the same numbers."""
    status, out, err = run("runs", str(folder), "--where", "kind=train")
    assert status == 0
    assert "5 of 9 runs" in out
    assert "unigram 10, bigram 30" in out
    assert "diverged at 33" in out
    assert "2026-01-02 03:04" in out
    assert "damaged.nc" in err
    assert "newer.nc" in err
    data = json.loads(run("runs", str(folder), "--json")[1])
    assert len(data["runs"]) == 9
    assert {item["state"] for item in data["runs"]} == {"finished", "diverged", "refused", "damaged", "unreadable"}
    assert run("runs", str(folder), "--where", "contxt=1")[0] == 2


def test_the_picture_shows_each_run_once(folder, tmp_path, run):
    """One family per setting with its seeds and predictions, the values those of the runs; PDF and PNG."""
    runs = select(list_runs(folder), ["family=linear"])
    families = picture.compute(runs)
    assert [(item.label, len(item.curves)) for item in families] == [
        (LINEAR.label, 4),
        (LONGER.label, 1),
        (MIXED.label, 1),
    ]
    assert [curve.trained for curve in families[0].curves] == [False, False, True, True]
    curve = families[0].curves[2]
    assert np.array_equal(curve.values["loss / nats per token"], RECORDS["a-train-0"].trajectories[0].loss)
    assert np.array_equal(curve.values["attention on lag 1"], curve.steps / 100)
    assert {"KL(uniform ‖ model)", "KL(unigram ‖ model)", "KL(bigram ‖ model)"} < set(curve.values)
    assert run("runs", str(folder), "--picture", "--out", str(tmp_path / "drawn"))[0] == 0
    assert sorted(item.name for item in (tmp_path / "drawn").iterdir()) == ["runs.pdf", "runs.png"]
    with pytest.raises(ValueError, match="expected one that has curves"):
        picture.compute(select(runs, ["state=refused"]))

"""onset.validate.sweeps.scan: files hold every row, and an unfinished scan resumes."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("xarray")

import onset.validate.sweeps.scan as scans
from onset.simulate.scan import grid
from onset.theory.setting import Setting
from onset.validate.execution import worker

FAST = Setting.of("linear", context=16, learning_rate={"match": 0.4})


def test_csv_and_json_hold_every_row(tmp_path):
    """Values and times of answered points, the reason of the others."""
    points = grid(Setting.of("linear"), ["initialization.match=0.01,3", "batch=8,64"])
    rows, fitted = scans.run(points)
    data = scans.to_dict(points, rows, fitted, "law")
    table, plain = scans.write(tmp_path, data)
    with table.open() as lines:
        read = list(csv.DictReader(lines))
    assert [(float(r["initialization.match"]), float(r["batch"])) for r in read] == list(points.points())
    assert float(read[0]["formation"]) == rows[0].formation[0]
    assert read[2]["formation"] == ""
    assert "too far from the plateau" in read[2]["reason"]
    read_back = json.loads(plain.read_text())
    assert read_back == json.loads(json.dumps(data))
    assert (read_back["complete"], read_back["answered"]) == (True, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.csv", "scan.json"]


def test_an_interrupted_scan_resumes_from_its_predictions(tmp_path, monkeypatch):
    """Interrupted at its third point, it keeps two, which the next run does not predict again; another seed does."""
    points, calls, real = grid(FAST, ["batch=1,2,3"]), [], worker.predict

    def interrupted(setting, *rest, **more):
        calls.append(setting.training.batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(setting, *rest, **more)

    monkeypatch.setattr(worker, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scans.run(points, "mean-field", folder=tmp_path)
    rows, _ = scans.run(points, "mean-field", folder=tmp_path)
    assert calls == [1, 2, 3, 3]
    assert rows == scans.run(points, "mean-field")[0]
    scans.run(points, "mean-field", folder=tmp_path, seed=1)
    assert calls[4:] == [1, 2, 3]


def test_rows_of_an_earlier_file_are_kept(tmp_path, monkeypatch):
    """A scan.json of the same base, axes, method and seed, also an unfinished one, saves its points from being
    predicted.
    """
    points, longer = (grid(FAST, [f"batch={values}"]) for values in ("1,2", "1,2,3"))
    rows, fitted = scans.run(points, "mean-field")
    scans.write(tmp_path, scans.to_dict(points, rows, fitted, "mean-field") | {"complete": False})
    calls, real = [], worker.predict
    monkeypatch.setattr(worker, "predict", lambda setting, *a, **b: calls.append(setting) or real(setting, *a, **b))
    assert scans.run(longer, "mean-field", folder=tmp_path)[0][:2] == rows
    assert [setting.training.batch for setting in calls] == [3]
    assert scans.run(points, "mean-field", folder=tmp_path, fresh=True)[0] == rows
    assert [setting.training.batch for setting in calls] == [3, 1, 2]
    (tmp_path / "scan.json").write_text('{"base": ')
    assert scans.run(points, "mean-field", folder=tmp_path)[0] == rows

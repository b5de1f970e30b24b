"""onset.validate.sweeps.scan: what is written is what was found, and an unfinished scan goes on."""

from __future__ import annotations

import csv
import json

import pytest

import onset.validate.sweeps.scan as scans
from onset.simulate.scan import grid
from onset.theory.setting import Setting

FAST = Setting.of("linear", context=16, learning_rate={"match": 0.4})


def test_csv_and_json_hold_every_row(tmp_path):
    """Values and times of answered points, the reason of the others."""
    chosen = grid(Setting.of("linear"), ["initialization.match=0.01,3", "batch=8,64"])
    rows, fitted = scans.run(chosen)
    data = scans.to_dict(chosen, rows, fitted, "law")
    table, plain = scans.write(tmp_path, data)
    with table.open() as lines:
        read = list(csv.DictReader(lines))
    assert [(float(r["initialization.match"]), float(r["batch"])) for r in read] == list(chosen.points())
    assert float(read[0]["formation"]) == rows[0].formation[0]
    assert read[2]["formation"] == ""
    assert "too far from the plateau" in read[2]["reason"]
    found = json.loads(plain.read_text())
    assert found == json.loads(json.dumps(data))
    assert (found["complete"], found["answered"]) == (True, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.csv", "scan.json"]


def test_an_unfinished_scan_goes_on_from_what_it_saved(tmp_path, monkeypatch):
    """Killed at its third point, it keeps two, which the next run does not predict again; another seed does."""
    chosen, calls = grid(FAST, ["batch=1,2,3"]), []
    real = scans.predict_one

    def counted(chosen, point, *rest, **more):
        calls.append(point)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(chosen, point, *rest, **more)

    monkeypatch.setattr(scans, "EVERY", 0.0)
    monkeypatch.setattr(scans, "predict_one", counted)
    with pytest.raises(KeyboardInterrupt):
        scans.run(chosen, "mean-field", folder=tmp_path)
    assert not json.loads((tmp_path / "scan.json").read_text())["complete"]
    rows, _ = scans.run(chosen, "mean-field", folder=tmp_path)
    assert [p for (p,) in calls] == [1, 2, 3, 3]
    assert rows == scans.run(chosen, "mean-field")[0]
    calls.clear()
    monkeypatch.setattr(scans, "predict_one", real)
    assert scans._known(tmp_path / "scan.json", chosen, "mean-field", 1) == {}


def test_a_damaged_file_is_no_earlier_scan(tmp_path):
    (tmp_path / "scan.json").write_text('{"base": ')
    assert scans._known(tmp_path / "scan.json", grid(FAST, ["batch=1"]), "mean-field", 0) == {}

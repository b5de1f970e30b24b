"""`onset sweep`: the plan, files, JSON, failures and divergences."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("torch")

from onset.validate.execution import worker

FILE = """
seeds = 2
kinds = ["train", "law"]

[setting]
context = 20
steps = 40
record_every = 10

[grid]
learning-rate.match = [0.25, 1e4]
"""


@pytest.fixture
def call(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(FILE)
    return ("sweep", str(file), "--out", str(tmp_path / "out"), "--device", "cpu", "--workers", "1")


def test_a_sweep_is_planned_computed_and_shown(run, tmp_path, call):
    """--list computes nothing; then every job runs once, and a divergence is a result; then nothing runs again."""
    status, out, _ = run(*call, "--list")
    assert status == 0
    assert "2 settings, 6 jobs" in out
    assert not (tmp_path / "out").exists()
    status, out, err = run(*call)
    assert status == 0
    assert "6/6" in err
    assert "previous-token head" in out
    assert "diverged at step" in out
    data = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert data["complete"]
    slow, wild = (row["answers"]["train"]["runs"] for row in data["rows"])
    assert [one["diverged"] for one in slow] == [None, None]
    assert all(one["diverged"] is not None for one in wild)
    with (tmp_path / "out" / "sweep.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["optimizer.learning_rate.match"] for row in rows} == {"0.25", "10000.0"}
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").glob("*.nc")}
    assert json.loads(run(*call, "--json")[1]) == data
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").glob("*.nc")} == times
    assert "6 finished" in run(*call, "--list")[1]


def test_a_failure_is_reported_and_tried_again(run, monkeypatch, call):
    """Exit status 1 with the job and the reason, in the results too; the rest is computed; the next call completes
    it.
    """
    monkeypatch.setattr(worker, "predict", lambda *_, **__: 1 / 0)
    status, out, err = run(*call, "--json")
    assert status == 1
    assert "law failed: ZeroDivisionError" in err
    assert "same command tries the rest again" in err
    data = json.loads(out)
    assert {one["reason"] for one in data["missing"]} == {"ZeroDivisionError: division by zero"}
    assert all(row["answers"]["train"] for row in data["rows"])
    monkeypatch.undo()
    status, out, _ = run(*call, "--json")
    assert (status, json.loads(out)["missing"]) == (0, [])


def test_a_sweep_in_which_nothing_is_answered_fails(run, tmp_path):
    """A refusal is a result in the files, and exit status 1 if there is no other."""
    file = tmp_path / "refused.toml"
    file.write_text('kinds = ["law-corrected"]\n[setting.optimizer]\nname = "adam"\n[grid]\ncontext = [20, 30]\n')
    call = ("sweep", str(file), "--out", str(tmp_path / "out"), "--workers", "1")
    status, out, _ = run(*call, "--json")
    assert (status, json.loads(out)["complete"]) == (1, True)
    assert run(*call, "--list")[0] == 0
    file.write_text(file.read_text().replace("law-corrected", "law"))
    assert run(*call)[0] == 0


@pytest.mark.parametrize(
    ("more", "text"),
    [(["--scheduler", "tcp://127.0.0.1:1"], "expected one of them"), (["--seeds", "0"], "seeds = 0")],
)
def test_bad_computing_options_are_one_sentence(run, call, more, text):
    """Workers and a scheduler exclude each other; there is at least one seed."""
    status, out, err = run(*call, *more)
    assert (status, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1

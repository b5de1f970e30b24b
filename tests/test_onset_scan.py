"""`onset scan` and `onset explain`: the files and JSON they promise, and one sentence about bad input."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest


def test_scan_writes_csv_json_and_a_figure(run, tmp_path):
    """A setting that the law refuses is kept with its reason; the table names the exponent's theory."""
    call = ["scan", "--states", "3", "--grid", "context=100,400", "initialization.match=0.01,1", "--out", str(tmp_path)]
    status, out, _ = run(*call)
    assert status == 0
    assert "leading logarithmic integral" in out
    assert "settings lack a time" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.csv", "scan.json", "scan.pdf", "scan.png"]
    assert len((tmp_path / "scan.csv").read_text().splitlines()) == 5
    status, out, _ = run(*call, "--json")
    data = json.loads(out)
    assert status == 0
    assert data == json.loads((tmp_path / "scan.json").read_text())
    assert [row["reason"] != "" for row in data["rows"]].count(True) == 4 - data["answered"] > 0
    assert {"exponent", "error", "predicted", "theory", "z", "local", "law"} <= set(data["fits"][0])


def test_scan_draws_even_if_nothing_is_answered(run, tmp_path):
    """And says so by its exit status, also with JSON."""
    call = ("scan", "--family", "softmax", "--grid", "context=50,100", "--out", str(tmp_path))
    assert run(*call, "--json")[0] == 1
    status, out, _ = run(*call)
    assert status == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.csv", "scan.json", "scan.pdf", "scan.png"]
    assert "0 of 2 settings answered" in out


def test_explain_says_what_limits(run, tmp_path):
    """Lag-limited, match-limited and outside the law, each with its reason, stages and picture."""
    explained = {}
    for name, given in {
        "lag": ["--initialization", "match=0.01"],
        "match": ["--states", "4"],
        "softmax": ["--family", "softmax"],
    }.items():
        status, out, _ = run("explain", *given, "--out", str(tmp_path / name), "--json")
        explained[name] = json.loads(out)
        assert status == 0
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == ["explain.json", "explain.pdf", "explain.png"]
        stages = explained[name]["stages"]
        assert all(a["end"] == b["start"] for a, b in pairwise(stages))
    assert [explained[name]["regime"] for name in explained] == ["lag-limited", "match-limited", "outside"]
    exponents = explained["lag"]["exponents"]
    assert exponents["learning-rate.lag_logits"] + exponents["learning-rate.match"] == pytest.approx(-1)
    assert explained["lag"]["plateau"]["drives"][1] == explained["lag"]["plateau"]["A"]
    assert "relaxes too slowly" in explained["match"]["refused"]
    assert "trapped" in explained["softmax"]["refused"]


BAD = [
    (["scan"], "at least one axis"),
    (["scan", "--grid", "contxt=1,2"], "did you mean 'context'"),
    (["scan", "--grid", "context="], "at least one value"),
    (["scan", "--grid", "context=9:3:4"], "it is empty"),
    (["scan", "--grid", "context=a,b"], "'a' is none"),
    (["scan", "--grid", "context=1"], "context = 1"),
    (["scan", "--grid", "concentration=0,1"], "concentration = 0"),
    (["scan", "--grid", "context=2:1e6:2000:lin", "batch=1:1000:1000:lin"], "at most 1000000"),
    (["scan", "--grid", "context=50", "--method", "lw"], "did you mean 'law'"),
    (["scan", "--grid", "context=50", "--out", "/dev/null/x"], "cannot be written"),
    (["scan", "--prior", "doubly-stochastic", "--grid", "concentration=1,2"], "has no entry 'concentration'"),
    (["explain", "--family", "transformer"], "family of a mean-field prediction"),
    (["explain", "--out", "/dev/null/x"], "cannot be written"),
    (["explain", "--states", "1"], "states = 1"),
]


@pytest.mark.parametrize(("arguments", "names"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_status_two(refused, arguments, names):
    refused(arguments, names)

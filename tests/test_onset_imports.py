"""What commands import: theory needs no package of the extra `train`, and no command what it does not use."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

EXTRA = {"torch", "h5py", "h5netcdf", "xarray", "pandas", "safetensors", "filelock", "dask"}
"""Packages of the extra `train`, and those that come with them."""

DRAWING, COMPILED, SYMBOLIC, STATISTICS = {"matplotlib"}, {"numba"}, {"sympy"}, {"scipy.stats"}

LAW = ("--method", "law")

NOT_IMPORTED = {
    ("--help",): EXTRA | DRAWING | COMPILED | SYMBOLIC | {"numpy", "scipy"},
    ("predict", *LAW): EXTRA | DRAWING | COMPILED | STATISTICS | {"jinja2"},
    ("predict", "--context", "16", "--method", "mean-field"): EXTRA | DRAWING | COMPILED | STATISTICS | {"jinja2"},
    ("explain",): EXTRA | COMPILED | STATISTICS | {"jinja2"},
    ("scan", "--grid", "context=100,200"): EXTRA | COMPILED | STATISTICS | {"jinja2"},
    ("simulate", "--context", "8", "--sequences", "64"): EXTRA | DRAWING | SYMBOLIC | STATISTICS | {"jinja2"},
    ("derive",): EXTRA | DRAWING | COMPILED | SYMBOLIC | {"numpy", "scipy", "jinja2", "pybtex"},
    ("derive", "two-state-chain"): EXTRA | DRAWING | COMPILED | STATISTICS | {"jinja2"},
    ("cite", "predict"): EXTRA | DRAWING | COMPILED | SYMBOLIC | {"numpy", "scipy", "jinja2"},
    ("cite", "two-state-chain"): EXTRA | DRAWING | COMPILED | STATISTICS | {"jinja2"},
}
"""Calls, and packages that they leave alone."""

WITH_EXTRA = {
    ("runs", "out"): {"torch", "numba", "sympy", "matplotlib", "scipy.stats"},
    ("sweep", "sweep.toml", "--list"): {"torch", "numba", "sympy", "matplotlib", "scipy.stats"},
    ("validate", "--list"): {"torch", "matplotlib"},
    ("train", "--context", "6", "--steps", "2", "--seeds", "1"): {"sympy", "matplotlib", "scipy.stats"},
}
"""The same of commands that need the extra."""

SCRIPT = """
import json, sys
from importlib.machinery import PathFinder
import onset

blocked, find = set(json.loads(sys.argv[2])), PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in blocked else find(name, *rest)
for arguments in json.loads(sys.argv[1]):
    try:
        onset.main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments
print("IMPORTED", *sys.modules)
"""


def imported(calls, folder, blocked=()) -> set[str]:
    """Modules in the process that ran the calls, each to a good end."""
    arguments = [json.dumps(calls), json.dumps(sorted(blocked))]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=False, capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("IMPORTED")[2].split())


@pytest.mark.parametrize("call", NOT_IMPORTED, ids=" ".join)
def test_a_command_imports_what_it_uses(call, tmp_path):
    """Measured in modules, not in seconds."""
    assert NOT_IMPORTED[call] & imported([call], tmp_path) == set()


@pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra train")
def test_commands_of_the_extra_import_what_they_use(tmp_path):
    (tmp_path / "sweep.toml").write_text("[grid]\ncontext = [20, 30]\n")
    train = next(call for call in WITH_EXTRA if call[0] == "train")
    for call in (train, *WITH_EXTRA):
        assert WITH_EXTRA[call] & imported([call], tmp_path) == set(), call


def test_theory_alone_runs_theory(tmp_path):
    """As after `pip install -e .`, without the extra; scans by other methods keep no files then, and say so."""
    calls = [call for call in NOT_IMPORTED if call != ("--help",)]
    calls += [
        ("predict", "--context", "6", "--steps", "4", "--method", "finite-context"),
        ("scan", "--grid", "context=16,20", "--method", "mean-field", "--learning-rate", "match=0.4"),
        ("derive", "--check", "two-state-chain"),
        ("derive", "two-state-chain", "--latex", "tex"),
    ]
    imported(calls, tmp_path, EXTRA)
    assert (tmp_path / "tex" / "two-state-chain.tex").exists()
    assert {path.name for path in (tmp_path / "out" / "scan").iterdir()} >= {"scan.csv", "scan.json", "scan.png"}

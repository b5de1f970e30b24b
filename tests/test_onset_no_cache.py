"""The command line where neither the user's home nor the package's own folder can be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

COMMANDS = [
    ("simulate", "--context", "8", "--sequences", "64"),
    ("explain", "--out", "explained"),
    ("derive", "--check", "two-state-chain"),
]
"""One that compiles, one that draws, one that remembers."""

SCRIPT = """
import json, sys
import onset

for arguments in json.loads(sys.argv[1]):
    try:
        onset.main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments
"""


@pytest.fixture
def unwritable(tmp_path) -> Path:
    """A copy of the package in which a file stands wherever numba would make a folder: root cannot write there either.

    Permissions would not stop root.
    """
    copy = tmp_path / "package"
    for folder in ("onset", "theory", "simulate", "validate", "paper"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for module in copy.rglob("*.py"):
        (module.parent / "__pycache__").touch()
    return copy


def test_commands_work_without_a_cache_and_warn_once(unwritable, tmp_path):
    """Compiled kernels, matplotlib's fonts, results of checks: none can be kept."""
    environment = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "MPLCONFIGDIR")}
    environment |= {"PYTHONPATH": str(unwritable), "HOME": "/dev/null/nobody", "XDG_CONFIG_HOME": "/dev/null/nobody"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(COMMANDS)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no folder for caches") == 1, done.stderr
    for text in ("Traceback", "matplotlib", "Warning"):
        assert text not in done.stderr

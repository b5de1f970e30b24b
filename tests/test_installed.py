"""A wheel in a fresh environment works beside a user's files called theory, simulate and paper."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import onset

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The project's wheel, built from a copy of the sources as they stand, so that nothing is left among them."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "out", "build", "*.egg-info", "tests", "results")
    shutil.copytree(ROOT, folder / "sources", symlinks=True, ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(folder / "sources")], check=True, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Run the installed `onset` in a folder whose files have the names of Onset's own packages."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", system_site_packages=False, with_pip=False)
    python = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies are those of this environment; the package itself is not: its links and sources are elsewhere.
    (site / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")) + "\n")
    work = folder / "work"
    (work / "theory").mkdir(parents=True)
    for name in ("simulate.py", "paper.py", "validate.py", "theory/__init__.py"):
        (work / name).write_text("raise RuntimeError('a file of the user was imported')\n")

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= {"MPLBACKEND": "Agg", "PYTHONPATH": str(work)} | variables
        return subprocess.run(
            [str(python), *arguments], check=False, capture_output=True, text=True, cwd=work, env=environment
        )

    return call


def test_the_wheel_takes_one_name(wheel):
    """Nothing but `onset` and its metadata goes into site-packages, and all that is needed at run time does."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"onset", "icl_onset"}
    for name in ("paper/onset.mplstyle", "paper/CITATION.cff", "validate/report/page.css", "theory/setting.py"):
        assert f"onset/{name}" in names


def test_the_installed_package_is_used(installed):
    """`import onset` finds the wheel, not the sources of the repository, nor the user's files."""
    done = installed(
        "-c", "import onset, onset.theory, onset.simulate, onset.validate, onset.paper; print(onset.__file__)"
    )
    assert done.returncode == 0, done.stderr
    assert "/venv/" in done.stdout


COMMANDS = [
    ("predict", "--states", "2", "--context", "16", "--method", "mean-field", "--json"),
    ("predict", "--context", "6", "--steps", "4", "--method", "finite-context", "--json"),
    ("explain", "--states", "2", "--context", "64", "--json"),
    ("scan", "--grid", "context=100:1000:3", "--json"),
    ("simulate", "--states", "4", "--prior", "doubly-stochastic", "--sequences", "64", "--json"),
    ("derive", "two-state-chain", "--json"),
    ("derive", "--check", "two-state-chain", "--json"),
    ("derive", "two-state-chain", "--latex", "tex", "--json"),
    ("cite", "--json"),
]
TRAINING = [
    ("train", "--context", "6", "--steps", "20", "--seeds", "2", "--workers", "1", "--json"),
    ("runs", "out", "--picture", "--json"),
    ("figures", "signals", "--json"),
    ("validate", "--list", "--json"),
]
"""Commands that need torch."""

SCRIPT = """
import contextlib, io, json, sys
import onset

for arguments in json.loads(sys.argv[1]):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            onset.main(arguments)
        except SystemExit as stop:
            if stop.code:
                raise
    assert json.loads(output.getvalue()), arguments
    print(arguments[0])
"""
"""Each command answers with JSON; one that fails ends the script with its message."""


def test_commands_work_beside_files_of_the_same_names(installed):
    """All that the README shows, in one process, without compilation: it tests what is found, not how fast it is."""
    commands = COMMANDS + (TRAINING if find_spec("torch") else [])
    done = installed("-c", SCRIPT, json.dumps(commands), NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name for name, *_ in commands]


def test_the_module_is_a_command(installed):
    """``python -m onset``, and the version of the metadata."""
    done = installed("-m", "onset", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, onset.__version__), done.stderr

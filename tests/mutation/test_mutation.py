"""`make mutate`: what can be changed in a file, which tests run a line, and what survives; on a small project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")
pytest.importorskip("pytest_cov")

from mutants import CONSTANTS, EQUIVALENT, checking, equivalents, mutant_at, outside_functions, places

HERE = Path(__file__).parent

SUMS = """FACTOR = 2


def doubled(x):
    return FACTOR * x


def unused(x):
    return -x


def untested(x):
    return x - 1
"""

KERNELS = """from numba import njit


@njit
def inner(x):
    return x + 10


@njit
def outer(x):
    return inner(x)


def called(x):
    return outer(x)
"""

TESTS = """from onset.theory.sums import doubled
from onset.simulate.kernels import called


def test_doubled():
    assert doubled(3) == 6


def test_called():
    assert called(1) == 11
"""


@pytest.fixture
def project(tmp_path):
    """A repository laid out like this one, with the tool and a small theory and simulation."""
    files = {
        "onset/__init__.py": "",
        "theory/__init__.py": "",
        "theory/sums.py": SUMS,
        "simulate/__init__.py": "",
        "simulate/kernels.py": KERNELS,
        "validate/__init__.py": "",
        "paper/__init__.py": "",
        "tests/test_sums.py": TESTS,
        "pyproject.toml": '[tool.coverage.run]\nsource = ["onset", "theory", "simulate"]\n',
    }
    for name in ("mutants.py", "covering.py", "running.py", "__main__.py"):
        files[f"tests/mutation/{name}"] = (HERE / name).read_text(encoding="utf-8")
    reason = 'path = "theory/sums.py"\nbefore = "return -x"\nafter = "return x"\nreason = "nobody calls it"\n'
    files["tests/mutation/equivalent.toml"] = f"[[equivalent]]\n{reason}"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for package in ("theory", "simulate", "validate", "paper"):
        (tmp_path / "onset" / package).symlink_to(f"../{package}")
    return tmp_path


def _mutate(project, *options):
    command = [sys.executable, "tests/mutation", "--workers", "1", "--tests", "tests/test_sums.py", *options]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads((project / "out" / "mutation" / "seed-0.json").read_text())


def test_survivors_are_those_that_no_test_runs(project):
    """Also of kernels that are compiled into others; a second call has nothing left to do; JSON has the score."""
    out, data = _mutate(project)
    outcomes = {(entry["before"], entry["after"]): entry["outcome"] for entry in data["mutants"]}
    survived = {change for change, outcome in outcomes.items() if outcome == "survived"}
    assert survived == {("return x - 1", f"return {after}") for after in ("x + 1", "x - 2", "x - 0")}
    assert "-return x - 1\n+return x + 1" in out
    assert set(outcomes) - survived == {
        *(("FACTOR = 2", f"FACTOR = {after}") for after in (3, 1)),
        ("return FACTOR * x", "return FACTOR / x"),
        *(("return x + 10", f"return {after}") for after in ("x - 10", "x + 11", "x + 9")),
    }
    assert "equivalent: theory/sums.py:9: return -x  →  return x\n  nobody calls it" in out
    low, high = data["interval_95"]
    assert (data["killed"], data["tried"]) == (6, 9)
    assert low < data["score"] < high
    killers = {entry["by"].partition("::")[2] for entry in data["mutants"] if entry["outcome"] == "killed"}
    assert killers == {"test_doubled", "test_called"}
    again, same = _mutate(project)
    assert "9 mutants, 9 tried before" in again
    assert same == data


def test_lines_outside_functions():
    assert outside_functions(SUMS) == {1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14}


CHECKED = '''"""A derivation."""

__all__ = ["shared"]


def shared(x, *, by=2):
    return x * by


def formula(x):
    return shared(x) + 1


def helper(x):
    return x - 3


@check("the formula with numbers")
def _numbers():
    return formula(2) - helper(8)


def fitted(x):
    return helper(x) * 7


CHECKS = (_numbers, check("fitted")(fitted))
FORMULAS = (formula,)
'''


def test_checks_and_marks_of_parameters_are_left_out(tmp_path):
    """What is decorated as a check, what a check is made of, and what these alone call; not what others use too."""
    lines = CHECKED.splitlines()
    checks = {lines[n - 1] for n in checking("theory/derivations/a.py", CHECKED) if lines[n - 1].startswith("def")}
    assert checks == {"def helper(x):", "def _numbers():", "def fitted(x):"}
    assert len(checking("theory/checks/a.py", CHECKED)) == len(lines) + 1
    (folder := tmp_path / "theory").mkdir()
    (folder / "a.py").write_text(CHECKED)
    changed = {lines[line - 1].strip() for *_, line in places(tmp_path, "theory/a.py")}
    assert changed == {"def shared(x, *, by=2):", "return x * by", "return shared(x) + 1"}
    marks = [name for _, name, _, line in places(tmp_path, "theory/a.py") if lines[line - 1].startswith("def shared")]
    assert marks == ["core/NumberReplacer"] * 2


def test_what_the_operators_change(tmp_path):
    """Each place gives another code; the line before and after are named."""
    (tmp_path / "sums.py").write_text(SUMS)
    found = [mutant_at(tmp_path, *place) for place in places(tmp_path, "sums.py")]
    changes = {(mutant.line, mutant.before, mutant.after) for mutant in found}
    assert len(changes) == len(found)
    assert {after for line, _, after in changes if line == 1} == {"FACTOR = 3", "FACTOR = 1"}
    assert (5, "return FACTOR * x", "return FACTOR / x") in changes
    assert (9, "return -x", "return x") in changes


def test_constants_are_doubled_and_halved(tmp_path):
    """Those of the module alone; zero has no double."""
    text = (
        'SIZE, RATE = 3, 2.5\nONE: int = 1\nNONE = 0\nname, T = 5, 6\nTWO = {"a": 4}\ndef f(N=7):\n    MM = 8\nU = 9\n'
    )
    (tmp_path / "constants.py").write_text(text)
    found = [mutant_at(tmp_path, *place) for place in places(tmp_path, "constants.py", CONSTANTS)]
    assert [(mutant.line, "".join(mutant.after.split("  "))) for mutant in found] == [
        *((1, f"SIZE, RATE = {after}") for after in ("6, 2.5", "1, 2.5", "3, 5.0", "3, 1.25")),
        *((2, f"ONE: int = {after}") for after in ("2", "0.5")),
        *((5, f'TWO = {{"a": {after}}}') for after in ("8", "2")),
    ]


def test_equivalent_mutants_still_stand_in_the_code():
    """With a reason, and a line that is there."""
    assert EQUIVALENT.exists()
    for (path, before, after), reason in equivalents().items():
        lines = [line.strip() for line in (HERE.parents[1] / path).read_text(encoding="utf-8").splitlines()]
        assert before in lines, f"{path} has no line {before}"
        assert after not in (before, "")
        assert reason

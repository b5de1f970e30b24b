"""Which tests run a line, and how long they take: recorded once with coverage.py's contexts, and kept."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import coverage
from mutants import outside_functions

__all__ = ["COVERAGE", "Covering", "record"]

COVERAGE, RECORDED = "coverage", "recorded.json"
"""Files of what is recorded."""

COMPILED = ("njit", "jit", "vectorize", "guvectorize")
"""Decorators of numba: the bodies of such functions run unseen by coverage.py."""


def record(root: Path, folder: Path, tests: list[str], workers: int) -> None:
    """Run `tests` and keep in `folder` which ran each line, and their seconds; what is known of others stays."""
    folder.mkdir(parents=True, exist_ok=True)
    known = _recorded(folder)
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "tests.xml"
        command = [sys.executable, "-m", "pytest", *tests, "-q", "-n", str(workers), "--dist", "worksteal", "--cov"]
        command += ["--cov-append", "--cov-context=test", "--cov-report=", f"--junitxml={report}"]
        environment = os.environ | {"COVERAGE_FILE": str(folder / COVERAGE)}
        if subprocess.run(command, cwd=root, env=environment, check=False).returncode:
            raise SystemExit("tests fail without any mutant; mend them first.")
        seconds = known["seconds"] | _seconds(report)
    # A line's number means the same in two recordings only if the file is the same.
    hashes = {path: digest if known["hashes"].get(path, digest) == digest else "" for path, digest in _hashes(root)}
    (folder / RECORDED).write_text(json.dumps({"seconds": seconds, "hashes": hashes}, indent=1), encoding="utf-8")


def _recorded(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / RECORDED
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"seconds": {}, "hashes": {}}


def _hashes(root: Path) -> Iterator[tuple[str, str]]:
    for file in _sources(root):
        yield str(file.relative_to(root)), hashlib.sha256(file.read_bytes()).hexdigest()


def _sources(root: Path) -> Iterable[Path]:
    return (file for package in ("theory", "simulate", "validate", "paper") for file in (root / package).rglob("*.py"))


class Covering:
    """Tests by line, as recorded in `folder`.

    Of a file that has changed since, every test that runs any of its lines counts; so it does for lines that run when
    the module is imported, and then also those of the modules that import it; and for lines that no test is known to
    run, since what is computed once and kept is run by whichever test comes first, or before any. A function that numba
    compiles is run by the tests that run a line which names it.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._data = coverage.CoverageData(str(folder / COVERAGE))
        self._data.read()
        self._seconds, hashes = _recorded(folder).values()
        self._unchanged = {path for path, digest in _hashes(root) if hashes.get(path) == digest}

    def tests(self, path: str, line: int) -> list[tuple[str, float]]:
        """Tests that run a line, quickest first, with their seconds."""
        source = (self._root / path).read_text(encoding="utf-8")
        if line in outside_functions(source):
            dotted = f"onset.{path.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")
            found = self._of_file(path).union(*map(self._of_file, self._importers.get(dotted, ())))
        elif path not in self._unchanged:
            found = self._of_file(path)
        elif (function := _compiled_function(source, line)) is not None:
            found = self._naming(function, set())
        else:
            found = self._lines(path).get(line) or self._of_file(path)
        return sorted(((test, self._seconds.get(test, 1.0)) for test in found), key=lambda pair: pair[1])

    def _lines(self, path: str) -> dict[int, set[str]]:
        by_line = self._data.contexts_by_lineno(str((self._root / path).resolve()))
        return {line: {c.partition("|")[0] for c in contexts if c} for line, contexts in by_line.items()}

    def _of_file(self, path: str) -> set[str]:
        """Tests that run a function of a file."""
        imported = outside_functions((self._root / path).read_text(encoding="utf-8"))
        compiled = {name for name, _ in _compiled(self._trees[path])}
        found = [tests for line, tests in self._lines(path).items() if line not in imported]
        return set().union(*found, *(self._naming(name, set()) for name in compiled))

    def _naming(self, function: str, seen: set[str]) -> set[str]:
        """Tests that run a line which names a compiled function, or a compiled one that does."""
        found: set[str] = set()
        for path, tree in self._trees.items():
            lines = {n.lineno for n in ast.walk(tree) if function in (getattr(n, "id", None), getattr(n, "attr", None))}
            if not lines:
                continue
            inside = {name: {line for line in lines if line in body} for name, body in _compiled(tree)}
            outside = lines.difference(*inside.values())
            found = found.union(*(self._lines(path).get(line, set()) for line in outside))
            for caller in {name for name, named in inside.items() if named} - seen - {function}:
                found |= self._naming(caller, seen | {function, caller})
        return found

    @cached_property
    def _trees(self) -> dict[str, ast.Module]:
        files = ((str(file.relative_to(self._root)), file) for file in _sources(self._root))
        return {path: ast.parse(file.read_text(encoding="utf-8")) for path, file in files}

    @cached_property
    def _importers(self) -> dict[str, set[str]]:
        """Files that import a module, by its name."""
        found: dict[str, set[str]] = {}
        for path, tree in self._trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module:
                    for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                        found.setdefault(name, set()).add(path)
        return found


def _compiled(tree: ast.Module) -> list[tuple[str, range]]:
    """Names and lines of the functions that numba compiles."""
    return [
        (node.name, range(node.lineno, (node.end_lineno or node.lineno) + 1))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).partition("(")[0] in COMPILED for decorator in node.decorator_list)
    ]


def _compiled_function(source: str, line: int) -> str | None:
    return next((name for name, lines in _compiled(ast.parse(source)) if line in lines), None)


def _seconds(report: Path) -> dict[str, float]:
    """Seconds of each test by its name in pytest, from a report in JUnit's form."""
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        seconds[name] = seconds.get(name, 0.0) + float(case.get("time", 0.0))
    return seconds

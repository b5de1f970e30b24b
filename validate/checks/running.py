"""Checks of derivations: attached from all packages, run, and remembered for as long as what they test is unchanged.

The results of the last run stay in the user's cache folder, one small JSON file per derivation. Each carries a
fingerprint of the derivation and of all source files of the packages that the check can reach; a result whose
fingerprint differs counts as not run.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sympy as sp

from onset.theory.derivations import attach, get
from onset.theory.derivations.derivation import Check, CheckResult, Derivation, Step
from onset.validate.store.files import write_text

__all__ = ["Attached", "CheckedDerivation", "all_passed", "attach_all", "location", "recall", "run"]

PACKAGES = ("onset.theory", "onset.simulate", "onset.validate")
"""In the order in which they build on each other."""

OPTIONAL = ("torch", "xarray", "h5netcdf", "h5py")
"""Packages that may be missing: a check that needs one is then skipped, not failed."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Attached:
    """Modules of checks that were not attached: those that lack an optional package, and those that raised."""

    skipped: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckedDerivation:
    """A derivation and the results of its checks, in order."""

    derivation: Derivation
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool | None:
        """True if all checks passed, False if one failed; None if one did not run, or there is none."""
        return all_passed(self.results)

    @property
    def summary(self) -> str:
        """A few words for a table."""
        passed = [result.passed for result in self.results]
        if not passed or passed.count(None) == len(passed):
            return "not checked" if passed else "has no checks"
        counts = {"passed": passed.count(True), "failed": passed.count(False), "not run": passed.count(None)}
        return ", ".join(f"{count} {state}" for state, count in counts.items() if count)

    def results_of(self, step: Step) -> list[CheckResult]:
        """Results of the checks that test a step."""
        return [result for result in self.results if result.check.name in step.checks]


def all_passed(results: Iterable[CheckResult]) -> bool | None:
    """False if one failed, else None if one did not run or there is none, else True."""
    states = {result.passed for result in results}
    return False if False in states else None if None in states or not states else True


def attach_all() -> Attached:
    """Attach the checks of `onset.simulate` and `onset.validate` to their derivations."""
    skipped, broken = [], []
    for module in (f"{package}.checks" for package in PACKAGES[1:]):
        if find_spec(module) is None:
            continue
        try:
            for name, checks in import_module(module).CHECKS.items():
                attach(name, checks)
        except Exception as problem:  # whatever it is, the derivations themselves can still be read and checked
            if isinstance(problem, ModuleNotFoundError) and problem.name in OPTIONAL:
                skipped.append(
                    f"the checks of {module} are left out: {problem.name} is not installed; "
                    "pip install 'icl-onset[train]'."
                )
            else:
                broken.append(f"the checks of {module} cannot be attached: {type(problem).__name__}: {problem}")
    return Attached(tuple(skipped), tuple(broken))


def run(name: str, progress: Progress = lambda done, total, what: None) -> CheckedDerivation:
    """Run all checks of the derivation `name` and remember the results.

    Parameters
    ----------
    name : str
    progress : callable
        Called with the number of checks done and in total, and with the name of the next.
    """
    derivation = get(name)
    total, results = len(derivation.checks), []
    running = derivation.run_checks()
    for done, check in enumerate(derivation.checks):
        progress(done, total, f"{name}: {check.name}")
        results.append(_skipped_if_optional(next(running)))
    progress(total, total, "")
    _remember(name, derivation, results)
    return CheckedDerivation(derivation, tuple(results))


def recall(name: str) -> CheckedDerivation:
    """The derivation `name` with the remembered results of those checks whose fingerprint is unchanged."""
    derivation, remembered = get(name), _read(_file(name))
    results = []
    for check in derivation.checks:
        data = remembered.get(check.name, {})
        fresh = data.get("fingerprint") == _fingerprint(derivation, check)
        results.append(CheckResult.from_dict(check, data) if fresh else CheckResult(check))
    return CheckedDerivation(derivation, tuple(results))


def location(check: Check) -> str:
    """Module and function in which the check stands."""
    function = check.run
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__name__)
    return re.sub(r"\.<.*", "", f"{getattr(function, '__module__', None) or 'unknown'}.{name}")


def _skipped_if_optional(result: CheckResult) -> CheckResult:
    missing = re.match(r"ModuleNotFoundError: No module named '(\w+)", result.error or "")
    if missing is None or missing[1] not in OPTIONAL:
        return result
    return replace(result, error=None, skipped=f"{missing[1]} is not installed")


def _fingerprint(derivation: Derivation, check: Check) -> str:
    content = [str(part) for part in (derivation.statement, *((s.name, s.expression) for s in derivation.steps))]
    where = location(check)
    package = ".".join(where.split(".")[:2])
    known = package in PACKAGES
    reach = PACKAGES[: PACKAGES.index(package) + 1] if known else PACKAGES
    source = "" if known else _source(check)
    parts = [
        sp.__version__,
        derivation.name,
        *content,
        check.name,
        check.compares,
        where,
        source,
        *map(_sources, reach),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _sources(package: str) -> str:
    """One hash of all Python files of `package`."""
    digest = hashlib.sha256()
    folder = Path(str(import_module(package).__file__)).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _source(check: Check) -> str:
    """The file of a check from outside the packages; if it cannot be read, a text that never occurs again."""
    try:
        return Path(inspect.getsourcefile(inspect.unwrap(check.run)) or "").read_text(encoding="utf-8")
    except (OSError, TypeError, UnicodeError):
        return f"{os.getpid()} {id(check)}"


def _folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "onset" / "checks"


def _file(name: str) -> Path:
    return _folder() / f"{name}.json"


def _remember(name: str, derivation: Derivation, results: list[CheckResult]) -> None:
    data = {r.check.name: r.to_dict() | {"fingerprint": _fingerprint(derivation, r.check)} for r in results}
    try:
        write_text(_file(name), json.dumps(data, indent=1, allow_nan=False) + "\n")
    except ValueError as problem:
        warnings.warn(f"results of {name} are not remembered: {problem}", stacklevel=3)


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return {name: dict(result) for name, result in data.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as problem:
        warnings.warn(f"{file} cannot be read ({problem}); its checks count as not run", stacklevel=4)
        return {}

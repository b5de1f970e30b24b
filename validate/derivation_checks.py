"""Checks of derivations: attached from all packages, run, and remembered for as long as what they test is unchanged.

Results of the last run stay in the user's cache folder, one small JSON file per derivation. Each carries a fingerprint of
the derivation and of all source files of the packages that the check can reach; a result whose fingerprint differs counts
as not run.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
import urllib.parse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sympy as sp

from onset.theory.derivations import get
from onset.theory.derivations.derivation import Check, Derivation, Verdict
from onset.validate.files import write_text

__all__ = ["Attached", "Result", "Status", "attach_all", "location", "recall", "run"]

PACKAGES = ("onset.theory", "onset.simulate", "onset.validate")
"""In the order in which they build on each other."""
OPTIONAL = ("torch", "xarray", "h5netcdf", "h5py", "jinja2")
"""What may be missing: the check that needs it is then skipped, not failed."""

KEYS = {"passed", "skipped", "residual", "tolerance", "because", "error", "seconds"}

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Attached:
    """What attaching left out: modules of checks that lack an optional package, and those that raised."""

    skipped: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """A check and what its last run found, as `Verdict.to_dict` tells it; None where it did not run."""

    check: Check
    found: dict[str, Any] | None = None

    @property
    def passed(self) -> bool | None:
        """None if it was not run, or was skipped."""
        return None if self.found is None or self.found["skipped"] else bool(self.found["passed"])

    def to_dict(self) -> dict[str, Any]:
        known = self.found or {"check": self.check.name, "compares": self.check.compares}
        return known | {"passed": self.passed, "location": location(self.check)}


@dataclass(frozen=True)
class Status:
    """A derivation and the results of its checks, in order."""

    derivation: Derivation
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool | None:
        """False if a check failed; None if one did not run, or there is none; True if all passed."""
        verdicts = {result.passed for result in self.results}
        return False if False in verdicts else None if None in verdicts or not verdicts else True

    @property
    def words(self) -> str:
        """In a few words, for a table."""
        count = {verdict: sum(r.passed is verdict for r in self.results) for verdict in (True, False, None)}
        if not self.results:
            return "has no checks"
        if count[None] == len(self.results):
            return "not checked"
        words = [(count[True], "passed"), (count[False], "failed"), (count[None], "not run")]
        return ", ".join(f"{number} {word}" for number, word in words if number)


def attach_all() -> Attached:
    """Attach the checks of `simulate` and `validate` to their derivations."""
    skipped, broken = [], []
    for name in (f"{package}.checks" for package in PACKAGES[1:]):
        if find_spec(name) is None:
            continue
        try:
            import_module(name).attach_all()
        except Exception as problem:  # whatever it is, the derivations themselves can still be read and checked
            if isinstance(problem, ModuleNotFoundError) and problem.name in OPTIONAL:
                skipped.append(
                    f"the checks of {name} are left out: {problem.name} is not installed; pip install 'icl-onset[train]'."
                )
            else:
                broken.append(f"the checks of {name} cannot be attached: {type(problem).__name__}: {problem}")
    return Attached(tuple(skipped), tuple(broken))


def run(name: str, progress: Progress = lambda done, total, what: None) -> Status:
    """Run all checks of the derivation `name` and remember the results.

    Parameters
    ----------
    name : str
    progress : callable
        Called with the number of checks done and in total, and with the name of the next.
    """
    derivation = get(name)
    total, results = len(derivation.checks), []
    verdicts = derivation.checking()
    for done, check in enumerate(derivation.checks):
        progress(done, total, f"{name}: {check.name}")
        results.append(Result(check, _to_dict(next(verdicts))))
    progress(total, total, "")
    _remember(name, derivation, results)
    return Status(derivation, tuple(results))


def recall(name: str) -> Status:
    """The derivation `name` with the remembered results of those checks whose fingerprint is unchanged."""
    derivation = get(name)
    known = _read(_file(name))
    results = []
    for check in derivation.checks:
        found = known.get(check.name, {})
        fresh = found.get("fingerprint") == _fingerprint(derivation, check)
        results.append(Result(check, {k: v for k, v in found.items() if k != "fingerprint"} if fresh else None))
    return Status(derivation, tuple(results))


def location(check: Check) -> str:
    """Module and function in which the check stands."""
    run = check.run
    while isinstance(run, partial):
        run = run.func
    whole = f"{getattr(run, '__module__', None) or 'unknown'}.{getattr(run, '__qualname__', type(run).__name__)}"
    return re.sub(r"\.<.*", "", whole)


def _to_dict(verdict: Verdict) -> dict[str, Any]:
    lacks = re.match(r"ModuleNotFoundError: No module named '(\w+)", verdict.error or "")
    skipped = f"{lacks[1]} is not installed" if lacks and lacks[1] in OPTIONAL else None
    found = verdict.to_dict() | {"skipped": skipped, "error": None if skipped else verdict.error}
    return json.loads(json.dumps(found), parse_constant=lambda _: None)


def _fingerprint(derivation: Derivation, check: Check) -> str:
    content = [str(part) for part in (derivation.statement, *((s.name, s.expression) for s in derivation.steps))]
    where = location(check)
    top = where.partition(".")[0]
    reach = PACKAGES[: PACKAGES.index(top) + 1] if top in PACKAGES else PACKAGES
    own = "" if top in PACKAGES else _own_source(check)
    parts = [sp.__version__, derivation.name, *content, check.name, check.compares, where, own, *map(_sources, reach)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _sources(package: str) -> str:
    """One hash of all Python files of `package`."""
    digest = hashlib.sha256()
    folder = Path(str(import_module(package).__file__)).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _own_source(check: Check) -> str:
    """The file of a check from outside the packages; if there is none to read, something that never comes again."""
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
    return _folder() / f"{urllib.parse.quote(name, safe='')}.json"


def _remember(name: str, derivation: Derivation, results: list[Result]) -> None:
    data = {r.check.name: (r.found or {}) | {"fingerprint": _fingerprint(derivation, r.check)} for r in results}
    try:
        write_text(_file(name), json.dumps(data, indent=1, allow_nan=False) + "\n")
    except ValueError as problem:
        warnings.warn(f"results of {name} are not remembered: {problem}", stacklevel=3)


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return {name: found for name, found in data.items() if set(found) >= KEYS}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as problem:
        warnings.warn(f"{file} cannot be read ({problem}); its checks count as not run", stacklevel=4)
        return {}

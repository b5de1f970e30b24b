"""Checks of derivations: attached from all packages, run, and remembered (`onset.validate.store.check_results`)."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from onset.theory.derivations import attach, get, is_own
from onset.theory.derivations.derivation import Check, CheckResult, Derivation
from onset.validate.store import check_results
from onset.validate.store.check_results import PACKAGES

__all__ = ["Attached", "CheckedDerivation", "all_passed", "attach_all", "location", "recall", "run"]

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
        return check_results.status(result.passed for result in self.results)

    def results_of(self, label: str) -> list[CheckResult]:
        """Results of the checks that evaluate the equation of a label."""
        return [result for result in self.results if label in result.check.labels]


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
    kept = {
        r.check.name: r.to_dict() | {"location": location(r.check), "fingerprint": _fingerprint(derivation, r.check)}
        for r in results
    }
    check_results.remember(name, kept)
    return CheckedDerivation(derivation, tuple(results))


def recall(name: str) -> CheckedDerivation:
    """The derivation `name` with the remembered results of those checks whose fingerprint is unchanged."""
    derivation, remembered = get(name), check_results.read(name)
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
    """The fingerprint of a check; the content of what stands outside of the packages is part of it."""
    where, content = location(check), []
    if is_own(derivation.name) or not where.startswith(PACKAGES):
        content = [_source(check), *(f"{label} {equation}" for label, equation in derivation.equations.items())]
    return check_results.fingerprint(derivation.name, check.name, check.compares, where, content)


def _source(check: Check) -> str:
    """The file of a check from outside the packages; if it cannot be read, a text that never occurs again."""
    try:
        return Path(inspect.getsourcefile(inspect.unwrap(check.run)) or "").read_text(encoding="utf-8")
    except (OSError, TypeError, UnicodeError):
        return f"{os.getpid()} {id(check)}"

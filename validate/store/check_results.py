"""Results of checks of derivations, kept in the user's cache for as long as what they test is unchanged.

There is one small JSON file per derivation. Each result carries a fingerprint of the check, of the version of sympy,
and of all source files of the packages that the check can reach, in which the derivation stands, too; that of a check
or a derivation from elsewhere is also one of its own content. A result with another fingerprint counts as not run.
Reading them derives nothing.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from onset.simulate import user_cache
from onset.validate.store.files import write_text

__all__ = ["PACKAGES", "fingerprint", "read", "recalled_status", "remember", "status"]

PACKAGES = ("onset.theory", "onset.simulate", "onset.validate")
"""In the order in which they build on each other."""


def fingerprint(name: str, check: str, compares: str, location: str, content: Sequence[str] = ()) -> str:
    """Fingerprint of a check.

    Parameters
    ----------
    name, check : str
        Of the derivation and of the check.
    compares : str
        What the check compares.
    location : str
        Module and function in which it stands.
    content : sequence of str
        What else its result depends on, where the sources of the packages do not say it.
    """
    package = ".".join(location.split(".")[:2])
    reach = PACKAGES[: PACKAGES.index(package) + 1] if package in PACKAGES else PACKAGES
    parts = (version("sympy"), name, check, compares, location, *content, *map(_sources, reach))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _sources(package: str) -> str:
    """One hash of all Python files of `package`."""
    digest = hashlib.sha256()
    folder = Path(str(import_module(package).__file__)).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def status(passed: Iterable[bool | None]) -> str:
    """A few words on checks that passed, failed, or did not run (None)."""
    states = list(passed)
    if not states or states.count(None) == len(states):
        return "not checked" if states else "has no checks"
    counts = {"passed": states.count(True), "failed": states.count(False), "not run": states.count(None)}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def recalled_status(name: str) -> str | None:
    """Status of a derivation of the library by its remembered results; None if a check from elsewhere is among them."""
    passed = []
    for check, result in read(name).items():
        location = str(result.get("location", PACKAGES[0]))
        if not location.startswith(PACKAGES):
            return None
        expected = fingerprint(name, check, str(result.get("compares")), location)
        passed.append(result.get("passed") if result.get("fingerprint") == expected else None)
    return status(passed) if passed else "not checked"


def remember(name: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep results, by check, of the derivation `name`; with a warning where nothing can be kept."""
    folder = _folder()
    try:
        if folder is None:
            return user_cache.warn()
        write_text(folder / f"{name}.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    except ValueError:
        user_cache.warn()


def read(name: str) -> dict[str, dict[str, Any]]:
    """Remembered results of the derivation `name` by check, whatever their fingerprints."""
    folder = _folder()
    if folder is None:
        return {}
    file = folder / f"{name}.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return {name: dict(result) for name, result in data.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as problem:
        warnings.warn(f"{file} cannot be read ({problem}); its checks count as not run", stacklevel=3)
        return {}


def _folder() -> Path | None:
    cached = user_cache.folder()
    return None if cached is None else cached / "checks"

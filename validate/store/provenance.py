"""Where numbers come from: what is noted of every run and every report."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

__all__ = ["RELEASE", "provenance", "versions"]

PACKAGES = ("numpy", "scipy", "numba", "torch", "matplotlib")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


RELEASE = _version("icl-onset")
"""Version of Onset."""


def versions() -> dict[str, str]:
    """Versions of Python and of what the numbers depend on, and the machine's kind and cores."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    return found | {"icl-onset": RELEASE} | {package: _version(package) for package in PACKAGES}


def provenance() -> dict[str, Any]:
    """For the notes of a run that starts now: when, in UTC, and with which versions."""
    return {"started": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()}

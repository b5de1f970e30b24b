"""Provenance: when numbers were made, with which versions and on which machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

__all__ = ["RELEASE", "provenance", "versions"]

PACKAGES = ("icl-onset", "numpy", "scipy", "numba", "torch", "matplotlib")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


RELEASE = _version("icl-onset")
"""Version of Onset."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, and the machine's kind and cores."""
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    return machine | {package: _version(package) for package in PACKAGES}


def provenance() -> dict[str, Any]:
    """Notes of a run that starts now: the time in UTC, and versions."""
    return {"started": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()}

"""What is kept between runs outside of output folders, and what happens where nothing can be kept.

There are three such things: compiled kernels (`onset.simulate.compiling`), matplotlib's list of fonts, and results of
checks of derivations (`onset.validate.store.check_results`). All are made again where no folder can hold them; one
warning per command says so.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import warnings
from functools import cache
from pathlib import Path

__all__ = ["NothingKept", "folder", "warn", "warn_instead"]


class NothingKept(UserWarning):
    """No folder for caches can be written: what they would hold is made again by every run."""


def folder() -> Path | None:
    """Onset's folder in the user's cache, which may not exist yet; None if the user has no home folder."""
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(base) / "onset"


@cache
def warn() -> None:
    """Warn that nothing is kept, once in a process; workers leave it to their parent."""
    if multiprocessing.parent_process() is None:
        variable = {"win32": "LOCALAPPDATA", "darwin": "HOME"}.get(sys.platform, "XDG_CACHE_HOME")
        warnings.warn(
            "no folder for caches can be written: compiled code, fonts and results of checks are made again by every "
            f"run; set {variable} to a folder that can be written.",
            NothingKept,
            stacklevel=1,
        )


def warn_instead(record: logging.LogRecord) -> bool:
    """Filter of matplotlib's logger: its lines on a folder that it cannot write become the one warning."""
    about_folders = any(words in record.msg for words in ("mkdir", "writable"))
    if about_folders:
        warn()
    return not about_folders

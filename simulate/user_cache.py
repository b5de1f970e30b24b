"""What is kept between runs outside of output folders, and what happens where nothing can be kept.

There are such things: compiled kernels (`onset.simulate.compiling`), matplotlib's list of fonts, results of checks of
derivations (`onset.validate.store.check_results`), encodings of texts (`onset.simulate.language`) and converted models
(`onset.validate.models.loading`). All are made again where no folder can hold them; one warning per command says so.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

__all__ = ["NothingKept", "folder", "made_once", "warn", "warn_instead"]


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


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` in the cache, filled by `make` once; without a cache, a temporary one of this process.

    Another process that wants the same waits. Needs `filelock`, which comes with the extra ``train``.
    """
    home = folder()
    try:
        if home is not None:
            place = home / name
            place.parent.mkdir(parents=True, exist_ok=True)
            from filelock import FileLock

            with FileLock(f"{place}.lock"):
                if not place.is_dir():
                    _filled(Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent)), make).replace(place)
            return place
    except OSError:
        warn()
    temporary = Path(tempfile.mkdtemp(prefix="onset-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return _filled(temporary, make)


def _filled(place: Path, make: Callable[[Path], None]) -> Path:
    """The folder with what `make` writes into it; removed if that fails."""
    try:
        make(place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place


def warn_instead(record: logging.LogRecord) -> bool:
    """Filter of matplotlib's logger: its lines on a folder that it cannot write become the one warning."""
    about_folders = any(words in record.msg for words in ("mkdir", "writable"))
    if about_folders:
        warn()
    return not about_folders

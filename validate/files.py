"""Folders that can be written to, and text files written whole: after a crash a file is either the new one, the old one or absent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["writable_folder", "write_text"]


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path`, making its folder if need be.

    Raises
    ------
    ValueError
        If the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as written:
                written.write(text)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise ValueError(
            f"output folder {path.parent}: {path.name} cannot be written ({problem.strerror}); give a folder that can be."
        ) from problem
    return path


def writable_folder(folder: str | Path) -> Path:
    """Make `folder` if need be and return it; a ``ValueError`` says why nothing can be written there."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as problem:
        raise ValueError(
            f"output folder {path}: cannot be written ({problem.strerror}); give a folder that can be, with --out."
        ) from problem
    return path

"""Writable folders, and atomic writing: after a crash a file is either the new one, the old one or absent."""

from __future__ import annotations

import csv
import io
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "replacing_or_refused", "set_aside", "writable_folder", "write_table", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file to write to; it is synced and takes the place of `path` at the end, or is removed on an error."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def set_aside(path: Path) -> Path:
    """Rename `path` to ``….corrupt``, or ``….corrupt-2`` and so on if that exists; return the new path."""
    names = (f"{path.name}.corrupt" + (f"-{n}" if n > 1 else "") for n in itertools.count(1))
    return path.replace(next(aside for aside in map(path.with_name, names) if not aside.exists()))


@contextmanager
def replacing_or_refused(path: Path) -> Iterator[Path]:
    """As `replacing`, and makes the folder; a ``ValueError`` says why nothing can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary
    except OSError as problem:
        raise ValueError(
            f"output folder {path.parent}: {path.name} cannot be written ({problem.strerror}); "
            "give a folder that can be."
        ) from problem


def write_text(path: Path, text: str) -> Path:
    """Write `text` to `path` and make its folder; a ``ValueError`` says why that is impossible."""
    with replacing_or_refused(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV table as `write_text` writes text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return write_text(path, text.getvalue())


def writable_folder(folder: str | Path) -> Path:
    """Make `folder` and return it; a ``ValueError`` says why nothing can be written there."""
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

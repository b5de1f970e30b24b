"""TOML and JSON files of settings and sweeps: bounded in size, with errors that name the file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onset.theory import arguments

__all__ = ["parse", "read", "reason", "to_toml", "write"]

LARGEST_FILE = 2**14
"""Bytes of a setting's file, a hundred times its usual size; a TOML reader may take minutes for longer ones."""

ENDINGS = (".json", ".toml")


def read(path: str | Path) -> Any:
    """Content of a setting's file.

    Raises
    ------
    ValueError
        Naming the file, if it cannot be read.
    """
    path = Path(path)
    arguments.one_of(f"ending of setting file {path}", path.suffix, ENDINGS)
    try:
        return parse(path)
    except (OSError, RecursionError, ValueError) as problem:
        raise ValueError(
            f"setting file {path} cannot be read ({reason(problem)}): expected {path.suffix[1:].upper()} in UTF-8; "
            "mend it there."
        ) from problem


def write(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write plain `data` to a `.toml` or `.json` file."""
    path = Path(path)
    arguments.one_of(f"ending of setting file {path}", path.suffix, ENDINGS)
    path.write_text(json.dumps(data, indent=2) + "\n" if path.suffix == ".json" else to_toml(data), encoding="utf-8")


def parse(path: Path, largest: int = LARGEST_FILE) -> Any:
    """Content of the TOML or JSON file at `path`, of at most `largest` bytes; raises errors that `reason` describes."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    if (size := path.stat().st_size) > largest:
        raise ValueError(f"it has {size} bytes, expected at most {largest}")
    text = path.read_text(encoding="utf-8-sig")  # some editors put a mark before the first character
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text, object_pairs_hook=_without_repeats)


def reason(problem: Exception) -> str:
    """Why a file cannot be read as a setting."""
    if isinstance(problem, RecursionError):
        return "its tables or lists are nested too deeply; take some out."
    return str(problem.strerror if isinstance(problem, OSError) else problem)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated names, of which JSON's reader would keep the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if name in dict(pairs[:n]))
        raise ValueError(f"it has {arguments.shown(twice)} twice")
    return table


def to_toml(table: Mapping[str, Any], path: str = "") -> str:
    """`table` as TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(f"\n[{path}{key}]\n{to_toml(value, f'{path}{key}.')}".rstrip())
        elif _is_table(value):
            lines += [f"\n[[{path}{key}]]\n{to_toml(item, f'{path}{key}.')}".rstrip() for item in value]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))

"""Entries of a setting: each field of its parts says once how it is checked, stored, shown and offered as an option.

A part of a setting (a task, a model, a way of training) is a frozen dataclass whose fields are made by `entry`.
Everything else reads these declarations: validation, TOML and JSON files, identifiers, labels and the command line.
Adding a field to a part is one line in its class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any

__all__ = ["Entry", "check_entries", "entries_of", "entry", "labels", "read_entries", "write_entries"]


@dataclass(frozen=True)
class Entry:
    """Declaration of a field.

    Attributes
    ----------
    check : callable
        Takes the name and the value; returns the value as stored or raises ``ValueError``.
    about : str
        Help of the command-line option; without it, there is none.
    optional : bool
        Left out of files and identifiers while it holds its default, so that those from before the field existed stay.
    label : callable or None
        Text in a setting's label where the value is not the default.
    write, read : callable
        From the value to plain data (numbers, strings, lists, dicts), and back.
    """

    check: Callable[[str, Any], Any]
    about: str = ""
    optional: bool = False
    label: Callable[[Any], str] | None = None
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


def entry(default: Any = MISSING, **declared: Any) -> Any:
    """A dataclass field with the declaration ``Entry(**declared)``."""
    return dataclasses.field(default=default, metadata={"entry": Entry(**declared)})


def entries_of(part: Any) -> Mapping[str, Entry]:
    """Declarations by name of a part or of its class."""
    return _declarations(part if isinstance(part, type) else type(part))


@cache
def _declarations(kind: type) -> Mapping[str, Entry]:
    return {field.name: field.metadata["entry"] for field in dataclasses.fields(kind) if "entry" in field.metadata}


def check_entries(part: Any) -> None:
    """Replace each value of a frozen part by what its check returns."""
    for name, declared in entries_of(part).items():
        object.__setattr__(part, name, declared.check(name, getattr(part, name)))


def write_entries(part: Any) -> dict[str, Any]:
    """Plain data of a part, without optional entries that hold their default."""
    defaults = {field.name: field.default for field in dataclasses.fields(part)}
    return {
        name: declared.write(getattr(part, name))
        for name, declared in entries_of(part).items()
        if not (declared.optional and getattr(part, name) == defaults[name])
    }


def read_entries(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Values of those entries of the class `kind` that plain `data` holds."""
    return {name: declared.read(data[name]) for name, declared in entries_of(kind).items() if name in data}


def labels(part: Any) -> list[str]:
    """Label of each entry that has one and is not at its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(part)}
    values = [(declared, getattr(part, name), defaults[name]) for name, declared in entries_of(part).items()]
    return [declared.label(value) for declared, value, default in values if declared.label and value != default]

"""Options whose values are checked as they are read: before anything runs, and by the name that was given.

The checks are those of `onset.theory.arguments`. Registries of names are imported when an option needs them.
"""

from __future__ import annotations

import math
import os
import pkgutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from onset.theory import arguments

__all__ = [
    "Export",
    "Folder",
    "Given",
    "Method",
    "OptionalExisting",
    "OptionalFolder",
    "OptionalMethod",
    "OptionalSeedCount",
    "OptionalShare",
    "Seed",
    "SeedCount",
    "Share",
    "number",
    "one_of",
    "per_group",
    "text",
    "texts",
]

Check = Callable[[str, Any], Any]
"""Takes the name of an option and its value; returns the value as it is used, or raises ``ValueError``."""


def number(check: Check, **more: Any) -> Parameter:
    """Parameter of an option with a number, which `check` takes as the int or float that the text stands for."""

    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        return check(_name(tokens), _number(tokens[0].value))

    return Parameter(converter=convert, **more)


def text(check: Check, called: str = "", **more: Any) -> Parameter:
    """Parameter of an option with a text; `called` is the name of an argument that has no flag."""

    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        return check(_name(tokens, called), tokens[0].value)

    return Parameter(converter=convert, **more)


def texts(check: Check, **more: Any) -> Parameter:
    """Parameter of an option with one text or more, which `check` takes as a tuple."""

    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        return check(_name(tokens), tuple(token.value for token in tokens))

    return Parameter(converter=convert, consume_multiple=1, negative=(), **more)


def one_of(registry: str) -> Check:
    """A check that a text, or each of a tuple, is a name in `registry`, or that it returns; given as module:name."""

    def check(name: str, value: Any) -> Any:
        known = pkgutil.resolve_name(registry)
        known = known() if callable(known) else known
        for one in value if isinstance(value, tuple) else (value,):
            arguments.one_of(name, one, known)
        return value

    return check


def per_group(name: str, given: tuple[str, ...]) -> dict[str, float]:
    """Numbers by parameter group from texts GROUP=NUMBER; the group is empty for a single NUMBER, which is for all."""
    numbers: dict[str, float] = {}
    for one in given:
        group, equals, value = one.rpartition("=")
        parsed = _number(value)
        if isinstance(parsed, str) or (equals and not group):
            raise ValueError(
                f"{name} = {arguments.shown(one)}: expected a number, or GROUP=NUMBER; "
                f"give for instance {name} match=0.01."
            )
        if not group and len(given) > 1:
            raise ValueError(
                f"{name} = {arguments.shown(' '.join(given))}: expected one number, or GROUP=NUMBER for each group; "
                "name the groups."
            )
        if group in numbers:
            raise ValueError(
                f"{name} = {arguments.shown(' '.join(given))}: expected each group once; leave one {group} out."
            )
        numbers[group] = arguments.real(name, parsed)
    return numbers


def _name(tokens: Sequence[Token], called: str = "") -> str:
    return tokens[0].keyword or called


def _number(value: str) -> int | float | str:
    """The finite number that a text stands for, or the text."""
    with suppress(ValueError):
        return int(value)
    with suppress(ValueError):
        return value if not math.isfinite(parsed := float(value)) else parsed
    return value


def _path(name: str, value: str) -> Path:
    if not value:
        raise ValueError(f"{name} = '': expected a file or a folder; give its name.")
    return Path(value)


def _existing(name: str, value: str) -> Path:
    path = _path(name, value)
    if not os.path.exists(path):
        raise ValueError(
            f"{name} = {arguments.shown(value)}: expected a file or a folder, but there is none of that name; "
            "give one that exists."
        )
    return path


def _writable(name: str, value: str) -> Path:
    """A folder, or the place of one to be made."""
    path = _path(name, value)
    there = next((place for place in (path, *path.parents) if os.path.exists(place)), Path())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "is no folder" if not there.is_dir() else "is protected"
        raise ValueError(
            f"{name} = {arguments.shown(value)}: cannot be written, since {there} {reason}; give a folder that can be."
        )
    return path


def _export(name: str, value: str) -> Path:
    """A file to be written, in a format that its ending says."""
    from onset.validate.store.export import ENDINGS

    path = _path(name, value)
    arguments.one_of(f"{name} = {arguments.shown(value)}: ending", path.suffix, ENDINGS)
    _writable(name, str(path.parent))
    return path


def _methods() -> set[str]:
    from onset.simulate.predict import PREDICTED

    return {method for methods in PREDICTED.values() for method in methods}


Seed = Annotated[int, number(arguments.seed)]
SeedCount = Annotated[int, number(arguments.seed_count)]
OptionalSeedCount = Annotated[int | None, number(arguments.seed_count)]
Share = Annotated[float, number(arguments.share)]
OptionalShare = Annotated[float | None, number(arguments.share)]
Given = Annotated[Path, text(_path, called="file or folder")]
OptionalExisting = Annotated[Path | None, text(_existing)]
Folder = Annotated[Path, text(_writable)]
OptionalFolder = Annotated[Path | None, text(_writable)]
Export = Annotated[Path | None, text(_export)]
_METHOD = text(lambda name, value: arguments.one_of(name, value, _methods()))
Method = Annotated[str, _METHOD]
OptionalMethod = Annotated[str | None, _METHOD]

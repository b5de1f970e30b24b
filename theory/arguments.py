"""Checks of arguments.

Each message names the argument, shows the value, and says what was expected and how to mend it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

__all__ = [
    "LARGEST_NUMBER",
    "LARGEST_SEED",
    "LARGEST_SIZE",
    "MOST_SEEDS",
    "bounded",
    "flag",
    "integer",
    "items",
    "made_from",
    "one_of",
    "only_known",
    "positive",
    "real",
    "scale",
    "seed",
    "seed_count",
    "seeds",
    "share",
    "shown",
    "table",
]

LARGEST_NUMBER = 10**9
"""Default upper bound of whole numbers: more sequences, steps or tokens than can be computed."""

LARGEST_SIZE = 1e12
"""Largest rate, initial value or concentration, and one over the smallest: with 16 digits a double still tells a
parameter from its change, and solvers end."""

LARGEST_SEED = 2**63 - 1
"""Largest seed: the largest whole number of 64 bits with sign, which numpy, torch and run files all hold."""

MOST_SEEDS = 10**5
"""Most seeds of one setting: each is a run with a file of its own."""

INTEGRAL, REAL = (int, numbers.Integral), (float, int, numbers.Real)
"""Accepted types, common ones first: ``isinstance`` is slow on abstract types."""

SHOWN = 80
"""Characters of a value shown in a message."""


def shown(value: object) -> str:
    """`value` as code, shortened where it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a whole number of thousands of digits
        return f"{type(value).__name__} too long to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def integer(name: str, value: object, *, least: int, most: int = LARGEST_NUMBER) -> int:
    """Return `value` as an int, or raise ``ValueError`` unless it is a whole number from `least` to `most`."""
    whole = isinstance(value, INTEGRAL) or (isinstance(value, REAL) and float(value).is_integer())
    if isinstance(value, bool) or not whole or int(value) < least:  # type: ignore[call-overload]
        raise ValueError(
            f"{name} = {shown(value)}: expected a whole number of at least {least}; give {name} = {least} or more."
        )
    if int(value) > most:  # type: ignore[call-overload]
        raise ValueError(f"{name} = {shown(value)}: expected a whole number of at most {most}; give a smaller {name}.")
    return int(value)  # type: ignore[call-overload]


def real(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it is a finite real number."""
    try:
        if not isinstance(value, bool) and isinstance(value, REAL) and math.isfinite(value):
            return float(value) + 0.0  # so that -0.0 and 0.0 are one number
    except OverflowError:  # a whole number beyond all floats
        pass
    raise ValueError(f"{name} = {shown(value)}: expected a finite number; give {name} as a plain number such as 0.01.")


def positive(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it is finite and above zero."""
    number = real(name, value)
    if number <= 0:
        raise ValueError(f"{name} = {shown(value)}: expected a number above zero; give a positive {name}.")
    return number


def scale(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it is between 1/`LARGEST_SIZE` and `LARGEST_SIZE`."""
    number = positive(name, value)
    if not 1 / LARGEST_SIZE <= number <= LARGEST_SIZE:
        raise ValueError(
            f"{name} = {shown(value)}: expected a number from {1 / LARGEST_SIZE:g} to {LARGEST_SIZE:g}; "
            "give a less extreme one."
        )
    return number


def bounded(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it is between -`LARGEST_SIZE` and `LARGEST_SIZE`."""
    number = real(name, value)
    if abs(number) > LARGEST_SIZE:
        raise ValueError(
            f"{name} = {shown(value)}: expected a number of at most {LARGEST_SIZE:g} in size; give a smaller one."
        )
    return number


def share(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it lies between 0 and 1, both excluded."""
    number = real(name, value)
    if not 0 < number < 1:
        raise ValueError(f"{name} = {shown(value)}: expected a share between 0 and 1; give for instance {name} = 0.1.")
    return number


def seed(name: str, value: object) -> int:
    """Return `value` as an int, or raise ``ValueError`` unless it is a whole number from 0 to `LARGEST_SEED`."""
    return integer(name, value, least=0, most=LARGEST_SEED)


def seed_count(name: str, value: object) -> int:
    """Return `value` as an int, or raise ``ValueError`` unless it is a whole number from 1 to `MOST_SEEDS`."""
    return integer(name, value, least=1, most=MOST_SEEDS)


def seeds(name: str, value: object) -> tuple[int, ...]:
    """Seeds, each once: the first so many for a whole number, else those of a list; at most `MOST_SEEDS`."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return tuple(range(seed_count(name, value)))
    if len(value) > MOST_SEEDS:
        raise ValueError(f"{name} = {shown(value)}: expected at most {MOST_SEEDS}; give fewer {name}.")
    return tuple(dict.fromkeys(seed("seed", one) for one in items(name, value, least=1)))


def flag(name: str, value: object) -> bool:
    """Return `value`, or raise ``ValueError`` unless it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} = {shown(value)}: expected true or false; give one of them.")
    return value


def items(name: str, value: object, *, least: int = 0) -> tuple[Any, ...]:
    """The entries of a list, or raise ``ValueError`` unless `value` is one with at least `least`."""
    if isinstance(value, tuple) and len(value) >= least:
        return value
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) < least:
        wanted = f" of {least} or more" if least else ""
        raise ValueError(f"{name} = {shown(value)}: expected a list{wanted}; write it as one.")
    return tuple(value)


def table(name: str, value: object) -> Mapping[str, Any]:
    """Return `value`, or raise ``ValueError`` unless it is a table of named entries."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} = {shown(value)}: expected a table of named entries; write it as one.")
    return value


def one_of(name: str, value: object, known: Collection[str]) -> str:
    """Return `value`, or raise ``ValueError`` naming the nearest of the `known` names."""
    if isinstance(value, str) and value in known:
        return value
    names = sorted(known)
    raise ValueError(f"{name} = {shown(value)}: expected one of {', '.join(names)}; {_nearest(str(value), names)}")


def only_known(where: str, given: Mapping[str, object], known: Collection[str]) -> None:
    """Raise ``ValueError`` if `given` has a key that is not `known`, naming the nearest known one."""
    for key in given:
        if key not in known:
            names = sorted(known)
            raise ValueError(
                f"{where} has no entry {shown(key)}: expected {', '.join(names)}; {_nearest(str(key), names)}"
            )


def made_from(where: str, kind: type, entries: Mapping[str, Any]) -> Any:
    """An instance of the dataclass `kind` from named entries; ``ValueError`` for an unknown or a missing one."""
    names, required = _names(kind)
    only_known(where, entries, names)
    missing = [name for name in required if name not in entries]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}: expected {', '.join(names)}; add {missing[0]}.")
    return kind(**entries)


@cache
def _names(kind: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the entries of the dataclass `kind`, and of those without a default."""
    fields = [field for field in dataclasses.fields(kind) if field.init]
    return tuple(f.name for f in fields), tuple(f.name for f in fields if f.default is dataclasses.MISSING)


def _nearest(value: str, names: list[str]) -> str:
    close = difflib.get_close_matches(value[:SHOWN], names, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"choose for instance {names[0]!r}."

"""Checks of arguments: one sentence that names the argument, what came, what was expected and how to mend it."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping

__all__ = ["integer", "one_of", "only_known", "positive", "real"]


def integer(name: str, value: object, *, least: int) -> int:
    """Return `value` as an int, or raise ``ValueError`` unless it is a whole number of at least `least`."""
    whole = isinstance(value, numbers.Integral) or (isinstance(value, numbers.Real) and float(value).is_integer())
    if isinstance(value, bool) or not whole or int(value) < least:  # type: ignore[call-overload]
        raise ValueError(
            f"{name} = {value!r}: expected a whole number of at least {least}; give {name} = {least} or more."
        )
    return int(value)  # type: ignore[call-overload]


def real(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it is a finite real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name} = {value!r}: expected a finite number; give {name} as a plain number such as 0.01.")
    return float(value) + 0.0  # so that -0.0 and 0.0 are one number


def positive(name: str, value: object) -> float:
    """Return `value` as a float, or raise ``ValueError`` unless it is finite and above zero."""
    number = real(name, value)
    if number <= 0:
        raise ValueError(f"{name} = {value!r}: expected a number above zero; give a positive {name}.")
    return number


def one_of(name: str, value: object, known: Iterable[str]) -> str:
    """Return `value`, or raise ``ValueError`` naming the nearest of the `known` names."""
    names = sorted(known)
    if value not in names:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(names)}; {_nearest(str(value), names)}")
    return str(value)


def only_known(where: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise ``ValueError`` if `given` has a key that is not `known`, naming the nearest known one."""
    names = sorted(known)
    for key in given:
        if key not in names:
            raise ValueError(f"{where} has no entry {key!r}: expected {', '.join(names)}; {_nearest(str(key), names)}")


def _nearest(value: str, names: list[str]) -> str:
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"choose for instance {names[0]!r}."

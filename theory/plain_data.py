"""Plain data: numbers, strings, lists and dicts, as JSON can hold them."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["plain", "restored", "without"]


def plain(data: Any) -> Any:
    """The same as plain data: dataclasses as dicts, arrays and tuples as lists, None for infinite numbers and NaN."""
    if isinstance(data, np.generic | np.ndarray):
        data = data.tolist()
    if is_dataclass(data) and not isinstance(data, type):
        return {field.name: plain(getattr(data, field.name)) for field in fields(data)}
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def restored(kind: Any, data: Any) -> Any:
    """A value of the type `kind` from what `plain` made of it.

    Dataclasses, named tuples, tuples, lists, mappings and optional values are restored, down to the last level; entries
    that a dataclass has no field for are passed over, those that are lacking have its defaults. None is infinite where
    the type says that there is a number.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the data are not of that type.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if data is None else restored(next(part for part in parts if part is not types.NoneType), data)
    if origin is tuple and parts[-1] is not Ellipsis:
        return tuple(restored(part, value) for part, value in zip(parts, data, strict=True))
    if origin in (tuple, list):
        return origin(restored(parts[0], value) for value in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {restored(parts[0], key): restored(parts[1], value) for key, value in data.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        given = {field.name: data[field.name] for field in fields(kind) if field.name in data}
        return kind(**{name: restored(hints[name], value) for name, value in given.items()})
    if hasattr(kind, "_fields"):
        hints = get_type_hints(kind)
        return kind(*(restored(hints[name], value) for name, value in zip(kind._fields, data, strict=True)))
    if kind is float:
        return math.inf if data is None else float(data)
    return kind(data) if kind in (int, str) and not isinstance(data, kind) else data


def without(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`data` without some entries."""
    return {name: value for name, value in data.items() if name not in names}

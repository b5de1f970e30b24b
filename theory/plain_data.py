"""Plain data: numbers, strings, lists and dicts, as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["plain", "without"]


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


def without(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`data` without some entries."""
    return {name: value for name, value in data.items() if name not in names}

"""Plain data as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["finite", "without"]


def without(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`data` less some entries."""
    return {name: value for name, value in data.items() if name not in names}


def finite(data: Any) -> Any:
    """`data` with dataclasses as dicts, arrays as lists, and None for numbers that are not finite."""
    if is_dataclass(data) and not isinstance(data, type):
        data = {entry.name: getattr(data, entry.name) for entry in fields(data)}
    if isinstance(data, np.ndarray | np.generic):
        data = data.tolist()
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data

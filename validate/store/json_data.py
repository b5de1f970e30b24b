"""Plain data as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["finite", "without"]


def without(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`data` less some entries."""
    return {name: value for name, value in data.items() if name not in names}


def finite(data: Any) -> Any:
    """The same with None for numbers that JSON has no word for."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data

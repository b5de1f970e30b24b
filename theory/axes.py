"""Axes of grids as text: a name and its values, or a range of them."""

from __future__ import annotations

import math

import numpy as np

from onset.theory import arguments

__all__ = ["MOST_POINTS", "parse"]

MOST_POINTS = 10**6
"""Points of the largest grid."""

WHOLE_NUMBERS = ("context", "states", "batch")
"""Axes whose ranges are rounded."""


def parse(text: str) -> tuple[str, tuple[float, ...]]:
    """Name and values of an axis from ``NAME=V,V,…``, or ``NAME=FIRST:LAST:COUNT``, geometric unless ``:lin`` follows.

    Ranges of whole-number axes are rounded; equal values are taken once.

    Raises
    ------
    ValueError
        If there is no name, no value, or one that is not a number.
    """
    name, equals, values_text = text.partition("=")
    name = name.strip().replace("_", "-").replace("lag-logits", "lag_logits")
    if not equals or not name:
        raise ValueError(f"grid = {text!r}: expected NAME=VALUES; give for instance context=50,100,200.")
    if ":" in values_text:
        values = _range(text, values_text)
        if name in WHOLE_NUMBERS:
            values = [float(round(value)) for value in values]
    else:
        values = [_number(text, value) for value in values_text.split(",") if value.strip()]
    if not values:
        raise ValueError(f"grid = {text!r}: expected at least one value; give for instance {name}=1,2,4.")
    return name, tuple(dict.fromkeys(values))


def _range(text: str, values_text: str) -> list[float]:
    parts = values_text.split(":")
    spacing = parts.pop() if len(parts) == 4 else "geo"
    if len(parts) != 3 or spacing not in ("geo", "lin"):
        raise ValueError(
            f"grid = {text!r}: expected a range FIRST:LAST:COUNT, or with :lin behind it; give for instance 32:4096:8."
        )
    first, last = _number(text, parts[0]), _number(text, parts[1])
    count = arguments.integer(f"count of grid {text!r}", _number(text, parts[2]), least=2)
    if count > MOST_POINTS:
        raise ValueError(f"grid = {text!r}: expected at most {MOST_POINTS} values; give fewer.")
    if not first < last:
        raise ValueError(
            f"grid = {text!r}: expected a range that goes up, but it is empty; give the smaller end first."
        )
    if spacing == "lin":
        return np.linspace(first, last, count).tolist()
    if first <= 0:
        raise ValueError(f"grid = {text!r}: expected ends above zero for a geometric range; put :lin behind it.")
    return [first, *np.geomspace(first, last, count)[1:-1].tolist(), last]


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"grid = {text!r}: expected finite numbers, but {value.strip()!r} is none; give for instance 0.5."
        )
    return number

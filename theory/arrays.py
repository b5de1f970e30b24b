"""Types of arrays, and their checks at the places where they enter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onset.theory import arguments

__all__ = ["Array", "Tokens", "floats", "numbers", "tokens_of"]

Array = NDArray[np.float64]

Tokens = NDArray[np.integer[Any]]
"""Tokens of n sequences, shape (n, T + 1)."""


def floats(name: str, value: object) -> Array:
    """Return `value` as an array of floats of any shape, or raise ``ValueError`` unless it is one."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{name} = {arguments.shown(value)}: expected an array of numbers; give one.") from None


def numbers(name: str, value: object, *shape: int | None, finite: bool = False) -> Array:
    """Return `value` as an array of floats, or raise ``ValueError`` unless it has the shape.

    Parameters
    ----------
    name : str
    value : object
    *shape : int or None
        Length of each dimension, None for any.
    finite : bool
        Refuse infinite entries and NaN.
    """
    array = floats(name, value)
    if len(shape) != array.ndim or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} has shape {array.shape}: expected ({wanted}); give an array of that shape.")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{name} = {arguments.shown(value)}: expected finite numbers; take out the others.")
    return array


def tokens_of(name: str, value: object, states: int) -> Tokens:
    """Return `value`, or raise ``ValueError`` unless it is whole numbers from 0 to `states` - 1 of shape (n, T + 1)."""
    tokens = np.asarray(value)
    if tokens.ndim != 2 or tokens.shape[1] < 2 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            f"{name} has shape {tokens.shape} and type {tokens.dtype}: expected whole numbers of shape (n, T + 1) with "
            "T of at least 1; give one row per sequence."
        )
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < states:
        raise ValueError(
            f"{name} has entries from {tokens.min()} to {tokens.max()}: expected 0 to {states - 1}, the {states} "
            "symbols; number them from 0."
        )
    return tokens

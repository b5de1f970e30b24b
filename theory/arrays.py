"""Types of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Tokens"]

Array = NDArray[np.float64]

Tokens = NDArray[np.integer[Any]]
"""Tokens of n sequences, shape (n, T + 1)."""

"""What happens where numbers leave the range of floating point, or a solver of scipy fails on them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["diverging", "in_range"]


@contextmanager
def in_range(what: str) -> Iterator[None]:
    """Overflow, division by zero and invalid operations inside are a ``ValueError`` on `what`, not warnings.

    So are failures of scipy's solvers. Parts that judge such numbers themselves are `diverging`, or have their own
    ``numpy.errstate``.
    """
    with np.errstate(over="raise", divide="raise", invalid="raise"), warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning, module=r"scipy\.")
        try:
            yield
        except (FloatingPointError, OverflowError, np.linalg.LinAlgError, UserWarning) as problem:
            raise ValueError(
                f"{what} leaves the range of floating-point numbers ({problem}): expected rates, initial values and "
                "concentrations of ordinary size; give less extreme ones."
            ) from problem


@contextmanager
def diverging() -> Iterator[None]:
    """Numbers may overflow inside in silence: whoever opens this judges them, and says that a curve diverged."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"scipy\.")
        yield

"""Compiled kernels: `numba.njit`, which also works where no folder can keep what it compiles."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache

from onset.simulate import user_cache

__all__ = ["njit"]


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator as `numba.njit`; with `cache`, machine code is kept where it can be, else made by every process."""

    def decorate(function: Callable[..., Any]) -> Any:
        kernel: Any = numba.njit(**options)(function)
        if cache and hasattr(kernel, "_cache"):  # not where NUMBA_DISABLE_JIT leaves the function as it is
            try:
                kernel._cache = _Cache(function)
            except RuntimeError:  # numba has looked for a folder: its own variable's, the module's, the user's
                user_cache.warn()
        return kernel

    return decorate


@cache
def _announce() -> None:
    """Say, once in a process, that something is compiled."""
    logging.getLogger(__name__).info("compiling; the machine code is kept, so that later runs start at once")


class _Cache(FunctionCache):
    """numba's cache of one function; a folder that can no longer be read or written costs time, not the answer."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except OSError:
            return user_cache.warn()
        if found is None:
            _announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            user_cache.warn()

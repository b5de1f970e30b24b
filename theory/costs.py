"""Memory and time that a computation needs, estimated from its sizes before it starts, against what there is.

A method states the bytes of its largest arrays, or its seconds on one core, as a function of the options that they grow
with. If they are more than there is, `require` refuses, and says which value of each option would fit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from onset.theory.arguments import LARGEST_NUMBER

__all__ = ["LONGEST", "TooCostly", "available_memory", "duration", "require_memory", "require_time"]

LONGEST = 365 * 86400.0
"""Seconds beyond which a computation is refused: none is awaited for a year."""

MEMORY_FILE = Path("/proc/meminfo")

CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Files with the limit and the use of a container's memory, by version of control groups."""

UNITS = ((86400 * 365, "years"), (86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


class TooCostly(ValueError):
    """More memory or time is needed than there is: on another machine, or at another hour, there may be enough."""


def available_memory() -> float:
    """Bytes that new arrays may take: what the system has free, within a container's limit; infinite if unknown."""
    known = [limit - used for limit, used in map(_control_group, CONTROL_GROUPS)]
    return max(0.0, min([_free_memory(), *known]))


def _free_memory() -> float:
    try:
        for line in MEMORY_FILE.read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return 1024.0 * int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    try:  # systems without the file: all that is installed
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _control_group(files: tuple[Path, Path]) -> tuple[float, float]:
    """Limit and use in bytes; without a limit, infinity and zero."""
    try:
        limit, used = (float(file.read_text()) for file in files)  # "max" is no number
        return limit, used
    except (OSError, ValueError):
        return math.inf, 0.0


def require_memory(what: str, needed: Callable[..., float], **sizes: int) -> None:
    """Raise `TooCostly`, a ``ValueError``, unless `needed`, in bytes, is available at the `sizes` of options.

    Parameters
    ----------
    what : str
        What needs it, as the message names it.
    needed : callable
        Bytes as a function of the options, not decreasing in any of them.
    **sizes : int
        Value of each option, by its name.
    """
    have = available_memory()
    _require(f"{what} needs about {{}} of memory, of which {_bytes(have)} are free", needed, have, _bytes, sizes)


def require_time(what: str, needed: Callable[..., float], **sizes: int) -> None:
    """Raise `TooCostly` unless `needed`, in seconds, is at most `LONGEST`; parameters as in `require_memory`."""
    _require(f"{what} takes up to {{}}, and {duration(LONGEST)} are the most", needed, LONGEST, duration, sizes)


def _require(
    text: str,
    needed: Callable[..., float],
    have: float,
    shown: Callable[[float], str],
    sizes: dict[str, int],
) -> None:
    if (amount := needed(**sizes)) <= have:
        return
    given = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    fitting = {
        name: _largest(lambda size, name=name: needed(**sizes | {name: size}) <= have, sizes[name]) for name in sizes
    }
    mends = [f"{name} = {size} or less" for name, size in fitting.items() if size]
    mend = f"give {' or '.join(mends)}" if mends else f"lower {' and '.join(sizes)}"
    raise TooCostly(f"{given}: {text.format(shown(amount))}; {mend}.")


def _largest(fits: Callable[[int], bool], too_large: int) -> int:
    """Largest whole number below `too_large` that fits; 0 if none does."""
    low, high = 0, min(too_large, LARGEST_NUMBER)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _bytes(amount: float) -> str:
    return f"{amount / 1e9:.3g} GB" if amount >= 1e8 else f"{amount / 1e6:.3g} MB"


def duration(seconds: float) -> str:
    """Seconds in words, in the largest unit of which there are two."""
    for size, name in UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return "1 second" if seconds >= 0.5 else "no time"

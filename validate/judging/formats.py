"""Numbers as text, the same in tables on a terminal, on the page, in the README and in sentences."""

from __future__ import annotations

__all__ = ["MISSING", "percent", "share", "signed", "with_interval"]

MISSING = "–"
"""Text of a number that does not exist."""


def percent(error: float | None) -> str:
    """A signed error in percent, with one digit; without digits from 100% on."""
    if error is None:
        return MISSING
    return f"{100 * error:+.0f}%" if abs(error) >= 1 else f"{100 * error:+.1f}%"


def share(value: float | None) -> str:
    """A share in percent, as `percent` writes it, without a plus sign."""
    return percent(value).lstrip("+")


def signed(value: float | None, digits: int = 1) -> str:
    """A number with its sign, minus as in mathematics."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


def with_interval(value: float | None, low: float | None, high: float | None, digits: int = 0) -> str:
    """A value with its interval, ``value [low, high]``; an interval without width, or none, is left out."""
    if value is None:
        return MISSING
    if low is None or high is None or low == high:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

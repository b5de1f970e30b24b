"""Checks of derivations that need automatic differentiation or training; `attach_all` adds them to those of `theory`. One module per derivation."""

from __future__ import annotations

from onset.theory.derivations import attach
from onset.validate.checks import signals, symmetry, third_order, trapped_basin

__all__ = ["CHECKS", "attach_all"]

CHECKS = {
    "symmetry": symmetry.CHECKS,
    "signals": signals.CHECKS,
    "third-order": third_order.CHECKS,
    "trapped-basin": trapped_basin.CHECKS,
}


def attach_all() -> None:
    """Add every check to its derivation."""
    for name, checks in CHECKS.items():
        for check in checks:
            attach(name, check)

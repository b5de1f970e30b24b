"""Checks of derivations that need automatic differentiation or training, by the name of the derivation."""

from __future__ import annotations

from onset.validate.checks import signals, symmetry, third_order, trapped_basin

__all__ = ["CHECKS"]

CHECKS = {
    "symmetry": symmetry.CHECKS,
    "signals": signals.CHECKS,
    "third-order": third_order.CHECKS,
    "trapped-basin": trapped_basin.CHECKS,
}

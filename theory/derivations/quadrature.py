"""Numerical values by tanh-sinh quadrature: of expressions as they are printed, and means over a Dirichlet row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import sympy as sp

__all__ = ["evaluated", "mean_over_entry"]


def evaluated(expression: Any, values: Mapping[Any, Any] | None = None, digits: int = 15) -> Any:
    """`expression` at `values` of its symbols to `digits`, each integral by tanh-sinh quadrature.

    The integrands have one variable, and may be singular at the ends of their range.
    """
    at = sp.sympify(expression).subs(values or {})
    known = {}
    with mpmath.workdps(digits):
        for integral in at.atoms(sp.Integral):
            ((variable, low, high),) = integral.limits
            integrand = sp.lambdify(variable, integral.function, "mpmath")
            points = [low, low + 1, mpmath.inf] if high.is_infinite else [low, (low + high) / 2, high]
            known[integral] = sp.Float(mpmath.quad(integrand, points), digits)
    return sp.N(at.subs(known), digits)


def mean_over_entry(states: int, concentration: float, function: Callable[[Any], Any]) -> float:
    """Mean of a function of one entry p of a Dirichlet row, in the variable p^α, in which the density is regular."""
    others = (states - 1) * concentration

    def integrand(x: Any) -> Any:
        p = x ** (1 / concentration)
        return (1 - p) ** (others - 1) * function(p)

    integral: Any = mpmath.quad(integrand, [0, 0.5, 1])  # pyright: ignore[reportArgumentType]
    return float(integral / concentration / mpmath.beta(concentration, others))

r"""LaTeX of sympy expressions, by sympy's printer with the notation of the derivations: 𝔼, ψ, ln Γ and H_n."""

from __future__ import annotations

import re
from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter

__all__ = ["latex"]


class _Printer(LatexPrinter):
    def _raised(self, text: str, exponent: str | None) -> str:
        return text if exponent is None else f"{{{text}}}^{{{exponent}}}"

    def _print_polygamma(self, expr: sp.polygamma, exp: str | None = None) -> str:
        order, argument = expr.args
        name = r"\psi" if order == 0 else f"\\psi^{{({self._print(order)})}}"
        return self._raised(f"{name}\\left({self._print(argument)}\\right)", exp)

    def _print_loggamma(self, expr: sp.loggamma, exp: str | None = None) -> str:
        return self._raised(f"\\ln\\Gamma\\left({self._print(expr.args[0])}\\right)", exp)

    def _print_beta(self, expr: sp.beta, exp: str | None = None) -> str:
        arguments = ", ".join(map(self._print, expr.args))
        return self._raised(f"\\operatorname{{B}}\\left({arguments}\\right)", exp)

    def _print_harmonic(self, expr: sp.harmonic, exp: str | None = None) -> str:
        index, *orders = expr.args
        order = f"^{{({self._print(orders[0])})}}" if orders else ""
        return self._raised(f"H_{{{self._print(index)}}}{order}", exp)

    def _hprint_Function(self, func: str) -> str:
        return r"\mathbb{E}" if func == "E" else super()._hprint_Function(func)

    def _deal_with_super_sub(self, string: str, style: str = "plain") -> str:
        latex = super()._deal_with_super_sub(string, style).replace("_{infinity}", r"_{\infty}")
        return re.sub(r"_\{([a-z]{3,})\}", r"_{\\mathrm{\1}}", latex)


_PRINTER = _Printer({"ln_notation": True, "long_frac_ratio": 2})


def latex(expression: Any) -> str:
    """LaTeX of a sympy expression; the parts of a tuple stand one after the other."""
    if isinstance(expression, sp.Tuple) and len(expression):
        return r",\quad ".join(_PRINTER.doprint(part) for part in expression)
    return _PRINTER.doprint(expression)

r"""Expressions as display formulas that stay on the page: long sums are split at their terms, by an estimate of widths.

What cannot be split and turns out too wide is shrunk by ``\fit`` when LaTeX sets it (`PREAMBLE`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.relational import Relational
from sympy.printing.latex import LatexPrinter

from onset.paper.latex_symbols import math_only

__all__ = ["LIMIT", "PREAMBLE", "display", "inline", "width"]

LIMIT = 62.0
"""Width of a line, in digits."""

PREAMBLE = r"""\newsavebox{\fitbox}
\newcommand{\fit}[1]{\sbox{\fitbox}{\renewcommand{\arraystretch}{1.4}$\displaystyle #1$}%
  \ifdim\wd\fitbox>\dimexpr\linewidth-5em\relax\resizebox{\dimexpr\linewidth-5em\relax}{!}{\usebox{\fitbox}}%
  \else\usebox{\fitbox}\fi}
\newcommand{\numbered}[2]{\refstepcounter{equation}%
  \begin{equation*}\fit{#2}\tag*{(\theequation)\;#1}\end{equation*}}"""

_SIGNS = {"==": "=", "!=": r"\neq", "<": "<", ">": ">", "<=": r"\leq", ">=": r"\geq"}
_WORD = re.compile(r"([_^])\{([a-z]{3,})\}")
_HOLE = sp.Symbol("@")
_TOKEN = re.compile(r"\\begin\{[a-zA-Z*]+\}(?:\{[lcr|]*\})?|\\end\{[a-zA-Z*]+\}|\\\\|\\[A-Za-z]+|\\.|.", re.DOTALL)
_WIDE = {"=", "+", r"\leq", r"\geq", r"\neq", r"\cdot", r"\sum", r"\int", r"\to", r"\log", r"\ln", r"\exp"}
_EMPTY = {
    r"\left",
    r"\right",
    r"\limits",
    r"\displaystyle",
    r"\,",
    r"\;",
    r"\!",
    r"\operatorname",
    r"\mathrm",
    r"\text",
}


class _Printer(LatexPrinter):
    """sympy's, with ψ for the digamma function."""

    def _print_polygamma(self, expr: sp.polygamma, exp: str | None = None) -> str:
        order, argument = expr.args
        derivative = "" if order == 0 else f"^{{({self._print(order)})}}"
        shown = f"\\psi{derivative}{{\\left({self._print(argument)}\\right)}}"
        return shown if exp is None else f"{{{shown}}}^{{{exp}}}"

    def _print_loggamma(self, expr: sp.loggamma, exp: str | None = None) -> str:
        shown = f"\\ln\\Gamma{{\\left({self._print(expr.args[0])}\\right)}}"
        return shown if exp is None else f"{{{shown}}}^{{{exp}}}"


_PRINTER = _Printer({"ln_notation": True, "long_frac_ratio": 2})


def inline(expression: sp.Basic) -> str:
    """LaTeX of `expression` in one piece."""
    return _WORD.sub(r"\1{\\mathrm{\2}}", math_only(_PRINTER.doprint(expression)))


def display(expression: sp.Basic) -> str:
    """LaTeX of `expression` in as many aligned lines as it needs."""
    if isinstance(expression, sp.Tuple) and len(expression) > 1:
        rows = [row for part in expression for row in _rows(part)]
    else:
        rows = _rows(expression)
    if len(rows) == 1:
        return rows[0].replace("&", "", 1) if rows[0].startswith("&") else rows[0].replace(" &", "", 1)
    return "\\begin{aligned}" + " \\\\ ".join(rows) + "\\end{aligned}"


def width(latex: str) -> float:
    """About how wide a formula is set, in digits."""
    return _measure(iter(_TOKEN.findall(latex)))


def _rows(expression: sp.Basic) -> list[str]:
    """Lines with one alignment mark each."""
    if not isinstance(expression, Relational):
        first, *others = _lines(expression, LIMIT)
        return [f"& {first}", *(f"& \\quad {line}" for line in others)]
    left, right = inline(expression.args[0]), expression.args[1]
    sign = _SIGNS[str(expression.rel_op)]  # pyright: ignore[reportAttributeAccessIssue]
    room = LIMIT - width(left)
    if room > LIMIT / 2:
        first, *others = _lines(right, room)
        return [f"{left} & {sign} {first}", *(f"& \\quad {line}" for line in others)]
    return [
        f"& {left}",
        *(f"& \\quad {sign if not i else ''} {line}" for i, line in enumerate(_lines(right, LIMIT - 4))),
    ]


def _lines(expression: sp.Basic, limit: float) -> list[str]:
    """`expression` in lines of about `limit`; one line if it fits or cannot be split."""
    whole = inline(expression)
    if width(whole) <= limit:
        return [whole]
    if isinstance(expression, sp.Add):
        return _sum(expression, limit)
    if isinstance(expression, sp.Mul):
        return _product(expression, limit)
    if isinstance(expression, ExprWithLimits) and len(expression.args) > 1:
        hollow = inline(expression.func(_HOLE, *expression.limits))
        before, _, after = hollow.partition("@")
        return _bracketed(before, expression.function, after, limit)
    return [whole]


def _sum(expression: sp.Add, limit: float) -> list[str]:
    """Terms, as many on a line as fit."""
    lines: list[str] = []
    terms: Any = _PRINTER._as_ordered_terms(expression)
    for term in terms:
        negative = term.could_extract_minus_sign() and inline(term).startswith("-")
        first, *others = _lines(term, limit - 2)
        first = first if negative or not lines else f"+ {first}"
        if lines and not others and width(lines[-1]) + width(first) <= limit:
            lines[-1] = f"{lines[-1]} {first}"
        else:
            lines.append(first)
        lines.extend(others)
    return lines


def _product(expression: sp.Mul, limit: float) -> list[str]:
    """The widest factor that is a sum, an integral or the like in brackets behind the others."""
    widths = {
        factor: width(inline(factor)) for factor in expression.args if isinstance(factor, sp.Add | ExprWithLimits)
    }
    if not widths:
        return _factors(expression, limit)
    widest = max(widths, key=lambda factor: (widths[factor], str(factor)))
    others = [factor for factor in expression.args if factor is not widest]
    before = inline(sp.Mul(*others)) if others != [sp.S.NegativeOne] else "-"
    if isinstance(sp.Mul(*others), sp.Add):
        before = f"\\left({before}\\right)"
    return _bracketed(before, widest, "", limit)


def _factors(expression: sp.Mul, limit: float) -> list[str]:
    """Factors, as many on a line as fit."""
    groups: list[list[Any]] = [[]]
    for factor in expression.as_ordered_factors():
        if groups[-1] and width(inline(sp.Mul(*groups[-1], factor, evaluate=False))) > limit - 3:
            groups.append([])
        groups[-1].append(factor)
    first, *others = (inline(sp.Mul(*group, evaluate=False)) for group in groups)
    return [first, *(f"\\times {line}" for line in others)]


def _bracketed(before: str, inner: sp.Basic, after: str, limit: float) -> list[str]:
    lines = _lines(inner, limit - width(before) - 3 if width(before) < limit / 2 else limit - 3)
    if len(lines) == 1 and not isinstance(inner, sp.Add):
        return [f"{before} {lines[0]} {after}"]
    if isinstance(inner, sp.Mul) and not any(r"\Bigl" in line for line in lines):
        return [f"{before} {lines[0]}", *lines[1:-1], f"{lines[-1]} {after}"]
    lines[0] = f"{before} \\Bigl( {lines[0]}"
    lines[1:] = [f"\\quad {line}" for line in lines[1:]]
    lines[-1] = f"{lines[-1]} \\Bigr) {after}"
    return lines


def _measure(tokens: Iterator[str], end: str = "") -> float:
    """Width up to the token `end`; the widest row, where there are several."""
    rows, total = [0.0], 0.0
    for token in tokens:
        if token == end:
            break
        if token == "\\\\":
            rows, total = [*rows, total], 0.0
        elif token in (r"\frac", r"\tfrac", r"\binom"):
            total += max(_argument(tokens), _argument(tokens)) + 0.5
        elif token.startswith(r"\begin"):
            total += _measure(tokens, token.replace("begin", "end", 1).partition("}")[0] + "}") + 1
        elif token in "_^":
            total += 0.7 * _argument(tokens)
        elif token == "{":
            total += _measure(tokens, "}")
        elif token == "&" or token in _WIDE:
            total += 2
        elif token not in _EMPTY and not token.isspace():
            total += 0.8 if token in "().,|[]" else 1
    return max(*rows, total)


def _argument(tokens: Iterator[str]) -> float:
    """Width of the next argument: a group or a single token."""
    token = next((t for t in tokens if not t.isspace()), "")
    return _measure(tokens, "}") if token == "{" else float(bool(token))

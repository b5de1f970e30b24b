"""A derivation as text for a terminal and as plain data for JSON."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import sympy as sp

from onset.command_line.terminal import fit, shows
from onset.paper.citation import plain_references
from onset.paper.prose import to_text
from onset.theory.derivations.derivation import STATEMENT, CheckResult
from onset.theory.derivations.printing import latex
from onset.validate.checks.running import CheckedDerivation, location

__all__ = ["as_text", "check_rows", "to_dict"]

DRAWN = "─∑√π"
"""Some of what formulas in Unicode are drawn with."""

MARKS = {True: "✓", False: "✗", None: "–"}


def as_text(checked: CheckedDerivation, columns: int = 100) -> str:
    """Statement, symbols, assumptions, steps, validity, references and checks, `columns` wide."""
    derivation = checked.derivation
    parts = [to_text(f"{derivation.name}: {derivation.title}"), _equation(checked, STATEMENT, columns)]
    if derivation.symbols:
        parts += ["where", *_pairs({_symbol(s): meaning for s, meaning in derivation.symbols.items()}, columns)]
    parts += ["", "Assumptions", *(_wrapped(text, columns, "  • ") for text in derivation.assumptions)]
    parts += ["", "Steps"] if derivation.steps else [""]
    for number, step in enumerate(derivation.steps, 1):
        reason = f": {step.reason}" if step.reason else ""
        parts.append(_wrapped(f"{step.name}{reason}", columns, f"  {number}. "))
        parts.append("" if step.expression is None else _equation(checked, step.label, columns))
    parts += ["Validity", _wrapped(derivation.validity, columns, "  ")]
    parts += ["", "Source", _wrapped(derivation.source, columns, "  ")]
    if derivation.references:
        parts += ["", "References (onset cite gives their BibTeX)"]
        parts += [_wrapped(reference, columns, "  • ") for reference in plain_references(derivation.references)]
    checks = (f"{MARKS[r.passed]} {r.check.name}: {r.check.compares}" for r in checked.results)
    return "\n".join([*parts, "", f"Checks: {checked.summary}", *(_wrapped(text, columns, "  ") for text in checks)])


def to_dict(checked: CheckedDerivation) -> dict[str, Any]:
    """The same as plain data; expressions as sympy text and LaTeX, prose in Unicode and with mathematics in LaTeX."""
    derivation = checked.derivation
    return {
        "name": derivation.name,
        **_both("title", derivation.title),
        "statement": str(derivation.statement),
        "latex": latex(derivation.statement),
        "symbols": {str(symbol): to_text(meaning) for symbol, meaning in derivation.symbols.items()},
        "symbols_latex": {latex(symbol): meaning for symbol, meaning in derivation.symbols.items()},
        "assumptions": [to_text(text) for text in derivation.assumptions],
        "assumptions_latex": list(derivation.assumptions),
        "steps": [
            {
                **_both("name", step.name),
                **_both("reason", step.reason),
                "label": step.label or None,
                "expression": None if step.expression is None else str(step.expression),
                "latex": None if step.expression is None else latex(step.expression),
            }
            for step in derivation.steps
        ],
        **_both("validity", derivation.validity),
        **_both("source", derivation.source),
        "references": list(derivation.references),
        "status": checked.summary,
        "passed": checked.passed,
        "checks": [
            result.to_dict()
            | {
                "evaluates": list(result.check.labels),
                "location": location(result.check),
                **_both("compares", result.check.compares),
            }
            for result in checked.results
        ],
    }


def check_rows(checked: CheckedDerivation) -> list[tuple[str, ...]]:
    """One row per check: its name, mark, residual, tolerance, where that comes from, seconds."""
    return [(result.check.name, MARKS[result.passed], *_cells(result)) for result in checked.results]


def _cells(result: CheckResult) -> tuple[str, str, str, str]:
    seconds = "" if result.seconds is None else f"{result.seconds:.1f}"
    if result.residual is not None:
        value = f"{result.residual.value:.3g}" if math.isfinite(result.residual.value) else "not finite"
        return value, f"{result.residual.tolerance:.3g}", to_text(result.residual.because), seconds
    if result.skipped:
        return "", "", f"skipped: {result.skipped}", seconds
    return "", "", " ".join(result.error.split()) if result.error else "not run", seconds


def _both(name: str, text: str) -> dict[str, str]:
    return {name: to_text(text), f"{name}_latex": text}


def _equation(checked: CheckedDerivation, label: str, columns: int) -> str:
    """The equation of a label, and the marks of the checks that evaluate it."""
    marks = (f"{result.check.name} {MARKS[result.passed]}" for result in checked.results_of(label))
    evaluated = _wrapped(f"evaluated by {', '.join(marks)}", columns, " " * 6)
    return f"{_pretty(checked.derivation.equations[label], columns)}{evaluated}\n"


def _pretty(expression: sp.Basic, columns: int) -> str:
    text = sp.pretty(expression, use_unicode=shows(DRAWN), num_columns=columns - 6, wrap_line=True)
    return "\n" + textwrap.indent("\n".join(line.rstrip() for line in text.split("\n")), " " * 6).rstrip() + "\n"


def _symbol(symbol: sp.Basic) -> str:
    """On one line: pretty where that has one, plain elsewhere."""
    text = sp.pretty(symbol, use_unicode=shows(DRAWN))
    return str(symbol) if "\n" in text else text


def _wrapped(text: str, columns: int, lead: str) -> str:
    return textwrap.fill(fit(to_text(text)), columns, initial_indent=lead, subsequent_indent=" " * len(lead))


def _pairs(pairs: dict[str, str], columns: int) -> list[str]:
    room = max(map(len, pairs), default=0)
    return [_wrapped(text, columns, f"  {name:<{room}}  ") for name, text in pairs.items()]

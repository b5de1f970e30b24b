"""A derivation as text for a terminal and as plain data for JSON."""

from __future__ import annotations

import textwrap
from typing import Any

import sympy as sp

from onset.paper.citation import fields
from onset.paper.latex_equations import inline
from onset.theory.derivations.references import REFERENCES
from onset.validate.derivation_checks import Result, Status

__all__ = ["as_text", "check_rows", "to_dict"]

MARKS = {True: "✓", False: "✗", None: "–"}


def as_text(status: Status, columns: int = 100) -> str:
    """Statement, symbols, assumptions, steps, validity, references and checks, `columns` wide."""
    it = status.derivation
    parts = [f"{it.name}: {it.title}", _pretty(it.statement, columns)]
    names = {_symbol(symbol): meaning for symbol, meaning in it.symbols.items()}
    parts += ["where", *_pairs(names, columns)] if names else []
    parts += ["", "Assumptions", *(_wrapped(text, columns, "  • ") for text in it.assumptions)]
    parts += ["", "Steps"] if it.steps else []
    for number, step in enumerate(it.steps, 1):
        reason = f": {step.reason}" if step.reason else ""
        parts += [_wrapped(f"{step.name}{reason}", columns, f"  {number}. "), _pretty(step.expression, columns)]
    parts += [
        *([] if it.steps else [""]),
        "Validity",
        _wrapped(it.validity, columns, "  "),
        "",
        "Source",
        _wrapped(it.source, columns, "  "),
    ]
    if it.references:
        parts += ["", "References (onset cite gives their BibTeX)"]
        parts += _pairs(
            {key: fields(REFERENCES[key]).get("title", "") for key in it.references if key in REFERENCES}, columns
        )
    parts += ["", f"Checks: {status.words}", *(_check(result, columns) for result in status.results)]
    return "\n".join(parts)


def to_dict(status: Status) -> dict[str, Any]:
    """The same as plain data; expressions as sympy text and as LaTeX."""
    it = status.derivation
    return {
        "name": it.name,
        "title": it.title,
        "statement": str(it.statement),
        "latex": inline(it.statement),
        "symbols": {str(symbol): meaning for symbol, meaning in it.symbols.items()},
        "assumptions": list(it.assumptions),
        "steps": [
            {"name": s.name, "expression": str(s.expression), "latex": inline(s.expression), "reason": s.reason}
            for s in it.steps
        ],
        "validity": it.validity,
        "source": it.source,
        "references": list(it.references),
        "status": status.words,
        "passed": status.passed,
        "checks": [result.to_dict() for result in status.results],
    }


def check_rows(status: Status) -> list[tuple[str, ...]]:
    """One row per check: its name, mark, residual, tolerance, where that comes from, seconds."""
    return [(r.check.name, MARKS[r.passed], *_outcome(r)) for r in status.results]


def _outcome(result: Result) -> tuple[str, ...]:
    found = result.found
    if found is None:
        return ("", "", "not run", "")
    seconds = f"{found['seconds']:.1f}"
    if found["skipped"] or found["error"]:
        words = f"skipped: {found['skipped']}" if found["skipped"] else " ".join(found["error"].split())
        return ("", "", words, seconds)
    shown = ("not finite" if value is None else f"{value:.3g}" for value in (found["residual"], found["tolerance"]))
    return (*shown, found["because"], seconds)


def _pretty(expression: sp.Basic, columns: int) -> str:
    shown = sp.pretty(expression, use_unicode=True, num_columns=columns - 6, wrap_line=True)
    return "\n" + textwrap.indent("\n".join(line.rstrip() for line in shown.split("\n")), " " * 6).rstrip() + "\n"


def _symbol(symbol: sp.Basic) -> str:
    """On one line: pretty where that has one, plain elsewhere."""
    shown = sp.pretty(symbol, use_unicode=True)
    return str(symbol) if "\n" in shown else shown


def _wrapped(text: str, columns: int, lead: str) -> str:
    return textwrap.fill(text, columns, initial_indent=lead, subsequent_indent=" " * len(lead))


def _pairs(pairs: dict[str, str], columns: int) -> list[str]:
    room = max(map(len, pairs), default=0)
    return [_wrapped(text, columns, f"  {name:<{room}}  ") for name, text in pairs.items()]


def _check(result: Result, columns: int) -> str:
    return _wrapped(f"{result.check.name}: {result.check.compares}", columns, f"  {MARKS[result.passed]} ")

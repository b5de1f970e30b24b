"""Derivations as Markdown, for the pages of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from onset.paper.citation import plain_references
from onset.theory.derivations.derivation import STATEMENT, CheckResult
from onset.theory.derivations.printing import latex
from onset.validate.checks.running import CheckedDerivation, attach_all, recall

__all__ = ["derivation"]

MARKS = {True: "✓", False: "✗", None: "–"}
"""Marks of a check that passed, failed, was not run."""


def derivation(name: str, *, level: int = 2) -> str:
    """A derivation as Markdown: title, statement, symbols, assumptions, steps, validity, source and checks.

    Mathematics stands between dollar signs; display equations stand between ``$$`` on lines of their own, followed by
    the marks of the checks that evaluate them: ✓ passed, ✗ failed, – not run on this machine since the code changed
    (``onset derive --check`` runs them).

    Parameters
    ----------
    name : str
        One of `onset.theory.derivations.names`.
    level : int
        Level of the title's heading; the headings of the parts are one level below.

    Examples
    --------
    >>> derivation("two-state-chain").splitlines()[0]
    '## Two states: powers of the transition matrix'
    """
    attach_all()
    checked = recall(name)
    derived, heading = checked.derivation, "#" * (level + 1)
    symbols = {f"${latex(symbol)}$": meaning for symbol, meaning in derived.symbols.items()}
    blocks = [
        f"{'#' * level} {derived.title}",
        *_equation(checked, STATEMENT),
        _table("symbol, meaning", symbols.items()),
    ]
    blocks += [f"{heading} Assumptions", "\n".join(f"- {text}" for text in derived.assumptions), f"{heading} Steps"]
    for number, step in enumerate(derived.steps, 1):
        reason = f": {step.reason}" if step.reason else ""
        blocks += [f"**{number}.** *{step.name}*{reason}", *(_equation(checked, step.label) if step.label else ())]
    blocks += [f"{heading} Validity", derived.validity, f"{heading} Source", derived.source]
    blocks.append("\n".join(f"- {reference}" for reference in plain_references(derived.references)))
    checks = [(MARKS[r.passed], f"`{r.check.name}`", r.check.compares, _residual(r)) for r in checked.results]
    blocks += [f"{heading} Checks", _table(", check, compares, residual and tolerance", checks)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _equation(checked: CheckedDerivation, label: str) -> Iterator[str]:
    yield f"$$\n{latex(checked.derivation.equations[label])}\n$$"
    marks = (f"{result.check.name} {MARKS[result.passed]}" for result in checked.results_of(label))
    yield f"Evaluated by {', '.join(marks)}"


def _table(header: str, rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a cell would end it."""
    titles = header.split(", ")
    lines = [titles, ["---"] * len(titles), *(([cell.replace("|", r"\vert ") for cell in row]) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _residual(result: CheckResult) -> str:
    if result.residual is None:
        return " ".join((result.error or result.skipped or "not run").split())
    return f"{result.residual.value:.3g}, at most {result.residual.tolerance:.3g}: {result.residual.because}"

r"""Derivations as LaTeX documents: each equation beside a mark, whether the checks that evaluate it passed, and
links to them.

One self-contained file per derivation, ``derivations.tex`` with all, and ``references.bib``. They need pdflatex with
the packages of texlive-latex-base and -recommended and lmodern. The same derivations and results give the same bytes.
Long equations are broken into lines by LaTeX's package breqn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import jinja2

from onset.paper.citation import bibliography, entry
from onset.paper.prose import escape, to_ascii, to_latex
from onset.theory.derivations.derivation import CheckResult, Derivation
from onset.theory.derivations.printing import latex
from onset.validate.checks.running import CheckedDerivation, all_passed, location
from onset.validate.store.files import write_text

__all__ = ["ALL", "BIBLIOGRAPHY", "document", "write"]

ALL, BIBLIOGRAPHY = "derivations.tex", "references.bib"

MARKS = {True: r"\passed", False: r"\failed", None: r"\notrun"}


def write(checked: Sequence[CheckedDerivation], folder: Path, *, together: bool = True) -> list[Path]:
    """Write one file per derivation into `folder`, if `together` also `ALL` and `BIBLIOGRAPHY`; return their paths."""
    files = {f"{derived.derivation.name}.tex": document([derived], derived.derivation.title) for derived in checked}
    if together:
        files[ALL] = document(checked, "Derivations")
        files[BIBLIOGRAPHY] = "\n\n".join(entry(key) for key in _references(checked)) + "\n"
    return [write_text(folder / name, text) for name, text in files.items()]


def document(checked: Sequence[CheckedDerivation], title: str) -> str:
    """A compilable document; with several derivations each is a section."""
    return _template().render(title=title, checked=checked, bibliography=bibliography(_references(checked)))


def _references(checked: Sequence[CheckedDerivation]) -> list[str]:
    return list(dict.fromkeys(key for derived in checked for key in derived.derivation.references))


def _mark(results: Sequence[CheckResult]) -> str:
    return MARKS[all_passed(results)]


def _target(derivation: Derivation, result: CheckResult) -> str:
    """Name of the link to a check: its place, as its name may hold what a link may not."""
    return f"check.{derivation.name}.{[check.name for check in derivation.checks].index(result.check.name)}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "not finite"
    digits, _, exponent = f"{value:.3g}".partition("e")
    return f"${digits} \\times 10^{{{int(exponent)}}}$" if exponent else f"${digits}$"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    identifier = partial(re.sub, r"[^\w.]", "-", flags=re.ASCII)
    environment.filters |= {
        "latex": lambda expression: to_ascii(latex(expression)),
        "prose": to_latex,
        "escape": escape,
        "number": _number,
        "identifier": identifier,
    }
    environment.globals |= {"mark": _mark, "target": _target, "location": location}
    return environment.get_template("derivations.tex.jinja")

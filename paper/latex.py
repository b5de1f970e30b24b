r"""Derivations as LaTeX: the statement that is tested, beside it whether its checks passed and which they are.

One self-contained file per derivation, ``derivations.tex`` with all, and ``references.bib``. They need pdflatex with the
packages of texlive-latex-base and -recommended and lmodern, nothing else; the same derivations and results give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from onset.paper import latex_equations
from onset.paper.citation import readable
from onset.paper.latex_equations import display, inline
from onset.paper.latex_text import escape, to_latex
from onset.theory.derivations.derivation import Derivation, Step
from onset.theory.derivations.references import REFERENCES, bibtex
from onset.validate.derivation_checks import Result, Status, location
from onset.validate.files import write_text

__all__ = ["ALL", "BIBLIOGRAPHY", "document", "write"]

ALL, BIBLIOGRAPHY = "derivations.tex", "references.bib"

PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{lmodern}
\usepackage[a4paper, margin=25mm]{geometry}
\usepackage{amsmath, amssymb, array, booktabs, graphicx, longtable, xcolor}
\usepackage[colorlinks, linkcolor=blue!50!black, citecolor=blue!50!black, urlcolor=blue!50!black, bookmarks=false]{hyperref}
\definecolor{passed}{HTML}{1B7837}
\definecolor{failed}{HTML}{B2182B}
\definecolor{notrun}{HTML}{6E6E6E}
\newcommand{\passed}{\textcolor{passed}{\ensuremath{\checkmark}}}
\newcommand{\failed}{\textcolor{failed}{\ensuremath{\boldsymbol{\times}}}}
\newcommand{\notrun}{\textcolor{notrun}{\textbf{--}}}
\newcommand{\tested}[1]{\nopagebreak{\footnotesize\raggedleft\textcolor{notrun}{tested by} #1\par}\smallskip}
\newcolumntype{L}[1]{>{\raggedright\arraybackslash}p{#1}}
\setlength{\parindent}{0pt}\setlength{\parskip}{4pt plus 2pt}\emergencystretch=3em
\AtBeginDocument{\abovedisplayshortskip=\abovedisplayskip}
\setlength{\LTpre}{4pt}\setlength{\LTpost}{6pt}"""

LEGEND = (
    r"\begin{center}\footnotesize \passed{} all its checks passed \quad \failed{} a check failed \quad "
    r"\notrun{} not run, or changed since \quad no mark: no check of its own \end{center}"
)

_MARKS = {True: r"\passed", False: r"\failed", None: r"\notrun"}


def write(statuses: Sequence[Status], folder: Path, *, together: bool = True) -> list[Path]:
    """Write one file per derivation into `folder`, if `together` also `ALL` and `BIBLIOGRAPHY`; return their paths."""
    files = {f"{_slug(s.derivation.name)}.tex": document([s], s.derivation.title) for s in statuses}
    if together:
        files[ALL] = document(statuses, "Derivations")
        files[BIBLIOGRAPHY] = bibtex(_references(statuses)) + "\n"
    return [write_text(folder / name, text) for name, text in files.items()]


def document(statuses: Sequence[Status], title: str) -> str:
    """A compilable document; with several derivations each is a section."""
    alone = len(statuses) == 1
    bodies = [part for status in statuses for part in ([] if alone else [_section(status)]) + [_body(status)]]
    head = [PREAMBLE, latex_equations.PREAMBLE, r"\begin{document}"]
    name = f"\\begin{{center}}\\LARGE {to_latex(title)}\\end{{center}}"
    return "\n".join([*head, name, LEGEND, *bodies, *_bibliography(statuses), r"\end{document}", ""])


def _section(status: Status) -> str:
    return f"\\section{{\\texorpdfstring{{\\raggedright {to_latex(status.derivation.title)}}}{{{_slug(status.derivation.name)}}}}}"


def _body(status: Status) -> str:
    it = status.derivation
    parts = [
        _equation(it.statement, _mark(status.passed, it), status.results, it),
        _symbols(it),
        _heading("Assumptions"),
        _items(it.assumptions),
        *([_heading("Steps")] if it.steps else []),
        *(_step(number, step, status) for number, step in enumerate(it.steps, 1)),
        _heading("Validity"),
        to_latex(it.validity),
        _heading("Source"),
        to_latex(it.source) + (f"~\\cite{{{','.join(it.references)}}}" if it.references else ""),
        _checks(status),
    ]
    return "\n\n".join(filter(None, parts))


def _heading(words: str) -> str:
    return f"\\subsection*{{{words}}}"


def _mark(passed: bool | None, derivation: Derivation) -> str:
    return f"\\hyperlink{{{_target(derivation)}}}{{{_MARKS[passed]}}}"


def _equation(expression: object, mark: str, results: Iterable[Result], derivation: Derivation) -> str:
    """A numbered display, its mark, and the names of the checks that test it, each a link to its row."""
    links = [f"\\hyperlink{{{_target(derivation, r)}}}{{{escape(r.check.name)}~{_MARKS[r.passed]}}}" for r in results]
    tested = f"\n\\tested{{{', '.join(links)}}}" if links else ""
    return f"\\numbered{{{mark}}}{{{display(expression)}}}{tested}"  # pyright: ignore[reportArgumentType]


def _symbols(derivation: Derivation) -> str:
    rows = [f"${inline(symbol)}$ & {to_latex(meaning)} \\\\" for symbol, meaning in derivation.symbols.items()]
    if not rows:
        return ""
    return "\n".join([r"\begin{longtable}[l]{@{}lL{0.78\linewidth}@{}}", *rows, r"\end{longtable}"])


def _items(texts: Iterable[str]) -> str:
    items = [f"\\item {to_latex(text)}" for text in texts]
    return "\n".join([r"\begin{itemize}\setlength{\itemsep}{0pt}", *items, r"\end{itemize}"]) if items else "None."


def _step(number: int, step: Step, status: Status) -> str:
    results = [r for r in status.results if r.check.name in (*step.checks, _words(step.name))]
    verdicts = {r.passed for r in results}
    passed = False if False in verdicts else None if None in verdicts else True
    mark = _mark(passed, status.derivation) if results else r"\phantom{\passed}"
    reason = (
        f" {to_latex(step.reason[0].upper() + step.reason[1:] if _sentence(step.reason) else step.reason)}."
        if step.reason
        else ""
    )
    head = f"\\textbf{{{number}.}} \\emph{{{to_latex(step.name)}.}}{reason.replace('..', '.')}"
    return head + "\n" + _equation(step.expression, mark, results, status.derivation)


def _sentence(text: str) -> bool:
    """Whether `text` begins with a word, not a formula."""
    return re.match(r"[a-z][a-z]+[\s,]", text) is not None


def _checks(status: Status) -> str:
    """The table of checks: what is compared, the residual and the tolerance, where that comes from, and where the check stands."""
    head = r"& \textbf{check, and where it stands} & \textbf{compares} & \textbf{residual} & \textbf{tolerance, and why} \\ \midrule"
    rows = [_row(result, status.derivation) for result in status.results]
    table = [
        rf"{{\footnotesize\hypertarget{{{_target(status.derivation)}}}{{}}",
        r"\begin{longtable}[l]{@{}lL{0.27\linewidth}L{0.27\linewidth}L{0.11\linewidth}L{0.22\linewidth}@{}}",
        rf"\toprule {head} \endhead \bottomrule \endfoot",
        *rows,
        r"\end{longtable}}",
        rf"Run them with \texttt{{onset derive --check {escape(status.derivation.name)}}}.".replace(
            "--check", "-{}-check"
        ),
    ]
    return "\n".join([_heading("Checks"), *(table if rows else ["None: nothing here has been tested."])])


def _row(result: Result, derivation: Derivation) -> str:
    found = result.found or {}
    where = re.sub(r"[^\w./-]", "-", location(result.check), flags=re.ASCII)
    if result.passed is None:
        words = (found.get("skipped") or "not run", "")
    elif found.get("error"):
        words = ("error", found["error"])
    else:
        words = (_number(found["residual"]), f"{_number(found['tolerance'])}: {found['because']}")
    cells = [
        f"\\hypertarget{{{_target(derivation, result)}}}{{{_MARKS[result.passed]}}}",
        f"{escape(result.check.name)} \\newline {{\\scriptsize\\nolinkurl{{{where}}}}}",
        *map(to_latex, (result.check.compares, *words)),
    ]
    return " & ".join(cells) + r" \\ \addlinespace[4pt]"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}".replace("-", "−", 1) if value < 0 else f"{value:.3g}"


def _references(statuses: Iterable[Status]) -> list[str]:
    return list(dict.fromkeys(key for status in statuses for key in status.derivation.references))


def _bibliography(statuses: Iterable[Status]) -> list[str]:
    keys = _references(statuses)
    bibtex(keys)
    entries = [f"\\bibitem{{{key}}} {readable(REFERENCES[key])}" for key in keys]
    return [r"\begin{thebibliography}{99}", *entries, r"\end{thebibliography}"] if entries else []


def _words(text: str) -> str:
    """The letters and digits of `text`, hyphens between."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")


def _slug(name: str) -> str:
    """For file names and links: `name` itself if it is words and hyphens, else something as telling and of its own."""
    plain = _words(name)
    return (
        plain if plain == name and f"{name}.tex" != ALL else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    )


def _target(derivation: Derivation, result: Result | None = None) -> str:
    if result is None:
        return f"checks.{_slug(derivation.name)}"
    return f"check.{_slug(derivation.name)}.{[c.name for c in derivation.checks].index(result.check.name)}"

"""The page of a suite: data for its template, and how numbers are written."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims import Finding
from onset.validate.inspection.formation import HEAD_KINDS
from onset.validate.judging.formats import MISSING, percent, share, signed, with_interval
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Verdict, counted, worst
from onset.validate.suite.comparisons import Comparison
from onset.validate.suite.exponents import Exponent
from onset.validate.suite.results import Results
from onset.validate.suite.tolerances import TRAINED

__all__ = ["percent", "render", "share", "show"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a number with its interval, or why there is none; `key` sorts it, `kind` colours it."""

    text: str
    detail: str = ""
    title: str = ""
    key: float | None = None
    kind: str = ""


def render(results: Results, data: dict[str, Any], pictures: Sequence[tuple[str, str, str]]) -> str:
    """The page as text.

    Parameters
    ----------
    results : Results
    data : dict
        ``results.to_dict()`` with versions.
    pictures : sequence of (name, base64 of a PNG, caption)
    """
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "signed": signed, "share": share}
    groups: dict[str, list[Comparison]] = defaultdict(list)
    for comparison in results.comparisons:
        if comparison.unit == "steps":
            groups[comparison.group].append(comparison)
    toys = {group: rows for group, rows in groups.items() if any("finite-context" in c.predicted for c in rows)}
    summaries = [summary for summary in results.error_summaries if not summary.group]
    return environment.get_template("page.html.jinja").render(
        results=results,
        data=data,
        pictures=pictures,
        groups=[(group, *_table(rows)) for group, rows in toys.items()],
        others=[_row(c) for c in results.comparisons if c.group not in toys],
        counts=counted(c.highest_pair.verdict.kind for c in results.comparisons if c.highest_pair is not None),
        summaries=summaries,
        headline=next((s for s in summaries if (s.lower, s.upper) == ("finite-context", TRAINED)), None),
        exponents=[row for exponent in results.exponents for row in _slopes(exponent)],
        details={s["label"]: json.dumps(s["setting"], indent=1, ensure_ascii=False) for s in data["settings"]},
        claimed={result.claim.id: [_finding(finding) for finding in result.findings] for result in results.claims},
        formed=_heads(results),
        level=FORMATION_LEVEL,
        infinity=math.inf,
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        js=(HERE / "page.js").read_text(encoding="utf-8"),
    )


def show(interval: Interval | None) -> str:
    """A value and its interval, all to the same number of digits; the reason if there is none."""
    if interval is None:
        return MISSING
    cell = _cell(interval)
    return cell.title or cell.text if interval.value is None else f"{cell.text} {cell.detail}".strip()


def _table(rows: Sequence[Comparison]) -> tuple[list[str], list[dict[str, Any]]]:
    """Rungs that answer for at least one setting, and rows with two cells for each."""
    rungs = [
        rung for rung in rows[0].predicted if any(not c.predicted[rung].refused for c in rows if rung in c.predicted)
    ]
    return rungs, [_row(c, rungs) for c in rows]


def _row(c: Comparison, rungs: Sequence[str] = ()) -> dict[str, Any]:
    """A row for a comparison, with two cells for each of `rungs`: the prediction, and its error against training."""
    against_trained = {pair.lower: pair.verdict for pair in c.judged if pair.upper == TRAINED}
    cells = []
    for rung in rungs:
        interval, verdict = c.predicted.get(rung), against_trained.get(rung)
        kind, title = ("", "") if verdict is None else (verdict.kind, _why(verdict))
        error = None if verdict is None else verdict.error
        text, key = ("", None) if error is None else (percent(error), abs(error))
        allowed = "" if verdict is None or error is None else f"of {share(verdict.tolerance.value)}"
        cells.append(Cell("", kind=kind) if interval is None else _cell(interval, kind, title))
        cells.append(Cell(text, allowed, title, key, kind))
    verdict = None if c.highest_pair is None else c.highest_pair.verdict
    promised = [pair.verdict.kind for pair in c.judged if pair.promised]
    return {
        "comparison": c,
        "cells": cells,
        "predicted": [(rung, _cell(interval)) for rung, interval in c.predicted.items()],
        "observed": _cell(c.observed),
        "verdict": worst(promised) or (verdict.kind if verdict else ""),
        "why": _why(verdict) if verdict else "",
        "z": verdict.z if verdict else None,
        "error": verdict.error if verdict and c.unit != "share" else None,
        "promised": bool(promised),
    }


def _why(verdict: Verdict) -> str:
    z = "" if verdict.z is None else f", z = {verdict.z:+.1f}"
    decides = f"; what would decide: {verdict.decides}" if verdict.decides else ""
    return f"{verdict.because}{z}{decides}. Tolerance: {verdict.tolerance.source}."


def _cell(interval: Interval, kind: str = "", title: str = "") -> Cell:
    if interval.value is None:
        if interval.refused:
            return Cell(MISSING, title=interval.reason or "")
        text = "never" if interval.share is None else f"{100 * interval.share:.0f}% of curves"
        return Cell(text, title=title or interval.reason or "", key=math.inf, kind=kind)
    digits = max(0, min(4, 2 - math.floor(math.log10(abs(interval.value) or 1))))
    text, _, detail = with_interval(interval.value, interval.low, interval.high, digits).partition(" ")
    return Cell(text, detail, title, interval.value, kind)


def _finding(finding: Finding) -> dict[str, Any]:
    """A row of a claim: the finding, its numbers as cells."""
    predicted = finding.predicted
    cell = Cell(predicted.reason or "–") if predicted.value is None else _cell(predicted)
    return {"finding": finding, "predicted": cell, "observed": _cell(finding.observed), "why": _why(finding.verdict)}


def _heads(results: Results) -> tuple[list[str], list[tuple[str, int, list[Cell]]]]:
    """Columns, a kind of head in a layer each, and rows, a transformer each: label, seeds, steps of formation."""
    kinds = {(head.layer, head.kind) for heads in results.heads for head in heads.formed}
    columns = sorted(kinds, key=lambda column: (column[0], list(HEAD_KINDS).index(column[1])))
    rows = []
    for heads in results.heads:
        cells = {(head.layer, head.kind): _cell(head.formed) for head in heads.formed}
        rows.append((heads.label, heads.seeds, [cells.get(column, Cell("")) for column in columns]))
    return [f"layer {layer}: {kind}" for layer, kind in columns], rows


def _slopes(exponent: Exponent) -> Iterator[dict[str, Any]]:
    """A row for each rung's slope, the trained one's with the exponent that theory states."""
    for rung, slope in exponent.slopes.items():
        stated = exponent.stated if rung == TRAINED else None
        yield {"exponent": exponent, "rung": rung, "slope": slope, "stated": stated}

"""The page of a suite: what its template needs, and how numbers are written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims import Finding
from onset.validate.inspection.formation import HEAD_KINDS
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import counted, worst
from onset.validate.suite.comparisons import Comparison
from onset.validate.suite.results import Results
from onset.validate.suite.tolerances import TRAINED

__all__ = ["percent", "render", "show"]

HERE = Path(__file__).parent

NAMES = {"learning-rate.match": "rate of the match"}
"""Axes of series, where the page names them otherwise."""


@dataclass(frozen=True)
class Cell:
    """A number with its interval, or why there is none; `key` sorts it."""

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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "signed": signed, "share": share}
    steps = [c for c in results.comparisons if c.unit == "steps"]
    toys = {group: rows for group, rows in _groups(steps).items() if any("finite-context" in c.predicted for c in rows)}
    whole = [one for one in results.spreads if not one.group]
    return environment.get_template("page.html.jinja").render(
        results=results,
        data=data,
        pictures=pictures,
        groups=[(group, *_table(rows)) for group, rows in toys.items()],
        others=[_other(c) for c in results.comparisons if c.group not in toys],
        counts=_counts(results),
        spreads=whole,
        headline=next((one for one in whole if (one.lower, one.upper) == ("finite-context", TRAINED)), None),
        exponents=[row for found in results.exponents for row in _slopes(found)],
        details={s["label"]: json.dumps(s["setting"], indent=1, ensure_ascii=False) for s in data["settings"]},
        claimed={told.claim.id: [_finding(one) for one in told.findings] for told in results.claims},
        formed=_heads(results),
        level=FORMATION_LEVEL,
        infinity=math.inf,
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        js=(HERE / "page.js").read_text(encoding="utf-8"),
    )


def show(interval: Interval | None) -> str:
    """A value and its interval, all to the same number of digits; the reason if there is none."""
    if interval is None:
        return "–"
    cell = _cell(interval)
    return cell.title or cell.text if interval.value is None else f"{cell.text} {cell.detail}".strip()


def percent(error: float | None) -> str:
    """With sign and one digit, whole from 100% on."""
    if error is None:
        return "–"
    return f"{100 * error:+.0f}%" if abs(error) >= 1 else f"{100 * error:+.1f}%"


def share(value: float | None) -> str:
    """Without sign."""
    return "–" if value is None else percent(value).lstrip("+")


def signed(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def _groups(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    found: dict[str, list[Comparison]] = {}
    for c in comparisons:
        found.setdefault(c.group, []).append(c)
    return found


def _counts(results: Results) -> dict[str, int]:
    """Verdicts on the highest rung below the trained models."""
    return counted(c.verdict.verdict.kind for c in results.comparisons if c.verdict is not None)


def _table(rows: Sequence[Comparison]) -> tuple[list[str], list[dict[str, Any]]]:
    """Rungs with a column, those that answer for at least one setting, and rows."""
    rungs = [
        rung for rung in rows[0].predicted if any(not c.predicted[rung].refused for c in rows if rung in c.predicted)
    ]
    return rungs, [_row(c, rungs) for c in rows]


def _row(c: Comparison, rungs: Sequence[str]) -> dict[str, Any]:
    by_rung = {one.lower: one.verdict for one in c.judged if one.upper == TRAINED}
    cells = []
    for rung in rungs:
        told, verdict = c.predicted.get(rung), by_rung.get(rung)
        kind = "" if verdict is None else verdict.kind
        title = "" if verdict is None else _why(verdict)
        number = Cell("", kind=kind) if told is None else _cell(told, kind, title)
        error = None if verdict is None else verdict.error
        cells += [
            number,
            Cell(percent(error) if error is not None else "", "", title, None if error is None else abs(error), kind),
        ]
    own = c.verdict
    verdict = worst([one.verdict.kind for one in c.judged if one.promised]) or (own.verdict.kind if own else "")
    return {
        "setting": c.setting,
        "quantity": c.quantity,
        "cells": cells,
        "observed": _cell(c.observed),
        "verdict": verdict,
        "why": _why(own.verdict) if own else "",
        "z": None if own is None else own.verdict.z,
        "promised": any(one.promised for one in c.judged),
    }


def _why(verdict: Any) -> str:
    z = "" if verdict.z is None else f", z = {verdict.z:+.1f}"
    decides = f"; what would decide: {verdict.decides}" if verdict.decides else ""
    return f"{verdict.because}{z}{decides}. Tolerance: {verdict.tolerance.source}."


def _cell(interval: Interval, kind: str = "", title: str = "") -> Cell:
    if interval.value is None:
        if interval.refused:
            return Cell("–", title=interval.reason or "")
        text = "never" if interval.share is None else f"{100 * interval.share:.0f}% of curves"
        return Cell(text, title=title or interval.reason or "", key=math.inf, kind=kind)
    digits = max(0, min(4, 2 - math.floor(math.log10(abs(interval.value) or 1))))
    detail = ""
    if interval.low is not None and interval.high is not None and interval.low != interval.high:
        detail = f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return Cell(f"{interval.value:.{digits}f}", detail, title, interval.value, kind)


def _other(c: Comparison) -> dict[str, Any]:
    own = c.judged[-1] if c.judged else None
    return {
        "setting": c.setting,
        "quantity": c.quantity,
        "predicted": [(rung, _cell(told)) for rung, told in c.predicted.items()],
        "observed": _cell(c.observed),
        "unit": c.unit,
        "error": None if own is None or c.unit == "share" else own.verdict.error,
        "verdict": "" if own is None else own.verdict.kind,
        "why": "" if own is None else _why(own.verdict),
        "promised": own is not None and own.promised,
    }


def _finding(found: Finding) -> dict[str, Any]:
    told = found.predicted
    return {
        "quantity": found.quantity,
        "predicted": Cell(told.reason or "–") if told.value is None else _cell(told),
        "observed": _cell(found.observed),
        "unit": found.unit,
        "z": found.verdict.z,
        "verdict": found.verdict.kind,
        "because": found.verdict.because,
        "why": _why(found.verdict),
        "control": found.control,
    }


def _heads(results: Results) -> tuple[list[str], list[tuple[str, int, list[Cell]]]]:
    """Columns, one for each kind of head in each layer, and rows, one for each transformer: label, seeds, steps of formation."""
    there = {(one.layer, one.kind) for _, found in results.heads for one in found}
    columns = sorted(there, key=lambda name: (name[0], list(HEAD_KINDS).index(name[1])))
    rows = []
    for observed, found in results.heads:
        cells = {(one.layer, one.kind): _cell(one.formed) for one in found}
        rows.append((observed.setting.label, len(observed.seeds), [cells.get(name, Cell("")) for name in columns]))
    return [f"layer {layer}: {kind}" for layer, kind in columns], rows


def _slopes(found: Any) -> Iterator[dict[str, Any]]:
    """A row for each rung's exponent, the trained one's with what theory states in closed form."""
    for rung, slope in found.slopes.items():
        yield {
            "series": found.series,
            "axis": NAMES.get(found.axis, found.axis),
            "quantity": found.quantity,
            "rung": rung,
            "slope": slope,
            "stated": found.stated if rung == TRAINED else None,
        }

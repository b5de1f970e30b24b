"""The README's section of measured results, written from a suite's `results.json`, so that no number there is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onset.paper import corrections
from onset.validate.judging.verdicts import counted
from onset.validate.store.files import write_text
from onset.validate.suite import TRAINED

__all__ = ["BEGIN", "END", "section", "update"]

BEGIN = "<!-- measured: everything up to the end mark is written by onset report RESULTS --readme README.md -->"
END = "<!-- measured: end -->"
CORRECTED = BEGIN.replace("measured", "corrected"), END.replace("measured", "corrected")
"""Marks of the results of the suite `corrections`."""

WHAT = {
    ("law", "mean-field"): "the plateau law against the mean field that it sums up (linear family, SGD)",
    ("law", "finite-context"): "the law against finite context (elsewhere)",
    ("law-corrected", "mean-field-corrected"): "the corrected law against the corrected mean field",
    ("mean-field", "finite-context"): "mean field against finite context",
    ("mean-field-corrected", "finite-context"): "corrected mean field against finite context",
    ("finite-context", "trained"): "**finite context against trained models**",
    ("law", "trained"): "law against trained models",
    ("law-corrected", "trained"): "corrected law against trained models",
    ("mean-field", "trained"): "mean field against trained models",
    ("mean-field-corrected", "trained"): "corrected mean field against trained models",
}
"""Rows of the table of errors, in this order."""

MOST = 8
"""Exponents in the table."""

SHOWN = 2
"""Disagreeing findings of a claim that the table names."""


def update(readme: Path, data: Mapping[str, Any]) -> Path:
    """Write the section of `data`, a suite's results, between its marks of the file `readme`: the suite `corrections` has its own.

    Raises
    ------
    ValueError
        If the file cannot be read or has not each mark once, in order.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as problem:
        raise ValueError(
            f"readme = {readme}: cannot be read ({problem.strerror}); give a file with the two marks."
        ) from problem
    first, last, written = BEGIN, END, section
    if data["suite"] == "corrections":
        (first, last), written = CORRECTED, corrections.section
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or text.count(first) + text.count(last) != 2:
        raise ValueError(
            f"readme = {readme}: expected the marks {first!r} and {last!r}, once each and in this order; put them where the results belong."
        )
    return write_text(readme, f"{before}{first}\n\n{written(data)}\n{last}{after}")


def section(data: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    return "\n".join(
        (*_head(data), *_claims(data), *_errors(data), *_exponents(data), *_basins(data), *_transformer(data))
    )


def _head(data: Mapping[str, Any]) -> Iterator[str]:
    toys = [s for s in data["settings"] if s["group"] != "transformer"]
    others = [s for s in data["settings"] if s["group"] == "transformer"]
    trained = sum(s["observed"] is not None for s in toys)
    promised = "everything that it promises holds" if data["holds"] else "**something that it promises does not hold**"
    missing = ""
    if data["missing"]:
        missing = (
            f" ({len(data['missing'])} of its runs are missing: {trained} toy settings have trained models so far)"
        )
    yield (
        f"`onset validate --suite {data['suite']}`: {len(toys)} toy settings, {_seeds(toys)} seeds each, and {len(others)} transformer, {_seeds(others)} seeds{missing}; "
        f"{promised}. Errors are relative, of the steps of the passages between strategies and of the heads' formation."
    )
    yield ""


def _seeds(settings: Sequence[Mapping[str, Any]]) -> int:
    """Seeds of the setting with most."""
    return max((len(s["observed"]["seeds"]) for s in settings if s["observed"]), default=0)


def _claims(data: Mapping[str, Any]) -> Iterator[str]:
    tested = [one for one in data.get("claims", ()) if one["findings"]]
    if not tested:
        return
    yield "| claim | findings that agree | verdict | |"
    yield "|---|---|---|---|"
    for one in tested:
        against = [
            f"{found['quantity']}: {found['verdict']['because']}"
            for found in one["findings"]
            if found["verdict"]["kind"] == "disagrees"
        ]
        agreeing = counted(found["verdict"]["kind"] for found in one["findings"])["agrees"]
        told = "; ".join(against[:SHOWN]) + (f"; and {len(against) - SHOWN} more" if len(against) > SHOWN else "")
        yield f"| {one['title']} (`{one['id']}`) | {agreeing} of {len(one['findings'])} | {one['verdict']} | {told or one['decides'] or ''} |"
    yield ""


def _errors(data: Mapping[str, Any]) -> Iterator[str]:
    found = {(e["lower"], e["upper"]): e for e in data["findings"]["errors"] if not e["group"]}
    yield "| | numbers | median error | largest | agree / open / disagree |"
    yield "|---|---|---|---|---|"
    for pair, name in WHAT.items():
        e = found.get(pair)
        if e is not None and e["numbers"]:
            verdicts = " / ".join(str(e["verdicts"][kind]) for kind in ("agrees", "inconclusive", "disagrees"))
            yield f"| {name} | {e['numbers']} | {_percent(e['median'])} | {_percent(e['largest'])} ({e['where']}) | {verdicts} |"
    yield ""


def _exponents(data: Mapping[str, Any]) -> Iterator[str]:
    chosen = [
        e for e in data["findings"]["exponents"] if e["axis"] == "context" and e["quantity"] == "unigram → bigram"
    ]
    if not chosen:
        return
    rungs = [
        r
        for r in ("law", "mean-field", "mean-field-corrected", "finite-context")
        if any(r in e["slopes"] for e in chosen)
    ]
    yield "Exponent d ln t/d ln T of the passage to bigram, trained (± standard error of the fit) and the difference of each prediction (± its standard error):"
    yield ""
    yield "| | trained | " + " | ".join(rungs) + " |"
    yield "|---|---|" + "---|" * len(rungs)
    chosen.sort(key=lambda e: -len(e["values"]))
    for e in sorted(chosen[:MOST], key=lambda e: e["series"]):
        own = e["slopes"][TRAINED]
        cells = [_difference(e["slopes"].get(rung)) for rung in rungs]
        yield f"| {e['series']} | {_signed(own['exponent'])} ± {own['error']:.3f} | " + " | ".join(cells) + " |"
    yield ""


def _basins(data: Mapping[str, Any]) -> Iterator[str]:
    found = [b for b in data["findings"]["basins"] if b["predicted"]]
    if not found:
        return
    decided = [b for b in found if b["predicted"] != "undecided"]
    trapped = sum(b["predicted"] == "trapped" for b in decided)
    right = sum(b["verdict"] == "agrees" for b in decided)
    wrong = [f"{b['setting']} ({_fates(b)})" for b in decided if b["verdict"] == "disagrees"]
    yield (
        f"Basins: of {len(decided)} settings, {trapped} predicted to be trapped without a head, all seeds went as predicted in {right}"
        + (f"; not in {', '.join(wrong)}" if wrong else "")
        + (f"; too close to call: {len(found) - len(decided)}." if len(found) > len(decided) else ".")
    )
    yield ""


def _transformer(data: Mapping[str, Any]) -> Iterator[str]:
    rows = [c for c in data["comparisons"] if c["group"] == "transformer" and c["observed"]["value"] is not None]
    if not rows:
        return
    yield f"Transformer ({rows[0]['setting']}):"
    yield ""
    for c in rows:
        (by, told), *_ = c["predicted"].items()
        yield f"- {c['quantity']}: {_interval(c['observed'])}, {by} {_interval(told)}"
    yield ""


def _fates(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found["trained"].items() if count)


def _difference(slope: Mapping[str, Any] | None) -> str:
    if slope is None or slope["difference"] is None:
        return "–"
    return f"{_signed(slope['difference'])} ± {slope['difference_error']:.3f}"


def _interval(told: Mapping[str, Any]) -> str:
    if told["value"] is None:
        return told["reason"] or "none"
    digits = 0 if abs(told["value"]) >= 10 else 3
    shown = f"{told['value']:.{digits}f}"
    if told["low"] is None or told["low"] == told["high"]:
        return shown
    return f"{shown} [{told['low']:.{digits}f}, {told['high']:.{digits}f}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%" if value < 1 else f"{100 * value:.0f}%"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")

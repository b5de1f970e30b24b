"""Generated blocks of Markdown files: tables of a suite's results, so that no number is typed by hand.

A block stands between two marks, ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``, with NAME a key of `BLOCKS`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onset.paper import corrections
from onset.validate.judging.formats import share, signed, with_interval
from onset.validate.judging.verdicts import counted
from onset.validate.store.files import write_text
from onset.validate.suite import TRAINED

__all__ = ["BLOCKS", "CLAIMS", "block", "blocks_of", "claims", "disagreements", "heads", "marks", "section", "update"]

CORRECTIONS, HEADS = "corrections", "heads"
"""Suites that have blocks of their own."""

CLAIMS = "claims"
"""The block that shows several suites."""

PAIRS = {
    ("law", "mean-field"): "plateau law against mean field (linear family, SGD)",
    ("law", "finite-context"): "law against finite context (elsewhere)",
    ("law-corrected", "mean-field-corrected"): "corrected law against corrected mean field",
    ("mean-field", "finite-context"): "mean field against finite context",
    ("mean-field-corrected", "finite-context"): "corrected mean field against finite context",
    ("finite-context", "trained"): "**finite context against trained models**",
    ("law", "trained"): "law against trained models",
    ("law-corrected", "trained"): "corrected law against trained models",
    ("mean-field", "trained"): "mean field against trained models",
    ("mean-field-corrected", "trained"): "corrected mean field against trained models",
}
"""Rows of the table of errors: lower and upper rung, and what the row is called."""

EXPONENTS = 8
"""Most rows of the table of exponents."""

REASONS = 2
"""Most disagreeing findings that a claim's row quotes."""

WIDTH = 120
"""Most characters of a row of the short table."""

VERDICTS = ("agrees", "inconclusive", "disagrees")


def marks(name: str) -> tuple[str, str]:
    """Marks before and after a block."""
    return f"<!-- generated: {name} -->", f"<!-- end: {name} -->"


def block(text: str, name: str) -> str | None:
    """Content of a block of a Markdown text, None if it has no such block.

    Raises
    ------
    ValueError
        If one of the marks is missing, or not once in the text, or they are in the wrong order.
    """
    begin, end = marks(name)
    if begin not in text and end not in text:
        return None
    _, _, rest = text.partition(begin)
    content, closing, _ = rest.partition(end)
    if not closing or text.count(begin) + text.count(end) != 2:
        raise ValueError(f"expected the marks {begin!r} and {end!r} once each and in this order; correct the marks.")
    return content


def update(path: Path, *results: Mapping[str, Any]) -> Path:
    """Rewrite the blocks of the Markdown file `path` that show the suites of `results`, each the content of a
    results.json; with several, the table of all claims too.

    Raises
    ------
    ValueError
        If the file cannot be read, has no such block, or has wrong marks.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ValueError(
            f"readme = {path}: cannot be read ({problem.strerror}); give a Markdown file with the marks of a block."
        ) from problem
    new = {name: BLOCKS[name](data) for data in results for name in blocks_of(data["suite"])}
    if len(results) > 1:
        new[CLAIMS] = claims(results)
    updated = 0
    for name, written in new.items():
        try:
            content = block(text, name)
        except ValueError as problem:
            raise ValueError(f"readme = {path}: {problem}") from None
        if content is not None:
            begin, end = marks(name)
            text = text.replace(f"{begin}{content}{end}", f"{begin}\n\n{written.strip()}\n\n{end}")
            updated += 1
    if not updated:
        first, *others = new
        begin, end = marks(first)
        suites = " or ".join(repr(data["suite"]) for data in results)
        raise ValueError(
            f"readme = {path}: has no block of the suite {suites}: expected the marks {begin!r} and {end!r}, "
            f"or those of {' or '.join(others) or 'nothing else'}; put them where the results belong."
        )
    return write_text(path, text)


def blocks_of(suite: str) -> list[str]:
    """Names of the blocks that show a suite."""
    return [suite] if suite in (CORRECTIONS, HEADS) else [name for name in BLOCKS if name not in (CORRECTIONS, HEADS)]


def claims(results: Sequence[Mapping[str, Any]]) -> str:
    """Table of the claims of several suites, each where it has most findings."""
    best: dict[str, tuple[int, str, Mapping[str, Any]]] = {}
    for data in results:
        for claim in data.get("claims", ()):
            number = len(claim["findings"])
            if number > best.get(claim["id"], (0, "", {}))[0]:
                best[claim["id"]] = number, data["suite"], claim
    rows = []
    for number, suite, claim in best.values():
        counts = counted(finding["verdict"]["kind"] for finding in claim["findings"])
        cells = (f"{counts['agrees']} of {number}", str(counts["disagrees"] or "–"), f"`{suite}`")
        spaces = len("|  |  |  |  |") + sum(map(len, cells))
        rows.append((textwrap.shorten(claim["title"], WIDTH - spaces, placeholder=" …"), *cells))
    return _table(("claim", "findings that agree", "disagree", "suite"), rows)


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _errors_by_pair(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Errors over all settings, by the names of `PAIRS`."""
    errors = {(e["lower"], e["upper"]): e for e in data["findings"]["errors"] if not e["group"] and e["numbers"]}
    return {name: errors[pair] for pair, name in PAIRS.items() if pair in errors}


def _disagreeing(claim: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [finding for finding in claim["findings"] if finding["verdict"]["kind"] == "disagrees"]


def disagreements(data: Mapping[str, Any]) -> str:
    """Short table of the theories and claims that disagree with training, in rows of at most `WIDTH` characters."""
    rows = []
    for name, error in _errors_by_pair(data).items():
        wrong = error["verdicts"]["disagrees"]
        if error["upper"] == TRAINED and (wrong or error["lower"] == "finite-context"):
            example = f"median error {share(error['median'])}, largest {share(error['largest'])}"
            rows.append((name, f"{wrong} of {sum(error['verdicts'].values())}", example))
    for claim in data.get("claims", ()):
        if wrong := _disagreeing(claim):
            rows.append((claim["title"], f"{len(wrong)} of {len(claim['findings'])}", wrong[0]["quantity"]))
    spaces = len("|  |  |  |")
    return _table(
        ("prediction", "disagree", "for example"),
        [
            (name, counts, textwrap.shorten(example, WIDTH - spaces - len(name + counts), placeholder=" …"))
            for name, counts, example in rows
        ],
    )


def section(data: Mapping[str, Any]) -> str:
    """Claims, errors, exponents, basins and transformer of a suite."""
    parts = (_summary, _claims, _errors, _rules, _exponents, _basins, _transformer)
    return "\n\n".join(text for part in parts if (text := part(data)))


def heads(data: Mapping[str, Any]) -> str:
    """Claims about heads, and every finding of each."""
    parts = [_claims(data)]
    for claim in data["claims"]:
        rows = [
            (f["quantity"], _interval(f["observed"]), _interval(f["predicted"]), f["verdict"]["kind"])
            for f in claim["findings"]
        ]
        absent = [f"Not measured: {'; '.join(claim['absent'])}."] if claim.get("absent") else []
        if rows or absent:
            table = [_table(("", "observed", "published or predicted", "verdict"), rows)] if rows else []
            parts += [f"**{claim['title']}** ({claim['source']})", *table, *absent]
    return "\n\n".join(parts)


def _summary(data: Mapping[str, Any]) -> str:
    toys = [s for s in data["settings"] if s["group"] != "transformer"]
    transformers = [s for s in data["settings"] if s["group"] == "transformer"]
    holds = "everything that it promises holds" if data["holds"] else "**something that it promises does not hold**"
    missing = ""
    if data["missing"]:
        trained = sum(s["observed"] is not None for s in toys)
        missing = (
            f" ({len(data['missing'])} of its runs are missing: {trained} toy settings have trained models so far)"
        )
    return (
        f"`onset validate --suite {data['suite']}`: {len(toys)} toy settings, {_seeds(toys)} seeds each, and\n"
        f"{len(transformers)} transformer, {_seeds(transformers)} seeds{missing}; {holds}.\n"
        "Errors are relative, of the steps of transitions between strategies and of the formation of heads."
    )


def _seeds(settings: Sequence[Mapping[str, Any]]) -> int:
    """Seeds of the setting with most."""
    return max((len(s["observed"]["seeds"]) for s in settings if s["observed"]), default=0)


def _claims(data: Mapping[str, Any]) -> str:
    rows = []
    for claim in data.get("claims", ()):
        wrong = [f"{finding['quantity']}: {finding['verdict']['because']}" for finding in _disagreeing(claim)]
        reasons = "; ".join(wrong[:REASONS]) + (f"; and {len(wrong) - REASONS} more" if len(wrong) > REASONS else "")
        agree = counted(finding["verdict"]["kind"] for finding in claim["findings"])["agrees"]
        name, counts = f"{claim['title']} (`{claim['id']}`)", f"{agree} of {len(claim['findings'])}"
        if claim["findings"]:
            rows.append((name, counts, claim["verdict"], reasons or claim["decides"] or ""))
    return _table(("claim", "findings that agree", "verdict", ""), rows) if rows else ""


def _errors(data: Mapping[str, Any]) -> str:
    rows = []
    for name, error in _errors_by_pair(data).items():
        verdicts = " / ".join(str(error["verdicts"][kind]) for kind in VERDICTS)
        largest = f"{share(error['largest'])} ({error['where']})"
        held = f"{error['held']} of {error['numbers']}, {' and '.join(error['intervals'])}"
        rows.append((name, error["numbers"], share(error["median"]), largest, verdicts, held))
    head = ("", "numbers", "median error", "largest", "agree / open / disagree", "in the prediction's interval")
    return _table(head, rows)


def _rules(data: Mapping[str, Any]) -> str:
    """Verdicts by each version of the rule."""
    errors = _errors_by_pair(data)
    versions = sorted({int(version) for error in errors.values() for version in error["by_rule"]})
    if not errors:
        return ""
    rows = [
        (name, *(" / ".join(str(error["by_rule"][str(v)][kind]) for kind in VERDICTS) for v in versions))
        for name, error in errors.items()
    ]
    return (
        f"Judged by rule {data['rule']}. The same numbers by every version of the rule, agree / open / disagree;\n"
        "rule 2 was made after results had been seen under rule 1:\n\n"
        + _table(("", *(f"rule {version}" for version in versions)), rows)
    )


def _exponents(data: Mapping[str, Any]) -> str:
    exponents = [
        e for e in data["findings"]["exponents"] if e["axis"] == "context" and e["quantity"] == "unigram → bigram"
    ]
    if not exponents:
        return ""
    rungs = ("law", "mean-field", "mean-field-corrected", "finite-context")
    rungs = [rung for rung in rungs if any(rung in e["slopes"] for e in exponents)]
    exponents.sort(key=lambda e: -len(e["values"]))
    rows = []
    for e in sorted(exponents[:EXPONENTS], key=lambda e: e["series"]):
        trained, differences = e["slopes"][TRAINED], (_difference(e["slopes"].get(rung)) for rung in rungs)
        rows.append((e["series"], f"{signed(trained['exponent'], 3)} ± {trained['error']:.3f}", *differences))
    return (
        "Exponent d ln t/d ln T of the transition to bigram, trained (± standard error of the fit), and the\n"
        "difference of each prediction (± its standard error):\n\n" + _table(("", "trained", *rungs), rows)
    )


def _basins(data: Mapping[str, Any]) -> str:
    basins = [b for b in data["findings"]["basins"] if b["predicted"]]
    if not basins:
        return ""
    decided = [b for b in basins if b["predicted"] != "undecided"]
    trapped = sum(b["predicted"] == "trapped" for b in decided)
    right = sum(b["verdict"] == "agrees" for b in decided)
    wrong = [f"{b['setting']} ({_fates(b)})" for b in decided if b["verdict"] == "disagrees"]
    return (
        f"Basins: of {len(decided)} settings, {trapped} of them predicted to be trapped without a head, all seeds\n"
        f"went as predicted in {right}"
        + (f"; not in {', '.join(wrong)}" if wrong else "")
        + (f"; too close to call: {len(basins) - len(decided)}." if len(basins) > len(decided) else ".")
    )


def _transformer(data: Mapping[str, Any]) -> str:
    rows = [c for c in data["comparisons"] if c["group"] == "transformer" and c["observed"]["value"] is not None]
    if not rows:
        return ""
    lines = [f"Transformer ({rows[0]['setting']}):", ""]
    for c in rows:
        (method, predicted), *_ = c["predicted"].items()
        lines.append(f"- {c['quantity']}: {_interval(c['observed'])}, {method} {_interval(predicted)}")
    return "\n".join(lines)


def _fates(basin: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in basin["trained"].items() if count)


def _difference(slope: Mapping[str, Any] | None) -> str:
    if slope is None or slope["difference"] is None:
        return "–"
    return f"{signed(slope['difference'], 3)} ± {slope['difference_error']:.3f}"


def _interval(interval: Mapping[str, Any]) -> str:
    if interval["value"] is None:
        return interval["reason"] or "none"
    digits = 0 if abs(interval["value"]) >= 10 else 3
    return with_interval(interval["value"], interval["low"], interval["high"], digits)


BLOCKS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "disagreements": disagreements,
    "results": section,
    CORRECTIONS: corrections.section,
    HEADS: heads,
}
"""The one place where a block of one suite is registered: its name, and the function of results that writes it."""

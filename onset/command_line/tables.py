"""Results of commands on a terminal: tables, or JSON."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onset.command_line.terminal import fit

__all__ = [
    "EXACT",
    "list_derivations",
    "open_page",
    "print_json",
    "show_derivations",
    "show_failures",
    "show_fits",
    "show_plan",
    "show_results",
    "show_runs",
    "show_suites",
    "show_sweep",
    "show_transitions",
    "table",
    "width_warning",
]


EXACT = "--method finite-context neglects nothing"
"""What to do about a wide interval."""

WORTH_A_WARNING = 0.1
"""Half-width of an interval, relative to its number, from which on it is said above the table."""

MOST_COLUMNS = 10**4
"""Width that no terminal has."""


def show_failures(failed: Iterable[Any], most: int = 20) -> None:
    """Failures and their reasons, on stderr, where they disturb no JSON."""
    failed = list(failed)
    for failure in failed[:most]:
        print(f"onset: {failure.label} failed: {failure.reason}", file=sys.stderr)
    if failed:
        more = f"{len(failed) - most} more failed; " if len(failed) > most else ""
        print(f"onset: {more}what was finished is kept, and the same command tries the rest again.", file=sys.stderr)


def print_json(data: dict[str, Any] | list[Any]) -> None:
    print(json.dumps(data, indent=1, allow_nan=False))


def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table of texts; where the terminal is too narrow for its words, each row as lines ``HEAD: CELL``."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    title, head, rows = fit(title), tuple(map(fit, head)), [tuple(map(fit, row)) for row in rows]
    grid = Table(*head, title=Text(title, style="italic"), title_justify="left", box=SIMPLE_HEAD)
    for row in rows:
        grid.add_row(*map(Text, row))  # as Text: [brackets] are no markup
    least = Measurement.get(console, console.options.update(max_width=MOST_COLUMNS), grid).minimum  # breaks no word
    if not rows or least <= console.width:
        return console.print(grid)
    console.print(Text(title, style="italic"))
    wrapped = textwrap.TextWrapper(
        console.width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    for row in rows:
        cells = (f"{name}: {cell}" if name else cell for name, cell in zip(head, row, strict=True) if cell)
        print("\n" + "\n".join(map(wrapped.fill, cells)))
    return print()


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def show_transitions(title: str, data: dict[str, Any]) -> None:
    """Steps with their intervals, what each interval says, and what is neglected."""
    from onset.theory.estimates import KINDS

    rows = []
    for transition in (*data["transitions"], *data["formations"]):
        source, target, step = (transition[name] for name in ("source", "target", "step"))
        name = f"{source} → {target}" if source != "none" else f"formation of the {target}"
        if step is None:
            rows.append((name, "–", transition["reason"], "", ""))
            continue
        high = "∞" if transition["high"] is None else f"{transition['high']:.1f}"
        terms = (f"{term} {_sides(**sides)}" for term, sides in transition.get("neglected", {}).items())
        interval, says = f"[{transition['low']:.1f}, {high}]", KINDS[transition["interval"]]
        rows.append((name, f"{step:.1f}", interval, says, "; ".join(terms)))
    head = ("transition", "step", "interval", "what it says", "neglected, steps earlier and later")
    shown = len(head) if any(row[-1] for row in rows) else len(head) - 1
    table(title, head[:shown], [row[:shown] for row in rows])


def _sides(earlier: float, later: float | None) -> str:
    return f"−{earlier:.3g} +{'∞' if later is None else format(later, '.3g')}"


def width_warning(method: str, intervals: Iterable[tuple[float, float, float | None]]) -> str:
    """How far what a method neglects may move the widest of some (step, low, high); empty where that is little."""
    halves = [math.inf if high is None else (high - low) / 2 / step for step, low, high in intervals if step]
    widest = max(halves, default=0.0)
    if method == "finite-context" or widest <= WORTH_A_WARNING:
        return ""
    share = "by any amount" if math.isinf(widest) else f"by {100 * widest:.0f}%"
    return f"What {method} neglects may move a step {share}: {EXACT}."


def show_fits(data: dict[str, Any], fitted: list[Any], most: int = 24) -> None:
    """Exponents of the lines, the first `most`; then what was refused."""
    rows = []
    for line in fitted[:most]:
        fixed = ", ".join(f"{name} {value:.4g}" for name, value in line.fixed.items())
        numbers = [
            (line.exponent, ".4f"),
            (line.error, ".2g"),
            (line.predicted, ".4f"),
            (line.z, ".1f"),
            (line.law, ".4f"),
        ]
        exponent, error, predicted, z, law = (_number(*number) for number in numbers)
        rows.append((line.quantity, line.axis, fixed, exponent, error, predicted, line.theory, z, law))
    times = (row[name] for row in data["rows"] for name in ("formation", "passage") if row[name])
    if warning := width_warning(data["method"], times):
        print(warning)
    head = ("time", "axis", "others at", "d ln t/d ln x", "± error", "theory", "which", "z", "law's own fit")
    table(f"{data['answered']} of {len(data['rows'])} settings answered", head, rows)
    if len(fitted) > most:
        print(f"{len(fitted) - most} more lines in scan.json")
    reasons = [row["reason"] for row in data["rows"] if row["reason"]]
    if reasons:
        print(f"{len(reasons)} settings lack a time, the first because: {reasons[0]}")


def show_runs(rows: list[dict[str, Any]], title: str) -> None:
    """A line for each run file, with the last recorded step and those of transitions and heads."""
    lines = []
    for row in rows:
        transitions = [f"{t['target']} {t['step']:.4g}" for t in row.get("passages", ()) if t["step"] is not None]
        heads = [f"{t['step']:.4g}" for t in row.get("formations", ()) if t["step"] is not None]
        lines.append(
            (
                row.get("label") or row["file"],
                row.get("kind") or "",
                str(row.get("seed", "")),
                _number(row.get("steps"), ".6g"),
                ", ".join(transitions),
                ", ".join(heads),
                _number(row.get("final_loss"), ".4f"),
                row["state"] if row.get("diverged") is None else f"{row['state']} at {row['diverged']}",
                _number(row.get("seconds"), ".1f"),
                (row.get("started") or "")[:16].replace("T", " "),
            )
        )
    head = ("setting", "kind", "seed", "steps", "transition to", "head at", "final loss", "state", "seconds")
    table(title, (*head, "started, UTC"), lines)


def show_plan(sweep: Any, held: Any, as_json: bool) -> None:
    """The settings of a sweep, and how many of their jobs the store `held` has finished."""
    rows, lines = [], []
    for point in sweep.points:
        jobs = sweep.jobs_of(point)
        done = sum(job in held for job in jobs)
        rows.append({"label": point.setting.label, "changes": dict(point.changes), "jobs": len(jobs), "there": done})
        changes = (str(point.changes.get(axis, "")) for axis in sweep.axes)
        lines.append((*changes, point.setting.label, f"{done} of {len(jobs)}"))
    if as_json:
        return print_json({"settings": rows, "seeds": list(sweep.seeds), "kinds": list(sweep.kinds)})
    done, jobs = (sum(row[name] for row in rows) for name in ("there", "jobs"))
    plan = f"{', '.join(sweep.kinds)}; seeds {', '.join(map(str, sweep.seeds))}"
    title = f"{len(rows)} settings, {jobs} jobs ({plan}), {done} finished"
    return table(title, (*sweep.axes, "setting", "finished"), lines)


def show_sweep(data: dict[str, Any], most: int = 60) -> None:
    """The transitions of a sweep's settings, the first `most`."""
    from onset.validate.judging.formats import with_interval
    from onset.validate.sweeps.results import lines

    rows = []
    for line in lines(data):
        changes = [str(line["changes"].get(axis, "")) for axis in data["axes"]]
        names = ["" if line[name] is None else str(line[name]) for name in ("kind", "seeds", "quantity")]
        step = with_interval(line["step"], line["low"], line["high"], 1)
        rows.append((*changes, *names, step, line["reason"] or ""))
    head = (*data["axes"], "kind", "seeds", "transition", "step", "reason")
    table(f"{len(data['rows'])} settings", head, rows[:most])
    if len(rows) > most:
        print(f"{len(rows) - most} more lines in sweep.csv")


def show_suites(as_json: bool) -> None:
    """The suites with their sizes, and the claims."""
    from onset.theory.models import FAMILIES
    from onset.validate.claims import CLAIMS, needs
    from onset.validate.store.jobs import TRAIN
    from onset.validate.suite import SUITES, suite_jobs

    suites: dict[str, dict[str, Any]] = {}
    for name, cases in SUITES.items():
        jobs = suite_jobs(name)
        trained = [FAMILIES[job.setting.model.family].has_architecture for job in jobs if job.kind == TRAIN]
        measures = sum(job.measures for job in jobs)
        suites[name] = {
            "about": cases.__doc__ or "",
            "settings": len(cases()),
            "transformer runs": sum(trained),
            "toy runs": len(trained) - sum(trained),
            "predictions": len(jobs) - len(trained) - measures,
            "measures": measures,
            "claims": [claim.id for claim in CLAIMS.values() if needs(claim, name)],
        }
    claims = [{"id": c.id, "title": c.title, "statement": c.statement, "source": c.source} for c in CLAIMS.values()]
    if as_json:
        return print_json({"suites": suites, "claims": claims})
    sizes = ("settings", "transformer runs", "toy runs", "predictions", "measures")
    rows = [
        (name, *(str(suite[size]) for size in sizes), str(len(suite["claims"])), suite["about"])
        for name, suite in suites.items()
    ]
    table("suites", ("suite", *sizes, "claims", "about"), rows)
    tested_in = {c["id"]: " ".join(n for n, suite in suites.items() if c["id"] in suite["claims"]) for c in claims}
    rows = [(c["id"], c["statement"], tested_in[c["id"]]) for c in claims]
    return table("claims", ("claim", "statement", "suites"), rows)


def show_results(results: Any, most: int = 12) -> None:
    """Claims, comparisons, errors between rungs, and the first `most` disagreements in words."""
    from onset.theory.estimates import KINDS
    from onset.validate.judging.formats import percent, share
    from onset.validate.report.page import show

    if results.claims:
        claims = [
            (c.claim.id, c.claim.title, f"{c.counts['agrees']} of {len(c.findings)} agree", c.verdict, c.decides or "")
            for c in results.claims
        ]
        table("claims", ("claim", "statement", "findings", "verdict", "what would decide"), claims)
    rows = []
    for c in results.comparisons:
        judged = c.highest_pair
        answers = {name: interval for name, interval in c.predicted.items() if not interval.refused}
        errors = "  ".join(f"{name} {percent(c.errors[name])}" for name in answers) if c.unit != "share" else ""
        verdict = "" if judged is None else judged.verdict.kind + ("" if judged.promised else " (not promised)")
        rung = judged.lower if judged is not None and judged.lower in answers else next(iter(answers), "")
        predicted = f"{rung} {show(answers[rung])}" if rung else ""
        rows.append((c.setting, c.quantity, predicted, show(c.observed), errors, verdict))
    head = ("setting", "quantity", "predicted", "trained", "errors", "verdict")
    if rows:
        table(f"suite {results.suite}", head, rows)
    head = ("prediction", "judged by", "numbers", "median", "largest", "where", "agrees", "inconclusive", "disagrees")
    head = (*head, "in its interval", "which says", "rms z")
    rows = [
        (
            *(p.lower, p.upper, str(p.numbers), share(p.median), share(p.largest), p.where),
            *map(str, p.verdicts.values()),
            *(f"{p.held} of {p.numbers}", " and ".join(KINDS[kind] for kind in p.intervals), _number(p.z, ".2f")),
        )
        for p in results.error_summaries
        if not p.group
    ]
    if rows:
        table("relative errors of pairs of rungs", head, rows)
    for sentence in results.disagreements[:most]:
        print(f"- {sentence}")
    if len(results.disagreements) > most:
        print(f"{len(results.disagreements) - most} more disagreements in the report")
    if results.missing:
        print(f"{len(results.missing)} runs are missing, the first {results.missing[0]}")


def show_derivations(checked: list[Any], *, ran: bool, whole: bool) -> None:
    from onset.command_line import derivation_text as plain

    if ran:
        head = ("check", "", "residual", "tolerance", "where the tolerance comes from", "seconds")
        for c in checked:
            table(f"{c.derivation.name}: {c.summary}", head, plain.check_rows(c))
        return None
    if whole:
        columns = min(shutil.get_terminal_size((100, 24)).columns, 120)
        return print("\n\n".join(plain.as_text(c, columns) for c in checked))
    return list_derivations([(c.derivation.name, c.derivation.title, c.summary) for c in checked])


def list_derivations(rows: Iterable[tuple[str, str, str]]) -> None:
    """Name, title and status of derivations."""
    from onset.paper.prose import to_text

    table("derivations", ("name", "title", "status"), [(name, to_text(title), status) for name, title, status in rows])


def open_page(page: Path) -> None:
    """Show the page in a browser, if a person at a screen runs the command."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.stdout.isatty() and screen:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())

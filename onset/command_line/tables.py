"""Results of commands on a terminal: tables, or JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = [
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
]


def show_failures(failed: Iterable[Any], most: int = 20) -> None:
    """What failed and why, on stderr, where it disturbs no JSON."""
    failed = list(failed)
    for one in failed[:most]:
        print(f"onset: {one.label} failed: {one.reason}", file=sys.stderr)
    if failed:
        more = f"{len(failed) - most} more failed; " if len(failed) > most else ""
        print(f"onset: {more}what was finished is kept, and the same command tries the rest again.", file=sys.stderr)


def print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=1, allow_nan=False))


def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    shown = Table(*head, title=Text(title, style="italic"), title_justify="left", box=SIMPLE_HEAD)
    for row in rows:
        shown.add_row(*map(Text, row))  # as it stands: [brackets] are no markup
    console.print(shown)


def show_transitions(title: str, data: dict[str, Any]) -> None:
    rows = []
    for found in (*data["transitions"], *data["formations"]):
        name = (
            f"{found['source']} → {found['target']}"
            if found["source"] != "none"
            else f"formation of the {found['target']}"
        )
        if found["step"] is None:
            rows.append((name, "–", found["reason"]))
        else:
            rows.append((name, f"{found['step']:.1f}", f"[{found['low']:.1f}, {found['high']:.1f}]"))
    table(title, ("transition", "step", "95% interval"), rows)


def show_fits(data: dict[str, Any], fitted: list[Any], most: int = 24) -> None:
    """Exponents of the lines, the first `most`; then what was refused."""
    rows = []
    for fit in fitted[:most]:
        fixed = ", ".join(f"{name} {value:.4g}" for name, value in fit.fixed.items())
        told = [
            "" if x is None else form.format(x)
            for form, x in zip(("{:.2g}", "{:.4f}", "{:.4f}"), (fit.error, fit.predicted, fit.law), strict=True)
        ]
        z = "" if fit.z is None else f"{fit.z:.1f}"
        rows.append((fit.quantity, fit.axis, fixed, f"{fit.exponent:.4f}", told[0], told[1], fit.theory, z, told[2]))
    head = ("time", "axis", "others at", "d ln t/d ln x", "± error", "theory", "which", "z", "law's own fit")
    table(f"{data['answered']} of {len(data['rows'])} settings answered", head, rows)
    if len(fitted) > most:
        print(f"{len(fitted) - most} more lines in scan.json")
    reasons = [row["reason"] for row in data["rows"] if row["reason"]]
    if reasons:
        print(f"{len(reasons)} settings lack a time, the first because: {reasons[0]}")


def show_runs(rows: list[dict[str, Any]], title: str) -> None:
    """A line for each run file; steps are the last one recorded and those of passages and heads, as far as there are."""
    shown = []
    for row in rows:
        told = [f"{t['target']} {t['step']:.4g}" for t in row.get("passages", ()) if t["step"] is not None]
        heads = [f"{t['step']:.4g}" for t in row.get("formations", ()) if t["step"] is not None]
        numbers = [(row.get("steps"), ".6g"), (row.get("final_loss"), ".4f"), (row.get("seconds"), ".1f")]
        steps, loss, seconds = ("" if value is None else format(value, form) for value, form in numbers)
        state = row["state"] if row.get("diverged") is None else f"{row['state']} at {row['diverged']}"
        name, started = row.get("label") or row["file"], (row.get("started") or "")[:16].replace("T", " ")
        kind, seed = row.get("kind") or "", str(row.get("seed", ""))
        shown.append((name, kind, seed, steps, ", ".join(told), ", ".join(heads), loss, state, seconds, started))
    head = (
        "setting",
        "kind",
        "seed",
        "steps",
        "passed to",
        "head at",
        "final loss",
        "state",
        "seconds",
        "started, UTC",
    )
    table(title, head, shown)


def show_plan(sweep: Any, held: Any, as_json: bool) -> None:
    """The settings of a sweep, and how many of their jobs `held` contains."""
    rows = []
    for point in sweep.points:
        jobs = sweep.jobs_of(point)
        there = sum(job in held for job in jobs)
        rows.append({"label": point.setting.label, "changes": dict(point.changes), "jobs": len(jobs), "there": there})
    if as_json:
        return print_json({"settings": rows, "seeds": list(sweep.seeds), "kinds": list(sweep.kinds)})
    told = [
        (*(str(row["changes"].get(axis, "")) for axis in sweep.axes), row["label"], f"{row['there']} of {row['jobs']}")
        for row in rows
    ]
    there, jobs = (sum(row[name] for row in rows) for name in ("there", "jobs"))
    title = f"{len(rows)} settings, {jobs} jobs ({', '.join(sweep.kinds)}; seeds {', '.join(map(str, sweep.seeds))}), {there} there"
    return table(title, (*sweep.axes, "setting", "there"), told)


def show_sweep(data: dict[str, Any], most: int = 60) -> None:
    """The transitions of a sweep's settings, the first `most`."""
    from onset.validate.sweeps.results import lines

    rows = []
    for line in lines(data):
        changes = [str(line["changes"].get(axis, "")) for axis in data["axes"]]
        step = "–" if line["step"] is None else f"{line['step']:.1f} [{line['low']:.1f}, {line['high']:.1f}]"
        told = ["" if line[name] is None else str(line[name]) for name in ("kind", "seeds", "quantity")]
        rows.append((*changes, *told, step, line["reason"] or ""))
    head = (*data["axes"], "kind", "seeds", "transition", "step", "reason")
    table(f"{len(data['rows'])} settings", head, rows[:most])
    if len(rows) > most:
        print(f"{len(rows) - most} more lines in sweep.csv")


def show_suites(as_json: bool) -> None:
    """The suites with their sizes, and the claims that there are."""
    from onset.validate.claims import CLAIMS, needs
    from onset.validate.store.jobs import TRAIN
    from onset.validate.suite import SUITES, suite_jobs

    sizes = {name: [one.id for one in CLAIMS.values() if needs(one, name)] for name in SUITES}
    suites = {}
    for name, made in SUITES.items():
        jobs = suite_jobs(name)
        trained = [job.setting.model.family == "transformer" for job in jobs if job.kind == TRAIN]
        suites[name] = {
            "about": made.__doc__ or "",
            "settings": len(made()),
            "transformer runs": sum(trained),
            "toy runs": len(trained) - sum(trained),
            "predictions": len(jobs) - len(trained),
            "claims": sizes[name],
        }
    claims = [{"id": c.id, "title": c.title, "statement": c.statement, "source": c.source} for c in CLAIMS.values()]
    if as_json:
        return print_json({"suites": suites, "claims": claims})
    counted = ("settings", "transformer runs", "toy runs", "predictions")
    rows = [
        (name, *(str(told[column]) for column in counted), str(len(told["claims"])), told["about"])
        for name, told in suites.items()
    ]
    table("suites", ("suite", *counted, "claims", "about"), rows)
    return table(
        "claims",
        ("claim", "what it says", "suites"),
        [(c["id"], c["statement"], " ".join(n for n, ids in sizes.items() if c["id"] in ids)) for c in claims],
    )


def show_results(results: Any, most: int = 12) -> None:
    """Every comparison, how far each rung is from the next, and the first `most` disagreements in words."""
    from onset.validate.report.page import percent, share, show

    if results.claims:
        told = [
            (
                one.claim.id,
                one.claim.title,
                f"{one.counts['agrees']} of {len(one.findings)} agree",
                one.verdict,
                one.decides or "",
            )
            for one in results.claims
        ]
        table("claims", ("claim", "what it says", "findings", "verdict", "what would decide"), told)
    rows = []
    for c in results.comparisons:
        own = c.highest_pair
        told = {name: interval for name, interval in c.predicted.items() if not interval.refused}
        errors = "  ".join(f"{name} {percent(c.errors[name])}" for name in told) if c.unit != "share" else ""
        judged = "" if own is None else own.verdict.kind + ("" if own.promised else " (not promised)")
        by = own.lower if own is not None and own.lower in told else next(iter(told), "")
        predicted = f"{by} {show(told[by])}" if by else ""
        rows.append((c.setting, c.quantity, predicted, show(c.observed), errors, judged))
    head = ("setting", "quantity", "predicted", "trained", "errors", "verdict")
    table(f"suite {results.suite}", head, rows)
    pairs = [one for one in results.error_summaries if not one.group]
    table(
        "relative errors of pairs of rungs",
        ("prediction", "judged by", "numbers", "median", "largest", "where", "agrees", "inconclusive", "disagrees"),
        [
            (
                p.lower,
                p.upper,
                str(p.numbers),
                share(p.median),
                share(p.largest),
                p.where,
                *map(str, p.verdicts.values()),
            )
            for p in pairs
        ],
    )
    for sentence in results.disagreements[:most]:
        print(f"- {sentence}")
    if len(results.disagreements) > most:
        print(f"{len(results.disagreements) - most} more disagreements in the report")
    if results.missing:
        print(f"{len(results.missing)} runs are missing, the first {results.missing[0]}")


def show_derivations(checked: list[Any], *, ran: bool, whole: bool) -> None:
    from onset.command_line import derivation_text as plain
    from onset.paper.prose import to_text

    if ran:
        head = ("check", "", "residual", "tolerance", "where the tolerance comes from", "seconds")
        for one in checked:
            table(f"{one.derivation.name}: {one.summary}", head, plain.check_rows(one))
        return None
    if whole:
        columns = min(shutil.get_terminal_size((100, 24)).columns, 120)
        return print("\n\n".join(plain.as_text(one, columns) for one in checked))
    rows = [(c.derivation.name, to_text(c.derivation.title), str(len(c.results)), c.summary) for c in checked]
    return table("derivations", ("name", "title", "checks", "status"), rows)


def open_page(page: Path) -> None:
    """Show the page in a browser if a person at a screen ran this."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.stdout.isatty() and screen:
        webbrowser.open(page.absolute().as_uri())

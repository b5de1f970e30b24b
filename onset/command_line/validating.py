"""Commands that compare predictions with trained models: validate, figures, report, bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from onset.command_line.application import Json, app
from onset.command_line.checked import (
    Given,
    OptionalExisting,
    OptionalFolder,
    OptionalSeedCount,
    one_of,
    text,
    texts,
)
from onset.command_line.options import ComputingOptions
from onset.command_line.progress import progress, watching
from onset.command_line.tables import open_page, print_json, show_failures, show_results, show_suites, table

__all__ = ["bench", "figures", "report", "validate"]

QUICK, ALL = "quick", "all"
"""Suite that is validated, and source of the figures' results, by default; and all suites, one after the other."""


def _suites() -> list[str]:
    from onset.validate.suite import SUITES

    return [*SUITES, ALL]


@app.command
def validate(
    *,
    suite: Annotated[str, text(one_of("onset.command_line.validating:_suites"))] = QUICK,
    out: OptionalFolder = None,
    seeds: OptionalSeedCount = None,
    methods: Annotated[tuple[str, ...], texts(one_of("onset.validate.store.jobs:KINDS"))] = (),
    claims: Annotated[tuple[str, ...], texts(one_of("onset.validate.claims:CLAIMS"))] = (),
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    computing: ComputingOptions | None = None,
    json_: Json = False,
) -> None:
    """Compare predictions with trained models, setting by setting; write a report. Exit status 1 if a promise fails.

    Parameters
    ----------
    suite
        quick (5 minutes on two cores), standard (about 90 minutes), full (about 4 hours), another of --list, or all.
        The same command resumes an interrupted suite.
    out
        Folder of the report, figures and runs; by default out/SUITE. All suites have a folder each below it.
    seeds
        Seeds per setting; by default the suite's own number.
    methods
        Compute only these: train, basin, or methods of onset predict; by default all. With --fresh, compute them again
        and keep the rest.
    claims
        Train only what these claims need.
    list_
        List the suites with their sizes and the claims, and compute nothing.
    json_
        Print results.json; of all suites, a list.
    """
    if list_:
        return show_suites(json_)
    from onset.validate.report import load
    from onset.validate.suite import SUITES

    how = (computing or ComputingOptions()).checked()
    folder = Path("out") / suite if out is None else out
    folders = {suite: folder} if suite != ALL else {name: folder / name for name in SUITES}
    holds, pages = True, []
    for name, place in folders.items():
        results, page, failed = _run(name, place, seeds, quiet=json_, kinds=methods, claimed=claims, **how)
        if not json_:
            show_results(results)
            print(f"report: {page}")
        show_failures(failed)
        holds, pages = holds and results.holds and not failed, [*pages, page]
    if json_:
        data = [load(place) for place in folders.values()]
        print_json(data if suite == ALL else data[0])
    elif suite != ALL:
        open_page(pages[0])
    if not holds:
        sys.exit(1)
    return None


@app.command
def figures(
    *names: Annotated[str, text(one_of("onset.paper.figures.registry:FIGURES"), called="figure")],
    out: OptionalFolder = None,
    results: OptionalExisting = None,
    json_: Json = False,
) -> None:
    """Draw figures as PDF and PNG: those of a suite from its results, those of the theory without.

    Parameters
    ----------
    names
        Which figures; by default those of the theory, and all that the results hold.
    out
        Folder for the files; by default out/figures.
    results
        Folder of a suite's results, as onset validate wrote them; by default out/quick. Nothing is trained.
    json_
        Print the data of the figures as JSON, and draw none.
    """
    from onset.paper.figures.registry import OF_SUITE, numbers, render
    from onset.validate import report as pages

    if out is not None and json_:
        raise ValueError(f"out = {str(out)!r} with --json: expected one of them; --json draws nothing, leave one out.")
    of_results = [name for name in names if name in OF_SUITE]
    if results is not None and names and not of_results:
        raise ValueError(
            f"results = {str(results)!r} with {', '.join(names)}: expected a figure of a suite's results; leave it out."
        )
    shown, folder = None, Path("out") / QUICK if results is None else results
    if of_results or results is not None or (not names and (folder / pages.RESULTS).exists()):
        shown, _ = pages.results_of(folder)
    elif not names and not json_:
        print(f"no figures of a suite: {folder} has no results; onset validate --suite {QUICK} computes them")
    if json_:
        return print_json(numbers(shown, names))
    for png in render(shown, out or Path("out/figures"), names).values():
        print(f"{png.with_suffix('.pdf')}  {png}")
    return None


def _run(suite: str, folder: Path, seeds: int | None = None, *, quiet: bool, **options: Any) -> tuple[Any, Path, Any]:
    """Compute a suite and write its report into `folder`; returns results, page and failures."""
    from onset.paper.report import write_report
    from onset.validate import suite as suites
    from onset.validate.store.runs import Store

    store = Store(folder / "runs")
    with watching(f"suite {suite}", quiet=quiet) as watch:
        failed = suites.run_jobs(suite, store, seeds=seeds, **options, watch=watch).failed
    results = suites.collect(suite, store, seeds=seeds)
    return results, write_report(results, folder, seeds), failed


@app.command
def report(folder: Given, *, readme: OptionalExisting = None) -> None:
    """Write a suite's report and figures again from its stored runs; or update a README's section of results.

    Parameters
    ----------
    folder
        The --out folder of onset validate; with --readme a results.json is enough.
    readme
        Update only the parts of this file between the marks of measured results, from results.json; from a folder
        with the results of several suites, the table of all claims too.
    """
    from onset.validate import report as pages

    if readme is not None:
        from onset.paper.readme import update

        return print(update(readme, *pages.load_all(folder)))
    from onset.paper.report import write_report

    results, seeds = pages.results_of(folder)
    return print(write_report(results, folder, seeds))


@app.command
def bench(
    *names: Annotated[str, text(one_of("onset.validate.bench:BENCHMARKS"), called="benchmark")],
    peer: OptionalExisting = None,
    json_: Json = False,
) -> None:
    """Measure speed as ratios to named baselines and to stated limits, in one run.

    Parameters
    ----------
    names
        Which benchmarks; by default all, with --peer none.
    peer
        Clone of the released code of arXiv 2402.11004, timed against ours: sampler, strategy evaluation, training step.
    json_
        Print JSON.
    """
    from onset.validate import bench as benches

    with progress("measuring", quiet=json_) as advance:
        rows = benches.run(names, peer=peer, progress=advance)
    data = {"machine": benches.machine(), "benchmarks": [row.to_dict() for row in rows]}
    if json_:
        return print_json(data)
    title = ", ".join(f"{key} {value}" for key, value in data["machine"].items())
    return table(title, benches.COLUMNS, benches.table_rows(data["benchmarks"]))

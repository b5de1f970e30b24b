"""The front door: `onset`, the command line. Thin; what is heavy is imported inside the command that needs it."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import cyclopts
from cyclopts import App, Parameter

from paper import terminal
from paper.options import ComputingOptions, SettingOptions
from validate.stopped import Stopped

__all__ = ["main"]

app = App(
    name="onset",
    help="Predict, in optimiser steps and with error bars, when a model trained on in-context Markov chains forms its induction head; then check it.",
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main says what is kept
)
Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=())]


@app.command
def predict(
    options: SettingOptions | None = None,
    *,
    method: str = "mean-field",
    formation_level: float = 0.1,
    seed: int = 0,
    json_: Json = False,
) -> None:
    """Predict the plateaus' losses and the transitions of a setting.

    Parameters
    ----------
    method
        law (the closed form of the plateau), law-corrected (the same at finite context), mean-field (T to infinity), mean-field-corrected or finite-context (the population dynamics at T).
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as formed.
    seed
        Seed of quadrature points and sampled sequences.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from simulate.predict import predict as run

    with terminal.progress(f"predicting {setting.label}", quiet=json_) as advance:
        found = run(setting, method, seed=seed, progress=advance)
    data = found.to_dict(formation_level)
    if json_:
        return terminal.print_json(data)
    terminal.show_transitions(f"{setting.label}: predicted by {method}", data)
    terminal.table(
        "ideal losses, nats per token",
        ("strategy", "loss", "± error"),
        [(name, f"{p['loss']:.4f}", f"{p['error']:.1g}") for name, p in data["plateaus"].items()],
    )
    for title in ("assumptions", "validity"):
        print(f"{title}: " + "; ".join(data[title]))
    return None


@app.command
def scan(
    options: SettingOptions | None = None,
    *,
    grid: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    method: str = "law",
    out: Path = Path("out/scan"),
    seed: int = 0,
    fresh: Flag = False,
    json_: Json = False,
) -> None:
    """Predict a setting over a grid; write scan.csv, scan.json and a figure, and fit how the time goes with each axis.

    Parameters
    ----------
    grid
        AXIS=V,V,… or AXIS=FIRST:LAST:COUNT (geometric; with :lin behind it, even). Axes: context, states, concentration, batch, weight
        (of a mixture's first part; other priors are mixed with unigram), learning-rate and initialization, or one group's: learning-rate.GROUP.
    method
        law, or any method of onset predict.
    out
        Folder for the files.
    seed
        Seed of quadrature points and sampled sequences.
    fresh
        Predict again what an unfinished or earlier scan in OUT holds (methods other than the law).
    json_
        Print JSON.
    """
    from simulate import scan as grids

    chosen = grids.grid((options or SettingOptions()).build(), grid)
    from simulate.predict import METHODS
    from theory import arguments
    from validate import scan as scans
    from validate.files import writable_folder

    arguments.one_of("method", method, METHODS)
    writable_folder(out)
    with terminal.progress(f"scanning {len(chosen)} settings", quiet=json_) as advance:
        rows, fitted = scans.run(chosen, method, seed=seed, folder=out, fresh=fresh, progress=advance)
    data = scans.to_dict(chosen, rows, fitted, method, seed)
    files = scans.write(out, data)
    from paper import style
    from paper.figures import scan as picture

    with style.styled():
        title = f"{chosen.base.label}, varied: by {method}"
        files.append(style.save(picture.draw(picture.compute(data), title), out, "scan"))
    if json_:
        return terminal.print_json(data)
    terminal.show_fits(data, fitted)
    return print("  ".join(map(str, files)))


@app.command
def explain(
    options: SettingOptions | None = None, *, out: Path = Path("out/explain"), seed: int = 0, json_: Json = False
) -> None:
    """Say in words, with a picture, what sets the time of a setting: slow time, delays, drives, exponents and the limiting stage.

    Parameters
    ----------
    out
        Folder for explain.json and the picture.
    seed
        Seed of the mean field's quadrature points.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from simulate.explain import explain as run
    from validate.files import writable_folder, write_text

    found = run(setting, seed=seed)
    data = found.to_dict()
    writable_folder(out)
    from paper import style
    from paper.figures import explain as picture

    write_text(out / "explain.json", json.dumps(data, indent=1, allow_nan=False) + "\n")
    with style.styled():
        png = style.save(picture.draw(picture.compute(found)), out, "explain")
    if json_:
        return terminal.print_json(data)
    print("\n".join((f"{setting.label}: {found.regime}", *found.sentences)))
    return print(f"{out / 'explain.json'}  {png}")


@app.command
def simulate(
    options: SettingOptions | None = None,
    *,
    sequences: int = 16384,
    pseudo_count: float | None = None,
    seed: int = 0,
    json_: Json = False,
) -> None:
    """Measure what the ideal strategies lose on sampled sequences of a setting.

    Parameters
    ----------
    sequences
        Fresh chains, one sequence each.
    pseudo_count
        Added to every count; by default the prior's concentration.
    seed
        Seed of the sequences.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from simulate.losses import strategy_losses

    with terminal.progress(f"simulating {setting.label}", quiet=json_) as advance:
        found = strategy_losses(setting, sequences, pseudo_count=pseudo_count, seed=seed, progress=advance)
    if json_:
        losses = {
            name: {"mean": e.mean, "error": e.error, "last": e.last, "last_error": e.last_error}
            for name, e in found.items()
        }
        return terminal.print_json(
            {"setting": setting.to_dict() | {"id": setting.id}, "sequences": sequences, "losses": losses}
        )
    rows = [(name, f"{e.mean:.4f} ± {e.error:.4f}", f"{e.last:.4f} ± {e.last_error:.4f}") for name, e in found.items()]
    return terminal.table(
        f"{setting.label}: losses over {sequences} sequences, nats per token (± standard error)",
        ("strategy", "all positions", "last position"),
        rows,
    )


@app.command
def train(
    options: SettingOptions | None = None,
    *,
    seeds: int = 3,
    out: Path = Path("out"),
    computing: ComputingOptions | None = None,
    formation_level: float = 0.1,
    json_: Json = False,
) -> None:
    """Train PyTorch models of a setting and read off their transitions. Finished runs are kept and used again.

    Parameters
    ----------
    seeds
        Number of models.
    out
        Runs go to OUT/runs, one file each.
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as formed.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from theory import arguments

    arguments.integer("seeds", seeds, least=1)
    how = (computing or ComputingOptions()).checked()
    from validate.execution import compute
    from validate.observed import TRAIN, Task, observation
    from validate.runs import Store

    store = Store(out / "runs")
    tasks = [Task(setting, TRAIN, seed) for seed in range(seeds)]
    with terminal.watching(f"training {setting.label}", quiet=json_) as watch:
        failed = compute(tasks, store, **how, progress=watch.steps if seeds == 1 else _ignore, watch=watch).failed
    trained = [task for task in tasks if task in store]
    terminal.show_failures(failed)
    if not trained:
        sys.exit(1)
    data = observation(setting, [task.seed for task in trained], store).to_dict(formation_level)
    data["files"] = [str(store.path(task.name)) for task in trained]
    if json_:
        terminal.print_json(data)
        sys.exit(bool(failed))
    terminal.show_transitions(f"{setting.label}: {len(trained)} trained", data)
    for run in data["runs"]:
        if run["diverged"] is not None:
            print(
                f"seed {run['seed']} diverged at step {run['diverged']}; its records up to step {run['last_step']:g} are kept."
            )
    print(f"runs: {out / 'runs'}")
    sys.exit(bool(failed))


@app.command
def sweep(
    file: Path,
    *,
    out: Path | None = None,
    seeds: int | None = None,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    computing: ComputingOptions | None = None,
    json_: Json = False,
) -> None:
    """Train and predict the settings of a sweep's TOML file; write sweep.json and sweep.csv. The same command goes on where one stopped.

    Parameters
    ----------
    file
        With seeds, kinds, [setting], and [grid] or [[runs]] or both, as the README shows.
    out
        Folder of results and runs; by default out/NAME of the file.
    seeds
        Trained models per setting, instead of what the file says.
    list_
        List the settings and how much of each is there, and do nothing.
    json_
        Print sweep.json.
    """
    from validate import sweeps

    chosen = sweeps.load(file, seeds=seeds)
    folder = Path("out") / file.stem if out is None else out
    how = (computing or ComputingOptions()).checked()
    from validate.execution import compute
    from validate.runs import Store

    if list_:
        held = Store(folder / "runs") if (folder / "runs").is_dir() else ()
        return terminal.show_plan(chosen, held, json_)
    store = Store(folder / "runs")
    with terminal.watching(f"sweep {file.stem}", quiet=json_) as watch:
        failed = compute(chosen.tasks(), store, **how, watch=watch).failed
    data = sweeps.collect(chosen, store)
    files = sweeps.write(folder, data)
    if json_:
        terminal.print_json(data)
    else:
        terminal.show_sweep(data)
        print("  ".join(map(str, files)))
    terminal.show_failures(failed)
    sys.exit(bool(failed))


@app.command
def validate(
    *,
    suite: str = "quick",
    out: Path | None = None,
    seeds: int | None = None,
    methods: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    claims: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    computing: ComputingOptions | None = None,
    json_: Json = False,
) -> None:
    """Set predictions beside trained models, setting by setting; write a report. Exit status 1 if something that the suite promises fails.

    Parameters
    ----------
    suite
        quick (five minutes on two cores), standard (about an hour and a quarter), full (a night), or another of --list. A killed one goes on where it stopped.
    out
        Folder of the report, figures and runs; by default out/SUITE.
    seeds
        Seeds per setting; by default the suite's own.
    methods
        Compute only these: train, basin, or methods of onset predict; by default all. With --fresh, computes them again and keeps the rest.
    claims
        Train only what these claims need.
    list_
        List the suites with their sizes and the claims, and do nothing.
    json_
        Print results.json.
    """
    from theory import arguments
    from validate import report as pages
    from validate import suite as suites
    from validate.claims import chosen
    from validate.observed import KINDS
    from validate.runs import Store

    if list_:
        return terminal.show_suites(json_)
    chosen(claims)
    arguments.one_of("suite", suite, suites.SUITES)
    for method in methods:
        arguments.one_of("method", method, KINDS)
    how = (computing or ComputingOptions()).checked()
    folder = Path("out") / suite if out is None else out
    store = Store(folder / "runs")
    with terminal.watching(f"suite {suite}", quiet=json_) as watch:
        failed = suites.run_tasks(suite, store, seeds=seeds, kinds=methods, claimed=claims, **how, watch=watch).failed
    results = suites.collect(suite, store, seeds=seeds)
    page = _write_report(results, folder, seeds)
    if json_:
        print((folder / pages.RESULTS).read_text(), end="")
    else:
        terminal.show_results(results)
        print(f"report: {page}")
        terminal.open_page(page)
    terminal.show_failures(failed)
    if failed or not results.holds:
        sys.exit(1)
    return None


@app.command
def figures(*names: str, out: Path = Path("out/figures"), results: Path | None = None, json_: Json = False) -> None:
    """Draw figures, as PDF and PNG, from a suite's results or, those of the theory, without.

    Parameters
    ----------
    names
        Which figures; default all.
    out
        Folder for the files.
    results
        Folder of the suite's results; by default out/quick, computed first if there are none.
    json_
        Print what the figures show, and draw none.
    """
    from paper.figures import FIGURES, OF_SUITE, numbers, render
    from theory import arguments
    from validate import report as pages

    for name in names:
        arguments.one_of("figure", name, FIGURES)
    found = None
    if not names or set(names) & set(OF_SUITE):
        folder = Path("out/quick") if results is None else results
        if results is None and not (folder / pages.RESULTS).exists():
            validate(suite="quick", out=folder)
        found, _ = pages.results_of(folder)
    if json_:
        return terminal.print_json(numbers(found, names))
    for png in render(found, out, names).values():
        print(f"{png.with_suffix('.pdf')}  {png}")
    return None


@app.command
def report(folder: Path, *, readme: Path | None = None) -> None:
    """Write a suite's report and figures again from the runs it left; or a README's section of results.

    Parameters
    ----------
    folder
        What onset validate was given as --out; with --readme a results.json is enough.
    readme
        Write only the part of this file between the markers of measured results, from results.json.
    """
    from validate import report as pages

    if readme is not None:
        from paper.readme import update

        return print(update(readme, pages.load(folder)))
    results, seeds = pages.results_of(folder)
    return print(_write_report(results, folder, seeds))


@app.command
def runs(
    folder: Path,
    *,
    where: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    picture: Flag = False,
    export: Path | None = None,
    out: Path = Path("out/runs"),
    formation_level: float = 0.1,
    json_: Json = False,
) -> None:
    """List the runs in a folder: settings, passages, heads, losses; choose among them, draw them, hand them on to other tools.

    Parameters
    ----------
    folder
        What onset train or validate was given as --out, or its folder runs.
    where
        NAME=VALUE or NAME=VALUE,VALUE, by the names of the setting's options: context=100 family=linear learning-rate.match=0.02; also kind (train,
        or a method of onset predict), seed, device, id and state (finished, diverged, refused, failed, damaged, unreadable). All must hold.
    picture
        Draw loss, attention and distances over training into OUT as runs.pdf and runs.png.
    export
        Write a .csv (one line per run) or a .nc (NetCDF, all curves with named dimensions).
    out
        Folder for the picture.
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as formed.
    json_
        Print JSON.
    """
    from theory import arguments
    from validate.export import ENDINGS
    from validate.export import export as write
    from validate.listing import chosen, listed

    if export is not None:
        arguments.one_of("export file's ending", export.suffix, ENDINGS)
    with terminal.progress(f"reading {folder}", quiet=json_) as advance:
        there = listed(folder, advance)
    found = chosen(there, where)
    rows = [run.to_dict(formation_level) for run in found]
    files = [] if export is None else [write(found, export, formation_level)]
    if picture:
        from paper import style
        from paper.figures import runs as figure
        from validate.files import writable_folder

        with style.styled():
            files.append(style.save(figure.draw(figure.compute(found)), writable_folder(out), "runs"))
    if json_:
        return terminal.print_json({"folder": str(folder), "runs": rows, "files": [str(file) for file in files]})
    terminal.show_runs(rows, f"{len(found)} of {len(there)} runs in {folder}")
    for run in there:
        if run.problem:
            print(f"onset: {run.problem}", file=sys.stderr)
    return print("  ".join(map(str, files))) if files else None


@app.command
def bench(*names: str, peer: Path | None = None, json_: Json = False) -> None:
    """Measure speed as ratios to named baselines and to stated limits, in one run.

    Parameters
    ----------
    names
        Which benchmarks; default all, with --peer none.
    peer
        Clone of the released code of arXiv 2402.11004, timed beside ours: sampler, strategy evaluation, training step.
    json_
        Print JSON.
    """
    from validate import bench as benches

    with terminal.progress("measuring", quiet=json_) as advance:
        rows = benches.run(names, peer=peer, progress=advance)
    data = {"machine": benches.machine(), "benchmarks": [row.to_dict() for row in rows]}
    if json_:
        return terminal.print_json(data)
    print(benches.as_table(data))
    return None


@app.command
def derive(*names: str, check: Flag = False, latex: Path | None = None, json_: Json = False) -> None:
    """List the derivations, show some, run their checks or write them as LaTeX. Exit status 1 if a check fails or a derivation cannot be built.

    Parameters
    ----------
    names
        Which derivations; without names all are listed, checked or written.
    check
        Run their checks; results are remembered until the code changes.
    latex
        Write one .tex file per derivation into this folder; without names also derivations.tex with all and references.bib.
    json_
        Print JSON.
    """
    from theory import arguments, derivations
    from validate import derivation_checks as checks

    chosen = [arguments.one_of("derivation", name, derivations.names()) for name in dict.fromkeys(names)]
    attached = checks.attach_all()
    statuses, broken = [], list(attached.broken)
    with terminal.progress("checking", quiet=json_ or not check) as advance:
        for name in chosen or derivations.names():
            try:
                statuses.append(checks.run(name, advance) if check else checks.recall(name))
            except Exception as problem:  # one that cannot be built does not keep the others from being read
                broken.append(f"{name} cannot be derived: {type(problem).__name__}: {problem}")
    files = []
    if latex is not None and statuses:
        from paper import latex as pages

        files = pages.write(statuses, latex, together=not names)
    if json_:
        from paper.plain import to_dict

        data = {"derivations": [to_dict(s) for s in statuses], "skipped": attached.skipped, "broken": broken}
        terminal.print_json(data | ({} if latex is None else {"files": [str(file) for file in files]}))
    else:
        terminal.show_derivations(statuses, checked=check, whole=bool(chosen) and latex is None)
        for file in files:
            print(file)
        for note in (*attached.skipped, *broken):
            print(f"onset: {' '.join(note.split())}", file=sys.stderr)
    if broken or (check and any(status.passed is False for status in statuses)):
        sys.exit(1)


@app.command
def cite(*names: str, json_: Json = False) -> None:
    """Print the BibTeX of what derivations and commands rest on.

    Parameters
    ----------
    names
        Derivations or commands; without names everything the project rests on, its own entry first.
    json_
        Print JSON.
    """
    from paper.citation import cited

    entries = cited(names)
    if json_:
        return terminal.print_json({"entries": [{"key": key, "bibtex": entry} for key, entry in entries.items()]})
    print("\n\n".join(entries.values()))
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (default: the process's); bad input is one sentence on stderr and exit status 2."""
    warnings.formatwarning = lambda message, *_, **__: f"onset: {message}\n"
    try:
        app(sys.argv[1:] if arguments is None else arguments, exit_on_error=False, print_error=False)
    except (ValueError, cyclopts.CycloptsError) as problem:
        _fail(" ".join(str(problem).split()))
    except ModuleNotFoundError as problem:
        if problem.name not in ("torch", "xarray", "h5netcdf", "h5py", "jinja2"):
            raise
        _fail(f"this command needs {problem.name}, which is not installed: pip install 'icl-onset[train]'.")
    except MemoryError as problem:
        _fail(f"not enough memory ({problem or 'none left'}): lower the context, the states or the batch.")
    except BrokenPipeError:  # whoever reads stdout, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            "onset: interrupted; what was finished is kept, and the same command goes on from there.", file=sys.stderr
        )
        sys.exit(130)
    except Stopped as problem:
        print(f"onset: {problem}", file=sys.stderr)
        sys.exit(1)


def _fail(sentence: str) -> NoReturn:
    print(f"onset: {sentence}", file=sys.stderr)
    sys.exit(2)


def _ignore(step: int, steps: int) -> None:
    pass


def _write_report(results: Any, folder: Path, seeds: int | None) -> Path:
    from paper.figures import caption, of_suite, render
    from validate import report as pages

    names = of_suite(results)
    pictures: dict[str, Path] = {}
    try:
        if names:
            pictures = render(results, folder / "figures", names)
    finally:  # a picture that cannot be drawn must not cost the numbers
        shown = {name: (png, caption(name)) for name, png in pictures.items()}
        page = pages.write(results, folder, shown, seeds=seeds)
    return page


if __name__ == "__main__":
    main()

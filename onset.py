"""The front door: `onset`, the command line. Thin; what is heavy is imported inside the command that needs it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import cyclopts
from cyclopts import App, Group, Parameter

if TYPE_CHECKING:
    from theory.setting import Setting

__all__ = ["main"]

app = App(
    name="onset",
    help="Predict, in optimiser steps and with error bars, when a model trained on in-context Markov chains forms its induction head; then check it.",
    help_format="plaintext",
    version_flags=["--version"],
)
SETTING = Group("Setting", sort_key=1)


@Parameter(name="*", group=SETTING)
@dataclass(kw_only=True)
class SettingOptions:
    """A setting; what is left out takes the family's default."""

    family: str = "linear"
    "Model family: linear, softmax or transformer."
    states: int = 2
    "Number k of symbols."
    order: int = 2
    "n: the next symbol depends on the last n - 1 (dirichlet prior)."
    context: int = 100
    "Tokens T that the model sees."
    prior: str = "dirichlet"
    "Law of the transition matrices: dirichlet, doubly-stochastic or unigram (a mixture needs --setting)."
    concentration: float | None = None
    "Dirichlet concentration per entry; 1 is flat."
    optimizer: str | None = None
    "sgd or adam for the toy families, adamw, adam or sgd for the transformer."
    learning_rate: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    "One rate for all groups, or GROUP=RATE for some (lag_logits, match, readout; weights)."
    initialization: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = ()
    "One value for every entry, or GROUP=VALUE for some groups."
    batch: int = 64
    "Sequences B per step."
    steps: int | None = None
    "Longest run, in optimiser steps."
    record_every: int | None = None
    "Steps between two recorded points of a curve."
    setting: Path | None = None
    "Read the setting from this TOML or JSON file instead."

    def build(self) -> Setting:
        from theory import arguments
        from theory.priors import PRIORS, Mixture
        from theory.setting import Setting

        if self.setting is not None:
            return Setting.load(self.setting)
        kind = PRIORS[arguments.one_of("prior", self.prior, PRIORS)]
        if kind is Mixture:
            raise ValueError(
                "prior = 'mixture': expected its components, which the command line cannot hold; write them to a file and give --setting FILE."
            )
        taken = kind.__dataclass_fields__
        if self.concentration is not None and "concentration" not in taken:
            raise ValueError(f"concentration = {self.concentration:g}: the {self.prior} prior has none; leave it out.")
        if self.order != 2 and "order" not in taken:
            raise ValueError(f"order = {self.order}: the {self.prior} prior has chains of order 2 only; leave it out.")
        extra: dict[str, Any] = {} if self.concentration is None else {"concentration": self.concentration}
        if self.order != 2:
            extra["order"] = self.order
        return Setting.of(
            self.family,
            prior=kind(self.states, **extra),
            context=self.context,
            optimizer=self.optimizer,
            learning_rate=_per_group("learning-rate", self.learning_rate),
            initialization=_per_group("initialization", self.initialization),
            batch=self.batch,
            steps=self.steps,
            record_every=self.record_every,
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

    with _progress(f"predicting {setting.label}", quiet=json_) as advance:
        found = run(setting, method, seed=seed, progress=advance)
    data = found.to_dict(formation_level)
    if json_:
        return _print_json(data)
    _show_transitions(f"{setting.label}: predicted by {method}", data)
    _table(
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
    with _progress(f"scanning {len(chosen)} settings", quiet=json_) as advance:
        rows, fitted = scans.run(chosen, method, seed=seed, folder=out, fresh=fresh, progress=advance)
    data = scans.to_dict(chosen, rows, fitted, method, seed)
    files = scans.write(out, data)
    from paper import style
    from paper.figures import scan as picture

    with style.styled():
        title = f"{chosen.base.label}, varied: by {method}"
        files.append(style.save(picture.draw(picture.compute(data), title), out, "scan"))
    if json_:
        return _print_json(data)
    _show_fits(data, fitted)
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
        return _print_json(data)
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

    with _progress(f"simulating {setting.label}", quiet=json_) as advance:
        found = strategy_losses(setting, sequences, pseudo_count=pseudo_count, seed=seed, progress=advance)
    if json_:
        losses = {
            name: {"mean": e.mean, "error": e.error, "last": e.last, "last_error": e.last_error}
            for name, e in found.items()
        }
        return _print_json(
            {"setting": setting.to_dict() | {"id": setting.id}, "sequences": sequences, "losses": losses}
        )
    rows = [(name, f"{e.mean:.4f} ± {e.error:.4f}", f"{e.last:.4f} ± {e.last_error:.4f}") for name, e in found.items()]
    return _table(
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
    device: str = "auto",
    workers: int | None = None,
    fresh: Flag = False,
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
    device
        auto, cpu, cuda or mps.
    workers
        Processes side by side; by default one per core.
    fresh
        Train again even if the run is there.
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as formed.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from theory import arguments

    arguments.integer("seeds", seeds, least=1)
    from validate.observed import TRAIN, Task, compute, observation
    from validate.runs import Store
    from validate.training import resolve_device

    resolve_device(device)
    store = Store(out / "runs")
    tasks = [Task(setting, TRAIN, seed) for seed in range(seeds)]
    with _progress(f"training {setting.label}", quiet=json_) as advance:
        one = seeds == 1 or workers == 1
        compute(
            tasks,
            store,
            device=device,
            fresh=fresh,
            workers=workers,
            progress=advance if one else _ignore,
            finished=lambda _, done, total: None if one else advance(done, total),
        )
    data = observation(setting, range(seeds), store).to_dict(formation_level)
    data["files"] = [str(store.path(task.name)) for task in tasks]
    if json_:
        return _print_json(data)
    _show_transitions(f"{setting.label}: {seeds} trained", data)
    for run in data["runs"]:
        if run["diverged"] is not None:
            print(
                f"seed {run['seed']} diverged at step {run['diverged']}; its records up to step {run['last_step']:g} are kept."
            )
    print(f"runs: {out / 'runs'}")
    return None


@app.command
def validate(
    *,
    suite: str = "quick",
    out: Path | None = None,
    seeds: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    fresh: Flag = False,
    json_: Json = False,
) -> None:
    """Set predictions beside trained models, setting by setting; write a report. Exit status 1 if a verdict that the suite counts on fails.

    Parameters
    ----------
    suite
        Which settings: quick.
    out
        Folder of the report, figures and runs; by default out/SUITE.
    seeds
        Seeds per setting; by default the suite's own.
    device
        auto, cpu, cuda or mps.
    workers
        Processes side by side; by default one per core.
    fresh
        Compute again what is there.
    json_
        Print results.json.
    """
    from theory import arguments
    from validate import report as pages
    from validate import suite as suites
    from validate.runs import Store
    from validate.training import resolve_device

    arguments.one_of("suite", suite, suites.SUITES)
    resolve_device(device)
    folder = Path("out") / suite if out is None else out
    with _progress(f"suite {suite}", quiet=json_) as advance:

        def finished(task: Any, done: int, total: int) -> None:
            advance(done, total, task.label)

        results = suites.run(
            suite, Store(folder / "runs"), seeds=seeds, device=device, workers=workers, fresh=fresh, finished=finished
        )
    page = _write_report(results, folder, seeds)
    if json_:
        print((folder / pages.RESULTS).read_text(), end="")
    else:
        _show_results(results)
        print(f"report: {page}")
        _open(page)
    if not results.holds:
        sys.exit(1)


@app.command
def figures(*names: str, out: Path = Path("out/figures"), results: Path = Path("out/quick")) -> None:
    """Draw figures, as PDF and PNG, from a suite's results (computed first if there are none) or, those of the theory, without.

    Parameters
    ----------
    names
        Which figures; default all.
    out
        Folder for the files.
    results
        Folder of the suite's results.
    """
    from paper.figures import FIGURES, OF_SUITE, render
    from theory import arguments
    from validate import report as pages

    for name in names:
        arguments.one_of("figure", name, FIGURES)
    found = None
    if not names or set(names) & set(OF_SUITE):
        if not (results / pages.RESULTS).exists():
            validate(suite="quick", out=results)
        found, _ = pages.results_of(results)
    for png in render(found, out, names).values():
        print(f"{png.with_suffix('.pdf')}  {png}")


@app.command
def report(folder: Path) -> None:
    """Write a suite's report and figures again from the runs it left.

    Parameters
    ----------
    folder
        What onset validate was given as --out.
    """
    from validate import report as pages

    results, seeds = pages.results_of(folder)
    print(_write_report(results, folder, seeds))


@app.command
def bench(*names: str, json_: Json = False) -> None:
    """Measure speed as ratios to named baselines and to stated limits, in one run.

    Parameters
    ----------
    names
        Which benchmarks; default all.
    json_
        Print JSON.
    """
    from validate import bench as benches

    with _progress("measuring", quiet=json_) as advance:
        rows = benches.run(names, progress=advance)
    data = {"machine": benches.machine(), "benchmarks": [row.to_dict() for row in rows]}
    if json_:
        return _print_json(data)
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
    with _progress("checking", quiet=json_ or not check) as advance:
        for name in chosen or derivations.names():
            try:
                statuses.append(checks.run(name, advance) if check else checks.recall(name))
            except Exception as problem:  # one that cannot be built does not keep the others from being read
                broken.append(f"{name} cannot be derived: {type(problem).__name__}: {problem}")
    files = [] if latex is None else _write_latex(statuses, latex, together=not names)
    if json_:
        from paper.plain import to_dict

        data = {"derivations": [to_dict(s) for s in statuses], "skipped": attached.skipped, "broken": broken}
        _print_json(data | ({} if latex is None else {"files": [str(file) for file in files]}))
    else:
        _show_derivations(statuses, checked=check, whole=bool(chosen) and latex is None)
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
        return _print_json({"entries": [{"key": key, "bibtex": entry} for key, entry in entries.items()]})
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
    except BrokenPipeError:  # whoever reads stdout, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            "onset: interrupted; what was finished is kept, and the same command goes on from there.", file=sys.stderr
        )
        sys.exit(130)


def _fail(sentence: str) -> NoReturn:
    print(f"onset: {sentence}", file=sys.stderr)
    sys.exit(2)


def _per_group(option: str, given: tuple[str, ...]) -> float | dict[str, float] | None:
    pairs: dict[str, float] = {}
    for text in given:
        group, equals, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(
                f"{option} = {text!r}: expected a number, or GROUP=NUMBER; give for instance match=0.01."
            ) from None
        if not equals:
            if len(given) > 1:
                raise ValueError(
                    f"{option} = {' '.join(given)}: expected one number, or GROUP=NUMBER for each group; name the groups."
                )
            return number
        pairs[group] = number
    return pairs or None


def _ignore(step: int, steps: int) -> None:
    pass


@contextmanager
def _progress(title: str, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """A bar on a terminal, plain lines elsewhere, nothing if `quiet`; call it with what is done, the total and what was done."""
    if quiet:
        yield lambda done, total, what="": None
        return
    if not sys.stderr.isatty():
        yield (
            lambda done, total, what="": (
                print(f"{title}: {done}/{total} {what}", file=sys.stderr, flush=True) if what else None
            )
        )
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(title, total=None)
        yield lambda done, total, what="": bar.update(shown, completed=done, total=total, description=what or title)


def _print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=1, allow_nan=False))


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table(*head, title=Text(title, style="italic"), title_justify="left", box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(Text, row))  # as it stands: [brackets] are no markup
    console.print(table)


def _show_transitions(title: str, data: dict[str, Any]) -> None:
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
    _table(title, ("transition", "step", "95% interval"), rows)


def _show_fits(data: dict[str, Any], fitted: list[Any], most: int = 24) -> None:
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
    _table(f"{data['answered']} of {len(data['rows'])} settings answered", head, rows)
    if len(fitted) > most:
        print(f"{len(fitted) - most} more lines in scan.json")
    reasons = [row["reason"] for row in data["rows"] if row["reason"]]
    if reasons:
        print(f"{len(reasons)} settings lack a time, the first because: {reasons[0]}")


def _show_results(results: Any) -> None:
    from validate.report import percent, show

    rows = []
    for c in (*results.comparisons, *results.findings):
        told = "  ".join(f"{rung} {show(interval)}" for rung, interval in c.predicted.items())
        errors = "  ".join(percent(e) for e in c.errors.values()) if c.unit != "share" else ""
        rows.append(
            (
                c.setting,
                c.quantity,
                told,
                show(c.observed),
                errors,
                c.verdict + ("" if c.expected else " (not counted on)"),
            )
        )
    _table(f"suite {results.suite}", ("setting", "quantity", "predicted", "observed", "error", "verdict"), rows)


def _write_latex(statuses: list[Any], folder: Path, *, together: bool) -> list[Path]:
    from paper import latex as pages

    return pages.write(statuses, folder, together=together) if statuses else []


def _show_derivations(statuses: list[Any], *, checked: bool, whole: bool) -> None:
    from paper import plain

    if checked:
        head = ("check", "", "residual", "tolerance", "where the tolerance comes from", "seconds")
        for status in statuses:
            _table(f"{status.derivation.name}: {status.words}", head, plain.check_rows(status))
        return None
    if whole:
        columns = min(shutil.get_terminal_size((100, 24)).columns, 120)
        return print("\n\n".join(plain.as_text(status, columns) for status in statuses))
    rows = [(s.derivation.name, s.derivation.title, str(len(s.results)), s.words) for s in statuses]
    return _table("derivations", ("name", "title", "checks", "status"), rows)


def _open(page: Path) -> None:
    """Show the page in a browser if a person at a screen ran this."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.stdout.isatty() and screen:
        webbrowser.open(page.absolute().as_uri())


def _write_report(results: Any, folder: Path, seeds: int | None) -> Path:
    from paper.figures import OF_SUITE, caption, render
    from validate import report as pages

    pictures = render(results, folder / "figures", OF_SUITE)
    return pages.write(results, folder, {name: (png, caption(name)) for name, png in pictures.items()}, seeds=seeds)


if __name__ == "__main__":
    main()

"""Commands that train models and list their runs: train, sweep, runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from onset.command_line.application import Flag, Json, Names, app
from onset.command_line.checked import (
    Export,
    Folder,
    Given,
    OptionalFolder,
    OptionalSeedCount,
    SeedCount,
    Share,
)
from onset.command_line.options import ComputingOptions, SettingOptions
from onset.command_line.progress import progress, watching
from onset.command_line.tables import print_json, show_failures, show_plan, show_runs, show_sweep, show_transitions

__all__ = ["runs", "sweep", "train"]


@app.command
def train(
    options: SettingOptions | None = None,
    *,
    seeds: SeedCount = 3,
    out: Folder = Path("out"),
    computing: ComputingOptions | None = None,
    formation_level: Share = 0.1,
    json_: Json = False,
) -> None:
    """Train PyTorch models of a setting and read off their transitions. Finished runs are kept and reused.

    Parameters
    ----------
    seeds
        Number of models.
    out
        Runs go to OUT/runs, one file each.
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as a formed head.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    how = (computing or ComputingOptions()).checked()
    from onset.validate.execution import compute
    from onset.validate.store.jobs import TRAIN, Job, observation
    from onset.validate.store.runs import Store
    from onset.validate.training import resolve_device
    from onset.validate.training.memory import require_memory

    if how["scheduler"] is None:
        require_memory(setting, 1, resolve_device(how["device"]))
    store = Store(out / "runs")
    jobs = [Job(setting, TRAIN, seed) for seed in range(seeds)]
    with watching(f"training {setting.label}", quiet=json_) as watch:
        by_step = watch.steps if seeds == 1 else lambda step, steps: None
        failed = compute(jobs, store, **how, progress=by_step, watch=watch).failed
    trained = [job for job in jobs if job in store]
    show_failures(failed)
    if not trained:
        sys.exit(1)
    data = observation(setting, [job.seed for job in trained], store).to_dict(formation_level)
    data["files"] = [str(store.path(job.name)) for job in trained]
    if json_:
        print_json(data)
        sys.exit(bool(failed))
    show_transitions(f"{setting.label}: {len(trained)} trained", data)
    for run in data["runs"]:
        if run["diverged"] is not None:
            print(
                f"seed {run['seed']} diverged at step {run['diverged']}; "
                f"its records up to step {run['last_step']:g} are kept."
            )
    print(f"runs: {out / 'runs'}")
    sys.exit(bool(failed))


@app.command
def sweep(
    file: Given,
    *,
    out: OptionalFolder = None,
    seeds: OptionalSeedCount = None,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    computing: ComputingOptions | None = None,
    json_: Json = False,
) -> None:
    """Train and predict the settings of a sweep file; write sweep.json and sweep.csv. The same command resumes.

    Exit status 1 if something failed, or if no setting is answered.

    Parameters
    ----------
    file
        TOML with seeds, kinds, [setting], and [grid] or [[runs]] or both; see the guide "Sweeps and clusters".
    out
        Folder of results and runs; by default out/NAME of the file.
    seeds
        Trained models per setting, instead of the file's number.
    list_
        List the settings and how many of their runs are finished, and compute nothing.
    json_
        Print sweep.json.
    """
    from onset.validate.sweeps import results as sweeps
    from onset.validate.sweeps.plan import load

    plan = load(file, seeds=seeds)
    folder = Path("out") / file.stem if out is None else out
    from onset.validate.store.runs import Store

    if list_:
        held = Store(folder / "runs") if (folder / "runs").is_dir() else ()
        return show_plan(plan, held, json_)
    how = (computing or ComputingOptions()).checked()
    from onset.validate.execution import compute

    store = Store(folder / "runs")
    with watching(f"sweep {file.stem}", quiet=json_) as watch:
        failed = compute(plan.jobs(), store, **how, watch=watch).failed
    data = sweeps.collect(plan, store)
    files = sweeps.write(folder, data)
    if json_:
        print_json(data)
    else:
        show_sweep(data)
        print("  ".join(map(str, files)))
    show_failures(failed)
    sys.exit(bool(failed) or not sweeps.answered(data))


@app.command
def runs(
    folder: Given,
    *,
    where: Names = (),
    picture: Flag = False,
    export: Export = None,
    out: OptionalFolder = None,
    formation_level: Share = 0.1,
    json_: Json = False,
) -> None:
    """List the runs in a folder with their transitions and losses; select, draw or export them.

    Parameters
    ----------
    folder
        The --out folder of onset train, sweep or validate, or its subfolder runs.
    where
        NAME=VALUE or NAME=VALUE,VALUE, by the names of the setting's options, such as context=100 family=linear
        learning-rate.match=0.02; also kind (train, or a method of onset predict), seed, device, id and state (finished,
        diverged, refused, failed, damaged, unreadable). All must hold.
    picture
        Draw loss, attention and distances over training into OUT as runs.pdf and runs.png.
    export
        Write a .csv (one line per run) or a .nc (NetCDF, all curves with named dimensions).
    out
        Folder for the picture; by default out/runs.
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as a formed head.
    json_
        Print JSON.
    """
    from onset.validate.store.export import export as write
    from onset.validate.store.listing import list_runs, select

    if out is not None and not picture:
        raise ValueError(f"out = {str(out)!r} without --picture: expected a picture to write there; add --picture.")
    with progress(f"reading {folder}", quiet=json_) as advance:
        present = list_runs(folder, advance)
    selected = select(present, where)
    rows = [run.to_dict(formation_level) for run in selected]
    files = [] if export is None else [write(selected, export, formation_level)]
    if picture:
        from onset.paper import style
        from onset.paper.figures import runs as figure
        from onset.validate.store.files import writable_folder

        with style.styled():
            files.append(
                style.save(figure.draw(figure.compute(selected)), writable_folder(out or Path("out/runs")), "runs")
            )
    if json_:
        return print_json({"folder": str(folder), "runs": rows, "files": [str(file) for file in files]})
    show_runs(rows, f"{len(selected)} of {len(present)} runs in {folder}")
    for run in present:
        if run.problem:
            print(f"onset: {run.problem}", file=sys.stderr)
    return print("  ".join(map(str, files))) if files else None

"""Commands that need no training: predict, scan, explain, simulate."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from onset.command_line.application import Flag, Json, Names, app
from onset.command_line.checked import Folder, Method, OptionalMethod, Seed, Share, number
from onset.command_line.options import SettingOptions
from onset.command_line.progress import progress, watching
from onset.command_line.tables import EXACT, print_json, show_fits, show_transitions, table, width_warning
from onset.theory import arguments

__all__ = ["explain", "predict", "scan", "simulate"]

WORTH_SAYING = 60.0
"""Seconds from which on the time that a command takes at most is shown."""


@app.command
def predict(
    options: SettingOptions | None = None,
    *,
    method: OptionalMethod = None,
    formation_level: Share = 0.1,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Predict the plateau losses and the transitions of a setting.

    Parameters
    ----------
    method
        law (closed form of the plateau), law-corrected (the same at finite context), mean-field (T to infinity),
        mean-field-corrected or finite-context (exact population dynamics at T). By default the last where it takes
        seconds, else the law.
    formation_level
        Share of the last position's layer-1 attention on lag 1 that counts as a formed head.
    seed
        Seed of quadrature points and sampled sequences.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from onset.simulate.predict import USUAL_SHARE, longest
    from onset.simulate.predict import predict as run
    from onset.theory.costs import duration

    title = f"predicting {setting.label}"
    if method is not None and (seconds := longest(setting, method)) > WORTH_SAYING:
        title += f" (at most {duration(seconds)} on one core, as a rule {100 * USUAL_SHARE:.0f}% of that)"
    with progress(title, quiet=json_) as advance:
        prediction = run(setting, method, seed=seed, progress=advance)
    data = prediction.to_dict(formation_level)
    if json_:
        return print_json(data)
    if warning := _warning(data):
        print(warning)
    show_transitions(f"{setting.label}: predicted by {prediction.method}", data)
    table(
        "ideal losses, nats per token",
        ("strategy", "loss", "± error"),
        [(name, f"{p['loss']:.4f}", f"{p['error']:.1g}") for name, p in data["plateaus"].items()],
    )
    for title in ("assumptions", "validity"):
        print(f"{title}: " + "; ".join(data[title]))
    return None


def _warning(data: dict[str, Any]) -> str:
    """What to know of a prediction before its numbers: how far they may be off, or that nobody knows."""
    steps = [t for t in (*data["transitions"], *data["formations"]) if t["step"]]
    if data["method"] != "finite-context" and not all("neglected" in t for t in steps):
        return f"The method {data['method']} does not know the size of what it neglects: {EXACT}."
    return width_warning(data["method"], [(t["step"], t["low"], t["high"]) for t in steps])


@app.command
def scan(
    options: SettingOptions | None = None,
    *,
    grid: Names = (),
    method: Method = "law",
    out: Folder = Path("out/scan"),
    seed: Seed = 0,
    fresh: Flag = False,
    json_: Json = False,
) -> None:
    """Predict a setting over a grid; write scan.csv, scan.json and a figure; fit exponents of the time along each axis.

    Exit status 1 if no setting is answered.

    Parameters
    ----------
    grid
        AXIS=V,V,… or AXIS=FIRST:LAST:COUNT (geometric; evenly spaced with :lin appended). Axes: context, states,
        concentration, batch, weight (of a mixture's first part; other priors are mixed with unigram), learning-rate and
        initialization, or those of one group: learning-rate.GROUP. An entry is given here or by its option, not twice.
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
    from onset.simulate.predict import METHODS
    from onset.simulate.scan import grid as grid_of
    from onset.theory.setting_changes import overlap
    from onset.validate.store.files import writable_folder
    from onset.validate.sweeps import scan as scans

    options = options or SettingOptions()
    points = grid_of(options.build(), grid)
    arguments.one_of("method", method, METHODS)
    for axis, entry in points.entries:
        if both := next((option for other, option in options.entries().items() if overlap(entry, other)), None):
            raise ValueError(
                f"grid = {axis} with {both} = {arguments.shown(options.given()[both])}: expected one of them; "
                "leave the other out."
            )
    writable_folder(out)
    with watching(f"scanning {len(points)} settings", quiet=json_) as watch:
        rows, fitted = scans.run(points, method, seed=seed, folder=out, fresh=fresh, progress=watch.steps, watch=watch)
    data = scans.to_dict(points, rows, fitted, method, seed)
    files = scans.write(out, data)
    from onset.paper import style
    from onset.paper.figures import scan as picture

    with style.styled():
        title = f"{points.base.label}, varied: by {method}"
        files.append(style.save(picture.draw(picture.compute(data), title), out, "scan"))
    if json_:
        print_json(data)
    else:
        show_fits(data, fitted)
        print("  ".join(map(str, files)))
    sys.exit(data["answered"] == 0)


@app.command
def explain(
    options: SettingOptions | None = None, *, out: Folder = Path("out/explain"), seed: Seed = 0, json_: Json = False
) -> None:
    """Explain, in words and with a picture, what sets the time of a setting: slow time, delays, drives, exponents.

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
    from onset.simulate.explain import explain as run
    from onset.validate.store.files import writable_folder, write_text

    explanation = run(setting, seed=seed)
    data = explanation.to_dict()
    writable_folder(out)
    from onset.paper import style
    from onset.paper.figures import explain as picture

    write_text(out / "explain.json", json.dumps(data, indent=1, allow_nan=False) + "\n")
    with style.styled():
        png = style.save(picture.draw(picture.compute(explanation)), out, "explain")
    if json_:
        return print_json(data)
    print("\n".join((f"{setting.label}: {explanation.regime}", *explanation.sentences)))
    return print(f"{out / 'explain.json'}  {png}")


@app.command
def simulate(
    options: SettingOptions | None = None,
    *,
    sequences: Annotated[int, number(partial(arguments.integer, least=2))] = 16384,
    pseudo_count: Annotated[float | None, number(arguments.scale)] = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Measure the losses of the ideal strategies on sampled sequences of a setting.

    Parameters
    ----------
    sequences
        Number of fresh sequences.
    pseudo_count
        Added to every count; by default the prior's concentration.
    seed
        Seed of the sequences.
    json_
        Print JSON.
    """
    setting = (options or SettingOptions()).build()
    from onset.simulate.losses import strategy_losses

    with progress(f"simulating {setting.label}", quiet=json_) as advance:
        losses = strategy_losses(setting, sequences, pseudo_count=pseudo_count, seed=seed, progress=advance)
    if json_:
        named = {
            name: {"mean": e.mean, "error": e.error, "last": e.last, "last_error": e.last_error}
            for name, e in losses.items()
        }
        return print_json({"setting": setting.to_dict() | {"id": setting.id}, "sequences": sequences, "losses": named})
    return table(
        f"{setting.label}: losses over {sequences} sequences, nats per token (± standard error)",
        ("strategy", "all positions", "last position"),
        [(name, f"{e.mean:.4f} ± {e.error:.4f}", f"{e.last:.4f} ± {e.last_error:.4f}") for name, e in losses.items()],
    )

"""Commands that look inside trained language models: heads."""

from __future__ import annotations

import math
from typing import Annotated, Any

from cyclopts import Parameter

from onset.command_line.application import Flag, Json, app
from onset.command_line.checked import OptionalFolder, Seed, Share, number, one_of, text, texts
from onset.command_line.progress import progress
from onset.command_line.tables import print_json, table
from onset.theory import arguments

__all__ = ["heads"]

SHOWN = 24
"""Most heads that a table shows."""


@app.command
def heads(
    model: str,
    *,
    scores: Annotated[tuple[str, ...], texts(one_of("onset.validate.heads:SCORES"))] = (),
    sequences: Annotated[int, number(lambda name, value: arguments.integer(name, value, least=2, most=10**4))] = 16,
    level: Share = 0.1,
    ablate: Flag = False,
    out: OptionalFolder = None,
    number_type: Annotated[str, text(one_of("onset.validate.models.loading:TYPES"))] = "auto",
    device: Annotated[str, text(one_of("onset.validate.training:DEVICES"))] = "auto",
    pickled: Flag = False,
    download: Flag = False,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Score the attention heads of a causal language model: which attend to previous tokens, which are induction heads?

    Parameters
    ----------
    model
        A folder with a model of transformers, a .gguf file, or a name on the Hugging Face hub.
    scores
        Names of scores; by default those on sequences of about a hundred tokens. --list shows all.
    sequences
        Random sequences of each kind.
    level
        By how much a head's score has to exceed its control, on fresh tokens at the same positions.
    ablate
        Also measure the loss on repeated tokens with the induction heads' output zero, and with as many other heads of
        the same layers.
    out
        Folder for heads.nc, with the scores of all heads.
    number_type
        auto, float32, bfloat16 or float16.
    device
        auto, cpu, cuda or mps.
    pickled
        Read weights that are pickled, which may run code; only of a source that you trust.
    download
        Fetch a model of the hub that is not in the local cache.
    list_
        List the scores with their definitions, and measure nothing.
    seed
        Of the random sequences.
    json_
        Print JSON.
    """
    if list_:
        return _list_scores(json_)
    from onset.validate.heads import inspect
    from onset.validate.models.loading import load

    with progress(f"reading {model}", quiet=json_):
        loaded = load(model, number_type=number_type, device=device, pickled=pickled, download=download)
    if not json_:
        print(f"{model}: {loaded.description}")
    with progress("scoring heads", quiet=json_) as advance:
        scored = inspect(loaded, scores, sequences=sequences, level=level, seed=seed, progress=advance)
    data = _data(scored)
    if ablate:
        with progress("ablating heads", quiet=json_) as advance:
            data["ablation"] = _ablated(loaded, scored, sequences, seed, advance)
    if out is not None:
        from onset.validate.store.files import replacing_or_refused

        file = out / "heads.nc"
        with replacing_or_refused(file) as temporary:
            scored.to_netcdf(temporary, engine="h5netcdf")
        data["file"] = str(file)
    if json_:
        return print_json(data)
    return _show(data)


def _list_scores(as_json: bool) -> None:
    from onset.validate.heads import SCORES, USUAL

    names = ("definition", "normalisation", "source")
    if as_json:
        return print_json(
            {
                name: {key: getattr(score, key) for key in names}
                | {"sequences": score.recipe.description, "usual": name in USUAL}
                for name, score in SCORES.items()
            }
        )
    rows = [
        (name, f"{score.definition}; {score.normalisation}", score.recipe.description, score.source)
        for name, score in SCORES.items()
    ]
    return table("scores of heads", ("score", "definition", "on", "source"), rows)


def _data(scored: Any) -> dict[str, Any]:
    """Scores as plain data: a list of heads, those that a layer lacks left out, for each score."""
    scores = []
    for name in scored.score.values.tolist():
        one = scored.sel(score=name)
        entry = {"name": name} | {
            key: one[key].item() for key in ("definition", "source", "sequences", "normalisation", "chance")
        }
        entry["heads"] = [
            {"layer": layer, "head": head}
            | {key: float(one[key][layer, head]) for key in ("mean", "low", "high", "control", "p")}
            | {"exceeds": bool(one["exceeds"][layer, head])}
            for layer in range(one.sizes["layer"])
            for head in range(one.sizes["head"])
            if not math.isnan(float(one["mean"][layer, head]))
        ]
        scores.append(entry)
    kept = ("model", "description", "sequences", "level", "seed")
    return {key: scored.attrs[key] for key in kept} | {"scores": scores}


def _ablated(loaded: Any, scored: Any, sequences: int, seed: int, advance: Any) -> list[dict[str, Any]]:
    """Losses with the heads ablated that exceed chance in the first score of prefix matching; none without such."""
    from onset.validate.inspection.ablation import losses_on_repeats
    from onset.validate.inspection.heads import exceeding
    from onset.validate.inspection.inspectable import Head

    score = next((name for name in scored.score.values.tolist() if name.startswith("prefix-matching")), None)
    chosen = [] if score is None else [Head(*head) for head in exceeding(scored, score)]
    if not chosen:
        return []
    losses = losses_on_repeats(loaded.model, loaded.pool, chosen, sequences=sequences, seed=seed, progress=advance)
    return [loss.to_dict() for loss in losses]


def _show(data: dict[str, Any]) -> None:
    total = len(data["scores"][0]["heads"])
    for score in data["scores"]:
        above = sorted((head for head in score["heads"] if head["exceeds"]), key=lambda head: -head["mean"])
        title = f"{score['name']}: {len(above)} of {total} heads exceed chance"
        rows = [
            (
                f"L{head['layer']}H{head['head']}",
                f"{head['mean']:.3f}",
                f"[{head['low']:.3f}, {head['high']:.3f}]",
                f"{head['control']:.3f}",
            )
            for head in above[:SHOWN]
        ]
        if len(above) > SHOWN:
            rows.append((f"{len(above) - SHOWN} more", "", "", ""))
        if rows:
            table(title, ("head", "score", "95% over sequences", "control"), rows)
        else:
            print(title)
        print(f"  {score['definition']}\n  {score['normalisation']}; on {score['sequences']}\n")
    if data.get("ablation"):
        _show_ablation(data["ablation"])
    elif "ablation" in data:
        print("No head exceeds chance in prefix matching; nothing is ablated.")
    if "file" in data:
        print(data["file"])


def _show_ablation(losses: list[dict[str, Any]]) -> None:
    rows = []
    for loss in losses:
        values = [loss[copy] for copy in ("first copy", "second copy")]
        cells = (f"{value['loss']:.2f} [{value['low']:.2f}, {value['high']:.2f}]" for value in values)
        rows.append((loss["ablated"], " ".join(loss["heads"]), *cells))
    table(
        "loss on two copies of random tokens with heads ablated, nats per token",
        ("ablated", "heads", "first copy", "second copy"),
        rows,
    )

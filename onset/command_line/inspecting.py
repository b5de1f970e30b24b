"""Commands that look inside trained language models: heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from onset.command_line.application import Flag, Json, app
from onset.command_line.checked import (
    OptionalExisting,
    OptionalFolder,
    OptionalShare,
    Seed,
    number,
    one_of,
    text,
    texts,
)
from onset.command_line.head_tables import list_scores, show_formations, show_study
from onset.command_line.progress import progress
from onset.command_line.tables import open_page, print_json
from onset.theory import arguments

__all__ = ["heads"]


def _positions(name: str, value: tuple[str, ...]) -> tuple[int, int] | None:
    if not value:
        return None
    if len(value) == 2 and all(word.isdecimal() for word in value):
        early, late = map(int, value)
        if 1 <= early < late:
            return early, late
    raise ValueError(
        f"{name} = {arguments.shown(' '.join(value))}: expected two positions, an early and a late one, counted from "
        "1; give for instance 50 500."
    )


def _tasks(name: str, value: tuple[str, ...]) -> tuple[str, ...]:
    from onset.validate.evaluation.reading import require_task

    return tuple(require_task(name, source) for source in value)


@app.command
def heads(
    model: str = "",
    *,
    scores: Annotated[tuple[str, ...], texts(one_of("onset.validate.heads.scoring:SCORES"))] = (),
    sequences: Annotated[int, number(lambda name, value: arguments.integer(name, value, least=2, most=10**4))] = 16,
    level: OptionalShare = None,
    ablate: Flag = False,
    text_: Annotated[OptionalExisting, Parameter(name="--text")] = None,
    positions: Annotated[tuple[str, ...], texts(_positions)] = (),
    importance: Annotated[tuple[str, ...], texts(_tasks)] = (),
    prune: Flag = False,
    examples: Annotated[int, number(lambda name, value: arguments.integer(name, value, least=2, most=10**6))] = 64,
    shots: Annotated[int, number(lambda name, value: arguments.integer(name, value, least=0, most=100))] = 0,
    normalisation: Annotated[str, text(one_of("onset.validate.evaluation.examples:NORMALISATIONS"))] = "bytes",
    over: OptionalExisting = None,
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
        A folder with a model of transformers, a .gguf file, a name on the Hugging Face hub, or a run file (.nc) or
        checkpoint (.safetensors) of onset train.
    scores
        Names of scores; by default those on sequences of about a hundred tokens. --list shows all.
    sequences
        Random sequences of each kind.
    level
        By how much a score that is a share has to exceed its control, on fresh tokens at the same positions; by default
        the level of each score in --list.
    ablate
        Also measure the loss on repeated tokens with the induction heads' output zero, beside other heads of the same
        layers; with each head's output zero; and with the paths from previous-token heads cut.
    text
        A text file: loss by position with and without the induction heads, and attention of heads on its start.
    positions
        Two positions of the in-context-learning score on the text; by default 50 and 500 where they are reached.
    importance
        Tasks for which the importance of heads is measured: JSONL files of prompts, folders of datasets,
        lm-eval:TASK, or repeats, fresh, completion, chains.
    prune
        Also remove heads in the order of their importance for each task, beside other orders.
    examples
        Examples of each task.
    shots
        Prompts with their answers that stand before each prompt of a file.
    normalisation
        What the likelihood of a choice is divided by: bytes, tokens or none.
    over
        A run file of onset train, or a folder of runs: draw the head scores that were recorded along training, in place
        of scoring a model.
    out
        Folder for heads.html, heads.json and heads.nc; with --over for heads-over-training.pdf and .png.
    number_type
        auto, float32, bfloat16 or float16.
    device
        auto, cpu, cuda or mps.
    pickled
        Read weights that are pickled, which may run code; only of a source that you trust.
    download
        Fetch a model of the hub, or data of lm-evaluation-harness, that are not in the local cache.
    list_
        List the scores with their definitions, and measure nothing.
    seed
        Of the random sequences.
    json_
        Print JSON.
    """
    if list_:
        return list_scores(json_)
    if over is not None:
        return _over(over, model, out, json_)
    if not model:
        raise ValueError("model is missing: expected a folder, a file or a name; give one, or --list, or --over RUN.")
    if prune and not importance:
        raise ValueError("prune without --importance: expected a task; give for instance --importance repeats.")
    if positions and text_ is None:
        raise ValueError("positions without --text: expected a text on which losses are measured; add --text FILE.")
    from onset.validate.evaluation.reading import load_task
    from onset.validate.heads.study import Asked, study
    from onset.validate.heads.text import read_text
    from onset.validate.models.loading import load

    with progress(f"reading {model}", quiet=json_):
        loaded = load(model, number_type=number_type, device=device, pickled=pickled, download=download)
    if not json_:
        print(f"{model}: {loaded.description}")
    options = {"examples": examples, "normalisation": normalisation, "download": download, "seed": seed}
    asked = Asked(
        scores,
        sequences,
        seed,
        level,
        ablate,
        None if text_ is None else read_text(text_, loaded, pieces=sequences),
        positions,  # type: ignore[arg-type]
        tuple(load_task(task, loaded, shots=shots, **options) for task in importance),
        prune,
    )
    table, data = study(loaded, asked, lambda stage: progress(stage, quiet=json_))
    if out is not None:
        data["files"] = _write(out, table, data)
    if json_:
        return print_json({name: value for name, value in data.items() if name != "attention"})
    show_study(data)
    if out is not None:
        open_page(Path(data["files"][0]))
    return None


def _write(out: Path, table: Any, data: dict[str, Any]) -> list[str]:
    """Write the page, everything but attention as JSON, and the table of scores."""
    from onset.theory.plain_data import plain
    from onset.validate.report.heads_page import render
    from onset.validate.store.files import replacing_or_refused

    files = [out / "heads.html", out / "heads.json", out / "heads.nc"]
    page, without = render(plain(data)), {name: value for name, value in data.items() if name != "attention"}
    texts_ = (page, json.dumps(plain(without), indent=1, ensure_ascii=False))
    for file, content in zip(files, texts_, strict=False):
        with replacing_or_refused(file) as temporary:
            temporary.write_text(content, encoding="utf-8")
    with replacing_or_refused(files[2]) as temporary:
        table.to_netcdf(temporary, engine="h5netcdf")
    return [str(file) for file in files]


def _over(over: Path, model: str, out: Path | None, as_json: bool) -> None:
    """Head scores along training, with the steps at which heads form."""
    if model:
        raise ValueError(f"over = {str(over)!r} with model {model}: expected one of them; leave one out.")
    from onset.validate.heads.training import recorded

    with progress(f"reading {over}", quiet=as_json) as advance:
        runs = recorded(over, advance)
    data: dict[str, Any] = {"runs": [run.to_dict() for run in runs]}
    if out is not None:
        from onset.paper import style
        from onset.paper.figures import head_scores as figure
        from onset.validate.store.files import writable_folder

        with style.styled():
            png = style.save(figure.draw(figure.compute(runs)), writable_folder(out), "heads-over-training")
        data["files"] = [str(png.with_suffix(".pdf")), str(png)]
    if as_json:
        return print_json(data)
    return show_formations(data)

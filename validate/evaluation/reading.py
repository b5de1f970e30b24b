"""An evaluation task by its name: a synthetic one, a JSONL file, a folder of `datasets`, or one of
lm-evaluation-harness."""

from __future__ import annotations

from pathlib import Path

from onset.theory import arguments
from onset.validate.evaluation import prompts
from onset.validate.evaluation.examples import EvaluationTask
from onset.validate.evaluation.synthetic import SYNTHETIC, synthetic
from onset.validate.models.loading import LanguageModel

__all__ = ["load_task", "require_task"]


def require_task(name: str, source: str) -> str:
    """Return `source`, or raise ``ValueError`` if it names no task; `name` is that of the option or argument."""
    if source in SYNTHETIC or source.startswith(prompts.HARNESS) or (source and Path(source).exists()):
        return source
    raise ValueError(
        f"{name} = {arguments.shown(source)}: expected a JSONL file, a folder of datasets, {prompts.HARNESS}TASK, or "
        f"one of {', '.join(SYNTHETIC)}; there is no such file."
    )


def load_task(
    source: str | Path,
    model: LanguageModel,
    *,
    examples: int = 64,
    shots: int = 0,
    normalisation: str = "bytes",
    download: bool = False,
    seed: int = 0,
) -> EvaluationTask:
    """A task for a model.

    Parameters
    ----------
    source : str or Path
        A name in `onset.validate.evaluation.synthetic.SYNTHETIC`; a JSONL file of prompts or a folder of `datasets`, as
        in `onset.validate.evaluation.prompts`; or "lm-eval:" and the name of a task of lm-evaluation-harness.
    model : LanguageModel
    examples : int
        Examples, or the first prompts.
    shots : int
        Prompts with their answers before each.
    normalisation : str
        Of the likelihood of choices.
    download : bool
        Whether data of lm-evaluation-harness may be fetched that are not in the local cache.
    seed : int

    Raises
    ------
    ValueError
        If there is no such task, or an example is not as it should be.
    """
    name, path = require_task("task", str(source)), Path(source)
    count = arguments.integer("examples", examples, least=2)
    if name in SYNTHETIC:
        if shots:
            raise ValueError(f"shots = {shots} with the synthetic task {name}: expected 0; its sequences are examples.")
        return synthetic(name, model.pool, count, seed)
    if name.startswith(prompts.HARNESS):
        read = prompts.from_harness(name.removeprefix(prompts.HARNESS), download=download)
    elif path.is_dir():
        read = prompts.from_folder(path)
    else:
        read = prompts.from_jsonl(path)
    return prompts.task_of(
        name if name.startswith(prompts.HARNESS) else path.stem,
        read,
        model.tokenizer,
        first=model.pool.first,
        context=model.context,
        shots=shots,
        examples=count,
        normalisation=normalisation,
        seed=seed,
    )

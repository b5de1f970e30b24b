"""Language models by name: a folder, a GGUF file, a name on the Hugging Face hub, a run of ours, or an object.

Nothing is fetched unless that is asked for, and code that comes with a model never runs. Run files and checkpoints of
`onset train` are models too. Weights are read from
safetensors and GGUF; pickled ones, which may run code when they are read, only where that is allowed. A GGUF file is
converted once, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from onset.simulate import user_cache
from onset.simulate.language.encoded import of_task
from onset.theory import arguments, costs
from onset.theory.language.text import Text
from onset.theory.tasks import Task
from onset.validate.inspection.inspectable import Inspectable
from onset.validate.inspection.sequences import Pool
from onset.validate.models import trained
from onset.validate.models.our_runs import CHECKPOINT, RUN, weights_of
from onset.validate.training.loop import resolve_device

__all__ = ["TYPES", "LanguageModel", "load"]

TYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Number types that a model can be held in; ``auto`` is single precision if that leaves half of the memory free, and
else bfloat16."""

GGUF = ".gguf"

PROBLEMS = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)
PROBLEMS += (SafetensorError, pickle.UnpicklingError, struct.error)
"""What libraries raise on files that are not what they should be."""


@dataclass(frozen=True)
class LanguageModel:
    """A model with what is known of its tokens.

    Attributes
    ----------
    name : str
    model : Inspectable
    tokenizer : transformers.PreTrainedTokenizerBase or None
        None if there is none, or it cannot be read.
    pool : Pool
        Tokens for random sequences: all but special ones.
    description : str
        Architecture, sizes, number type, device and first token.
    task : Task or None
        What a model of ours was trained on.
    """

    name: str
    model: Inspectable
    tokenizer: Any
    pool: Pool
    description: str
    task: Task | None = None

    @property
    def context(self) -> int | None:
        """Longest sequence that the model takes; None if it says none."""
        return self.task.context if self.task is not None else getattr(self.model, "context", None)


def load(
    source: Any, *, number_type: str = "auto", device: str = "auto", pickled: bool = False, download: bool = False
) -> LanguageModel:
    """A language model by its name.

    Parameters
    ----------
    source : str, Path, transformers.PreTrainedModel or Inspectable
        A folder with a model of `transformers`, a GGUF file, a name on the hub, a run file of a transformer or a
        checkpoint of its training, or a model.
    number_type : str
        One of `TYPES`.
    device : str
        One of `onset.validate.training.DEVICES`.
    pickled : bool
        Whether weights may be read that are pickled.
    download : bool
        Whether a name that is not in the local cache may be fetched from the hub.

    Raises
    ------
    ValueError
        If there is no such model, it cannot be read, is not causal, or its attention cannot be observed.
    """
    arguments.one_of("number type", number_type, TYPES)
    place = resolve_device(device)
    if not isinstance(source, str | Path):
        return _of_object(source)
    name, path = str(source), Path(source)
    if path.suffix in (RUN, CHECKPOINT) and path.is_file():
        return _of_run(name, path, place)
    with _quiet():
        if path.suffix == GGUF:
            folder = _converted(path)
            options: dict[str, Any] = {"local_files_only": True}
        elif path.is_dir():
            folder, options = path, {"local_files_only": True}
            if not (path / "config.json").is_file():
                raise ValueError(f"model {name}: the folder has no config.json; expected a model of transformers.")
        elif path.exists():
            raise ValueError(
                f"model {name}: expected a folder, a {GGUF} file, a run file ({RUN}), a checkpoint of training "
                f"({CHECKPOINT}), or a name on the hub."
            )
        else:
            folder, options = name, {"local_files_only": not download}
        model = _read(name, folder, number_type, pickled, options)
        tokenizer, problem = _tokenizer(folder, options)
    if problem:
        warnings.warn(
            f"model {name} comes without a tokenizer that can be read ({problem}): texts cannot be given, and no token "
            "is known to be special or to come first.",
            stacklevel=2,
        )
    return _described(name, model.to(place), tokenizer)


def _of_run(name: str, path: Path, device: torch.device) -> LanguageModel:
    """A transformer that we trained, from its run file or from a checkpoint of its training."""
    setting, weights, what = weights_of(path)
    model = trained(setting, weights).to(device).eval()
    if not isinstance(model, Inspectable):
        raise ValueError(f"model {name}: a {setting.model.family} toy has no heads to inspect; expected a transformer.")
    task = setting.task
    sizes = f"{_heads(model)}, vocabulary {task.vocabulary:,}, context {task.context:,}"
    description = f"{setting.label}, {what}, {sizes}, no first token"
    return LanguageModel(name, model, _tokenizer_of(task), Pool.of(task.vocabulary), description, task)


def _tokenizer_of(task: Task) -> Any:
    """Of natural text, the encoding that the model was trained on; None of other tasks."""
    if not isinstance(task, Text):
        return None
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_file=str(of_task(task).tokenizer))


def _of_object(source: Any) -> LanguageModel:
    name = type(source).__name__
    if isinstance(source, Inspectable):
        size = len(source.unembedding_matrix)
        return LanguageModel(name, source, None, Pool.of(size), f"{_heads(source)}, vocabulary {size:,}")
    if isinstance(source, nn.Module) and hasattr(source, "config"):
        return _described(name, source, None)
    raise ValueError(
        f"model of type {name}: expected a folder, a {GGUF} file, a name on the hub, a transformers.PreTrainedModel, "
        "or an object with the members of onset.validate.inspection.inspectable.Inspectable."
    )


def _read(name: str, folder: Path | str, number_type: str, pickled: bool, options: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
        chosen = TYPES[number_type] or _fitting(folder)
        return AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=chosen,
            use_safetensors=None if pickled else True,
            trust_remote_code=False,
            **options,
        )
    except PROBLEMS as problem:
        raise ValueError(f"model {name}: {_reason(problem, folder, pickled)}") from problem


def _reason(problem: Exception, folder: Path | str, pickled: bool) -> str:
    """Why a model could not be read, and what to do."""
    text = str(problem)
    if "trust_remote_code" in text:
        return "its architecture is code that comes with it, which is not run; convert it to one of transformers."
    if "Unrecognized configuration class" in text:
        return "it is not a causal language model; expected one that AutoModelForCausalLM can load."
    if not pickled and isinstance(folder, Path) and any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors")):
        return (
            "its weights are pickled, and may run code when they are read; expected safetensors. Convert them, or "
            "allow it if you trust their source."
        )
    if isinstance(folder, str):
        return (
            "no such folder, and no model of this name in the local cache of the hub; correct the name, or allow to "
            "download it."
        )
    return f"it cannot be read ({_first_line(problem)})."


def _fitting(folder: Path | str) -> torch.dtype:
    """Single precision if the weights then take at most half of the free memory, and else bfloat16."""
    place = folder if isinstance(folder, Path) else _cached(folder)
    files = [] if place is None else [*place.glob("*.safetensors"), *place.glob("*.bin")]
    # Files may hold half precision: twice their size in single.
    return torch.float32 if 2 * sum(f.stat().st_size for f in files) <= costs.available_memory() / 2 else torch.bfloat16


def _cached(name: str) -> Path | None:
    """Folder of a model of the hub in its local cache; None if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, *PROBLEMS):
        return None


def _tokenizer(folder: Path | str, options: dict[str, Any]) -> tuple[Any, str]:
    """The tokenizer, or None with the reason."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
        # Where a folder has no files of one, transformers may make one of special tokens alone.
        if len(tokenizer) > len(tokenizer.all_special_ids):
            return tokenizer, ""
        return None, "it holds special tokens alone"
    except (*PROBLEMS, ImportError) as problem:
        return None, _first_line(problem)


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _described(name: str, model: Any, tokenizer: Any) -> LanguageModel:
    from onset.validate.models.hugging_face import HuggingFaceModel

    wrapped = HuggingFaceModel(model)
    pool = _pool(wrapped.vocabulary, tokenizer)
    parts = [
        type(model).__name__,
        f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:,.0f} million parameters",
        _heads(wrapped),
        f"vocabulary {wrapped.vocabulary:,}",
        f"context {wrapped.context:,}" if wrapped.context else "no longest context",
        f"{str(next(model.parameters()).dtype).removeprefix('torch.')} on {wrapped.device}",
        _first_token(pool, tokenizer),
    ]
    return LanguageModel(name, wrapped, tokenizer, pool, ", ".join(parts))


def _heads(model: Inspectable) -> str:
    layers, counts = len(model.heads), sorted(set(model.heads))
    return f"{layers} layers of {' or '.join(map(str, counts))} heads"


def _first_token(pool: Pool, tokenizer: Any) -> str:
    if pool.first is None:
        return "no first token"
    return f"first token {tokenizer.convert_ids_to_tokens(pool.first)!r} (number {pool.first})"


def _pool(vocabulary: int, tokenizer: Any) -> Pool:
    """All tokens but special ones; in the order of their frequency where the tokenizer merges pairs in that order."""
    if tokenizer is None:
        return Pool.of(vocabulary)
    special = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    tokens = np.array([token for token in range(min(vocabulary, len(tokenizer))) if token not in special])
    backend = getattr(tokenizer, "backend_tokenizer", None)
    merges = backend is not None and type(backend.model).__name__ == "BPE"
    return Pool(tokens, tokenizer.bos_token_id, ranked=merges)


def _converted(path: Path) -> Path:
    """Folder with a GGUF file's model and tokenizer in the formats of `transformers`, made once for each file; without
    a cache, for this process."""
    try:
        state = path.stat()
    except OSError as problem:
        raise ValueError(f"model {path}: cannot be read ({problem.strerror}).") from None
    key = hashlib.sha256(f"{path.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    return user_cache.made_once(f"models/{path.stem}-{key}", lambda folder: _convert(path, folder))


def _convert(path: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer into a folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        config = model.config
        if hasattr(config, "quantization_config"):
            delattr(config, "quantization_config")
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        fresh.load_state_dict(model.state_dict())
        fresh.save_pretrained(folder)
        AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)
    except (*PROBLEMS, ImportError) as problem:
        raise ValueError(
            f"model {path}: cannot be read as a {GGUF} file of a causal language model ({_first_line(problem)})."
        ) from problem


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars, remarks and warnings of `transformers`."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

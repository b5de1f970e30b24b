r"""Examples from prompts with choices, or with an answer: JSONL files, folders of `datasets`, lm-evaluation-harness.

A line of a JSONL file is an object with a prompt, choices and the answer (a number counted from 0, or the text or label
of a choice), or with a prompt and an answer alone; `KEYS` lists other names that are understood. Prompt and choice
are joined by a space where neither has one, after as many examples with their answers as there are shots, with empty
lines between. The whole is turned into tokens at once: a token that holds an end of the prompt and the start of the
answer belongs to the answer. The model's own first token stands before it, if it has one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onset.theory import arguments
from onset.validate.evaluation.examples import EvaluationTask, Example, Option

__all__ = ["KEYS", "Prompt", "from_folder", "from_harness", "from_jsonl", "task_of"]

KEYS = {
    "prompt": ("prompt", "question", "ctx", "query", "input", "text"),
    "choices": ("choices", "endings", "options"),
    "answer": ("answer", "label", "answerKey", "gold", "target"),
}
"""Names of the entries of a line, those of well-known data sets among them; the first that is there counts."""

SPLITS = ("validation", "test", "train")
"""Parts of a data set, the preferred one first."""

HARNESS = "lm-eval:"
"""What stands before the name of a task of lm-evaluation-harness."""


@dataclass(frozen=True)
class Prompt:
    """A text with choices; a single choice is the answer that has to be given.

    Attributes
    ----------
    place : str
        Where it was read, for messages.
    text : str
    choices : tuple of str
    right : int
    """

    place: str
    text: str
    choices: tuple[str, ...]
    right: int = 0

    def joined(self, choice: int) -> tuple[str, str]:
        """The prompt, and the choice with the space between them."""
        text, answer = self.text, self.choices[choice]
        return text, answer if text[-1:].isspace() or answer[:1].isspace() else f" {answer}"


def from_jsonl(path: Path) -> list[Prompt]:
    """Prompts of a JSONL file; empty lines are skipped.

    Raises
    ------
    ValueError
        Naming the line that is not as it should be, or if the file cannot be read or holds none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not UTF-8"
        raise ValueError(f"task {path}: cannot be read ({reason}); expected a JSONL file of prompts.") from problem
    prompts = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"{place}: not JSON ({problem}); expected an object with prompt and answer.") from problem
        prompts.append(_prompt(place, data))
    return prompts


def from_folder(path: Path) -> list[Prompt]:
    """Prompts of a folder that `datasets` saved, or that it can load, from the first of `SPLITS` that is there.

    Raises
    ------
    ValueError
        If `datasets` is not installed, cannot read the folder, or a row is not as it should be.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            f"task {path}: a folder needs the package datasets, which is not installed; install it, or give a JSONL "
            "file."
        ) from None
    saved = (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file()
    try:
        data = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path))
    except Exception as problem:
        first = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        raise ValueError(f"task {path}: datasets cannot read it ({first}).") from problem
    if isinstance(data, Mapping):
        split = next((name for name in SPLITS if name in data), next(iter(data)))
        data, path = data[split], path / split
    return [_prompt(f"{path}, row {number}", dict(row)) for number, row in enumerate(data)]  # type: ignore[arg-type]


def from_harness(name: str, *, download: bool = False) -> list[Prompt]:
    """Prompts of a task of lm-evaluation-harness, with its own wording.

    Parameters
    ----------
    name : str
    download : bool
        Whether data that are not in the local cache may be fetched.

    Raises
    ------
    ValueError
        If the package is not installed, has no such task, the task's data are not there, or it asks for free text.
    """
    try:
        from lm_eval.tasks import TaskManager, get_task_dict  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            f"task {HARNESS}{name}: needs the package lm-eval, which is not installed; install it, or give a JSONL "
            "file."
        ) from None
    try:
        with nullcontext() if download else _offline():
            task: Any = get_task_dict([name], TaskManager())[name]
        documents = list(task.validation_docs() if task.has_validation_docs() else task.test_docs())
        rows = [
            (task.doc_to_text(document), task.doc_to_choice(document), task.doc_to_target(document))
            for document in documents
        ]
    except Exception as problem:
        first = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        raise ValueError(f"task {HARNESS}{name}: lm-eval cannot give its prompts ({first}).") from problem
    return [
        _prompt(f"{HARNESS}{name}, document {number}", {"prompt": text, "choices": choices, "answer": target})
        for number, (text, choices, target) in enumerate(rows)
    ]


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing is fetched from the hub."""
    import datasets  # pyright: ignore[reportMissingImports]
    from huggingface_hub import constants

    places: tuple[Any, ...] = (constants, datasets.config)
    before = [place.HF_HUB_OFFLINE for place in places]
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def _prompt(place: str, data: Any) -> Prompt:
    if not isinstance(data, Mapping):
        raise ValueError(f"{place}: {arguments.shown(data)}: expected an object with prompt and answer.")
    text, choices, answer = (next((data[key] for key in keys if key in data), None) for keys in KEYS.values())
    if not isinstance(text, str) or not text:
        raise ValueError(f"{place}: expected a prompt, a text under one of {', '.join(KEYS['prompt'])}.")
    labels: Sequence[Any] = ()
    if isinstance(choices, Mapping):  # as in ARC and OpenBookQA
        choices, labels = choices.get("text"), list(choices.get("label", ()))
    if choices is None:
        if not isinstance(answer, str) or not answer.strip():
            raise ValueError(f"{place}: expected an answer, a text under one of {', '.join(KEYS['answer'])}.")
        return Prompt(place, text, (answer,))
    if not isinstance(choices, Iterable) or isinstance(choices, str):
        raise ValueError(f"{place}: choices = {arguments.shown(choices)}: expected a list of texts.")
    choices = tuple(choices)
    if len(choices) < 2 or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError(f"{place}: choices = {arguments.shown(list(choices))}: expected at least two texts.")
    return Prompt(place, text, choices, _right(place, answer, choices, labels))


def _right(place: str, answer: Any, choices: tuple[str, ...], labels: Sequence[Any]) -> int:
    """Which choice the answer is: its label, its text, or its number."""
    if answer in labels:
        return list(labels).index(answer)
    if answer in choices:
        return choices.index(answer)
    number = int(answer) if isinstance(answer, str) and answer.isdecimal() else answer
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(choices):
        return number
    raise ValueError(
        f"{place}: answer = {arguments.shown(answer)}: expected a number from 0 to {len(choices) - 1}, or the text "
        "of a choice."
    )


def task_of(
    name: str,
    prompts: Sequence[Prompt],
    tokenizer: Any,
    *,
    first: int | None = None,
    context: int | None = None,
    shots: int = 0,
    examples: int | None = None,
    normalisation: str = "bytes",
    seed: int = 0,
) -> EvaluationTask:
    """A task of prompts, as tokens.

    Parameters
    ----------
    name : str
    prompts : sequence of Prompt
    tokenizer : transformers.PreTrainedTokenizerBase
    first : int, optional
        Token that stands before every text.
    context : int, optional
        Longest sequence.
    shots : int
        Other prompts with their answers that stand before each, drawn at random.
    examples : int, optional
        The first ones of the prompts that are asked; by default all.
    normalisation : str
        Of `onset.validate.evaluation.examples.NORMALISATIONS`.
    seed : int
        Of the shots.

    Raises
    ------
    ValueError
        If there is no tokenizer or prompt, too few for the shots, or one is too long; it is named.
    """
    if tokenizer is None:
        raise ValueError(f"task {name}: the model has no tokenizer, so texts cannot be given; choose a synthetic task.")
    if not prompts:
        raise ValueError(f"task {name}: it holds no prompt; expected at least one.")
    shots = arguments.integer("shots", shots, least=0)
    if shots >= len(prompts):
        raise ValueError(f"shots = {shots}: expected fewer than the {len(prompts)} prompts of task {name}.")
    generator = np.random.default_rng(arguments.seed("seed", seed))
    made = []
    for number, prompt in enumerate(prompts[:examples]):
        drawn = generator.choice(len(prompts) - 1, size=shots, replace=False)
        others = [prompts[n + (n >= number)] for n in drawn]  # never the prompt itself
        before = "".join("".join(other.joined(other.right)) + "\n\n" for other in others)
        options = tuple(_options(before, prompt, tokenizer, first))
        longest = max(len(option.tokens) for option in options)
        if context is not None and longest > context:
            raise ValueError(
                f"{prompt.place}: {longest} tokens with {shots} shots; expected at most {context}, the context of the "
                "model; give fewer shots."
            )
        made.append(Example(options, prompt.right))
    kind = "choices" if all(len(prompt.choices) > 1 for prompt in prompts) else "answers"
    return EvaluationTask(
        name,
        f"{len(made)} prompts with {kind}, {shots} shots"
        + (f", likelihoods divided by {normalisation}" if kind == "choices" and normalisation != "none" else ""),
        tuple(made),
        normalisation,
        exact=True,
    )


def _options(before: str, prompt: Prompt, tokenizer: Any, first: int | None) -> Iterator[Option]:
    encode = _with_ends if getattr(tokenizer, "is_fast", False) else _by_prefix
    for choice, text in enumerate(prompt.choices):
        start, answer = prompt.joined(choice)
        start = before + start
        tokens, belongs = encode(tokenizer, start, answer)
        if not any(belongs) or (belongs[0] and first is None):
            raise ValueError(
                f"{prompt.place}: choice {arguments.shown(text)} with its prompt gives tokens of which "
                f"{'none' if not any(belongs) else 'the first'} belongs to the answer; expected a longer text."
            )
        tokens, belongs = (tokens, belongs) if first is None else ([first, *tokens], [False, *belongs])
        yield Option(tuple(tokens), tuple(belongs), len(text.strip().encode()))


Encode = Callable[[Any, str, str], tuple[list[int], list[bool]]]


def _with_ends(tokenizer: Any, start: str, answer: str) -> tuple[list[int], list[bool]]:
    """Tokens of the whole text, and whether each ends within the answer."""
    encoded = tokenizer(start + answer, add_special_tokens=False, return_offsets_mapping=True)
    return encoded["input_ids"], [end > len(start) for _, end in encoded["offset_mapping"]]


def _by_prefix(tokenizer: Any, start: str, answer: str) -> tuple[list[int], list[bool]]:
    """Where a tokenizer does not say which characters a token holds: the answer starts where the tokens of the whole
    and of the prompt alone differ."""
    whole, alone = (tokenizer.encode(text, add_special_tokens=False) for text in (start + answer, start))
    same = next((n for n, (a, b) in enumerate(zip(whole, alone, strict=False)) if a != b), min(len(whole), len(alone)))
    return whole, [n >= same for n in range(len(whole))]

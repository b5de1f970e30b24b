"""onset.validate.evaluation.prompts and reading: which tokens the model sees, and mistakes that are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from onset.validate.evaluation.prompts import Prompt, from_folder, from_harness, from_jsonl, task_of
from onset.validate.evaluation.reading import load_task
from onset.validate.inspection.sequences import Pool
from onset.validate.models.loading import LanguageModel

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog; é ü"]


@pytest.fixture(scope="module", params=[True, False], ids=["with offsets", "without"])
def tokenizer(request):
    """A byte-level tokenizer trained on a few sentences, "cat" being a token of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(TEXTS * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")
    if request.param:
        return fast

    class Slow:
        """Says nothing about which characters a token holds."""

        is_fast = False

        def encode(self, text, add_special_tokens):
            return fast.encode(text, add_special_tokens=add_special_tokens)

        def decode(self, tokens):
            return fast.decode(tokens)

    return Slow()


CATS = Prompt("here", "the cat sat on the", ("mat", "log and a dog"), 0)
DOGS = Prompt("there", "a dog and a ", ("cat", " dog"), 1)


def texts(task, tokenizer) -> list[list[tuple[str, str]]]:
    """What stands before and in the answer of each option, as decoded."""

    def halves(option):
        at = option.answer.index(True)
        assert all(option.answer[at:])
        return tokenizer.decode(option.tokens[:at]), tokenizer.decode(option.tokens[at:])

    return [[halves(option) for option in example.options] for example in task.examples]


def test_prompt_and_choice_are_joined_by_one_space(tokenizer):
    task = task_of("t", [CATS, DOGS], tokenizer)
    shown = texts(task, tokenizer)
    assert shown[0] == [("the cat sat on the", " mat"), ("the cat sat on the", " log and a dog")]
    assert shown[1][0] == ("a dog and a", " cat")  # one token
    assert [example.right for example in task.examples] == [0, 1]
    assert [option.bytes for option in task.examples[0].options] == [3, 13]


def test_the_first_token_stands_before_once(tokenizer):
    for first in (None, 0):
        for example in task_of("t", [CATS, DOGS], tokenizer, first=first).examples:
            for option in example.options:
                assert option.tokens.count(0) == (first is not None)
                assert (option.tokens[0] == 0) == (first is not None)
                assert not option.answer[0]


def test_a_token_over_the_boundary_belongs_to_the_answer(tokenizer):
    """The prompt ends within a token of the whole text: tokenised apart, the two would have other tokens."""
    task = task_of("t", [Prompt("here", "the ca", ("t sat", "d"), 0)], tokenizer)
    whole = tokenizer.encode("the ca t sat", add_special_tokens=False)
    assert list(task.examples[0].options[0].tokens) == whole
    ends_in_space = task_of("t", [Prompt("here", "the ", ("cat", "dog"), 0)], tokenizer).examples[0].options[0]
    assert list(ends_in_space.tokens) == tokenizer.encode("the cat", add_special_tokens=False)
    # "␣cat" is one token: the answer takes the prompt's last space with it.
    assert tokenizer.decode([t for t, a in zip(ends_in_space.tokens, ends_in_space.answer, strict=True) if a]) == " cat"


def test_shots_are_other_prompts_with_their_answers(tokenizer):
    prompts = [Prompt(f"{n}", f"a cat {n}", ("mat", "log"), n % 2) for n in range(4)]
    task = task_of("t", prompts, tokenizer, shots=2, seed=3)
    for n, example in enumerate(texts(task, tokenizer)):
        parts = example[0][0].split("\n\n")
        assert len(parts) == 3
        assert parts[2] == f"a cat {n}"
        others = [int(part.split()[2]) for part in parts[:2]]
        assert len({*others, n}) == 3
        assert [part.split()[3] for part in parts[:2]] == [("mat", "log")[other % 2] for other in others]
    assert task_of("t", prompts, tokenizer, shots=2, seed=3) == task
    assert task_of("t", prompts, tokenizer, shots=2, seed=4) != task


def test_answers_without_choices_have_to_be_exact(tokenizer):
    task = task_of("t", [Prompt("here", "the cat sat on the", ("mat",))], tokenizer)
    assert task.exact
    assert texts(task, tokenizer) == [[("the cat sat on the", " mat")]]


@pytest.mark.parametrize(
    ("prompts", "options", "says"),
    [
        ([], {}, "task t: it holds no prompt"),
        ([CATS], {"shots": 1}, "shots = 1: expected fewer than the 1 prompts"),
        ([CATS, DOGS], {"context": 4}, "here: .* tokens with 0 shots; expected at most 4"),
        ([Prompt("here", "c", ("at", "ow"))], {"normalisation": "words"}, "normalisation = 'words'"),
    ],
)
def test_tasks_that_cannot_be_made(tokenizer, prompts, options, says):
    with pytest.raises(ValueError, match=says):
        task_of("t", prompts, tokenizer, **options)


def test_without_a_tokenizer_texts_cannot_be_given():
    with pytest.raises(ValueError, match="task t: the model has no tokenizer"):
        task_of("t", [CATS], None)


def written(folder: Path, *lines: object) -> Path:
    path = folder / "task.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def test_lines_of_well_known_data_sets(tmp_path):
    path = written(
        tmp_path,
        {"prompt": "p", "choices": ["a", "b"], "answer": 1},
        "",
        {"question": "p", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
        {"ctx": "p", "endings": ["a", "b"], "label": "1"},
        {"prompt": "p", "choices": ["a", "b"], "answer": "b"},
        {"prompt": "p", "answer": "b"},
    )
    prompts = from_jsonl(path)
    assert [prompt.choices[prompt.right] for prompt in prompts] == ["b"] * 5
    assert [prompt.place.rpartition(" ")[2] for prompt in prompts] == ["1", "3", "4", "5", "6"]
    # Choices that are numbers in disguise: their text counts before their number.
    assert from_jsonl(written(tmp_path, {"prompt": "p", "choices": ["1", "0"], "answer": "1"}))[0].right == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("7", "line 2: 7: expected an object"),
        ({"answer": "a"}, "line 2: expected a prompt, a text under one of prompt"),
        ({"prompt": 3, "answer": "a"}, "line 2: expected a prompt"),
        ({"prompt": "p"}, "line 2: expected an answer"),
        ({"prompt": "p", "choices": "ab", "answer": 0}, "line 2: choices = 'ab': expected a list"),
        ({"prompt": "p", "choices": ["a"], "answer": 0}, "line 2: choices = .*: expected at least two texts"),
        ({"prompt": "p", "choices": ["a", ""], "answer": 0}, "line 2: choices = "),
        ({"prompt": "p", "choices": ["a", "b"], "answer": 2}, "line 2: answer = 2: expected a number from 0 to 1"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": True}, "line 2: answer = True"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": -1}, "line 2: answer = -1"),
        ({"prompt": "p", "choices": ["a", "b"]}, "line 2: answer = None"),
        ({"prompt": "p", "choices": ["a", "b"], "answer": ["a"]}, "line 2: answer = "),
    ],
    ids=str,
)
def test_broken_lines_are_named(tmp_path, line, says):
    with pytest.raises(ValueError, match=says):
        from_jsonl(written(tmp_path, {"prompt": "p", "answer": "a"}, line))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match=r"cannot be read .not UTF-8"):
        from_jsonl(tmp_path / "latin")
    with pytest.raises(ValueError, match=r"cannot be read .No such file"):
        from_jsonl(tmp_path / "none")


def test_folders_of_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [
        {"question": f"p{n}", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "AB"[n % 2]}
        for n in range(3)
    ]
    data = datasets.Dataset.from_list(rows)
    data.save_to_disk(tmp_path / "plain")
    datasets.DatasetDict({"train": data.select([0]), "validation": data}).save_to_disk(tmp_path / "parts")
    for name in ("plain", "parts"):
        assert [prompt.right for prompt in from_folder(tmp_path / name)] == [0, 1, 0]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="datasets cannot read it"):
        from_folder(tmp_path / "nothing")


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    monkeypatch.setitem(__import__("sys").modules, "lm_eval.tasks", None)
    with pytest.raises(ValueError, match="needs the package datasets"):
        from_folder(tmp_path)
    with pytest.raises(ValueError, match="task lm-eval:piqa: needs the package lm-eval"):
        from_harness("piqa")


def test_a_task_by_its_name(tmp_path, tokenizer):
    model = LanguageModel("m", None, tokenizer, Pool(np.arange(1, 300), first=0), "")  # type: ignore[arg-type]
    assert load_task("repeats", model, examples=5).name == "repeats"
    path = written(tmp_path, *({"prompt": f"the cat {n}", "answer": "sat"} for n in range(4)))
    task = load_task(path, model, examples=3, shots=1)
    assert task.name == "task"
    assert len(task.examples) == 3
    assert all(example.options[0].tokens[0] == 0 for example in task.examples)
    for name, options, says in (
        ("repeat", {}, r"task = 'repeat': expected a JSONL file, .* or one of repeats, fresh"),
        ("repeats", {"shots": 1}, "shots = 1 with the synthetic task repeats: expected 0"),
        (path, {"examples": 1}, "examples = 1: expected a whole number of at least 2"),
    ):
        with pytest.raises(ValueError, match=says):
            load_task(name, model, **options)

"""onset.validate.evaluation.examples: accuracies and losses by hand, and batches that change nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.evaluation.examples import EvaluationTask, Example, Option, batches, evaluate
from onset.validate.models.transformer import Transformer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    shape = Architecture(2, 16, 2, dropout=0.0)
    return Transformer(Setting.of("transformer", states=5, context=12, architecture=shape, initialization=0.6))


def option(*tokens: int, answer: int, size: int = 1) -> Option:
    """The last `answer` tokens are the answer, a text of `size` bytes."""
    return Option(tokens, tuple(n >= len(tokens) - answer for n in range(len(tokens))), size)


def likelihood(model, option: Option) -> float:
    """ln m of the answer, token by token, each from what stands before it alone."""
    total = 0.0
    for place, counts in enumerate(option.answer):
        if counts:
            with torch.no_grad():
                logits = model(torch.tensor([option.tokens[:place]]))[0, -1]
            total += float(logits.double().log_softmax(dim=-1)[option.tokens[place]])
    return total


EXAMPLES = (
    Example((option(0, 1, 2, answer=1, size=9), option(0, 1, 3, 4, 4, answer=3, size=2)), right=1),
    Example((option(4, 3, 1, 0, answer=2, size=1), option(4, 3, 0, answer=1, size=4), option(4, 3, 2, answer=1)), 0),
    Example((option(1, 1, 1, 1, 1, 1, 2, 0, answer=4, size=3),)),
)


@pytest.mark.parametrize("normalisation", ["bytes", "tokens", "none"])
def test_accuracy_and_loss_by_hand(model, normalisation):
    performance = evaluate(model, EvaluationTask("t", "", EXAMPLES, normalisation))
    for n, example in enumerate(EXAMPLES):
        values = [likelihood(model, option) for option in example.options]
        right = example.options[example.right]
        assert performance.losses[n] == pytest.approx(-values[example.right] / right.length, rel=1e-4)
        if len(values) > 1:
            size = {"bytes": lambda o: o.bytes, "tokens": lambda o: o.length, "none": lambda o: 1}[normalisation]
            scores = [value / size(option) for value, option in zip(values, example.options, strict=True)]
            assert performance.correct[n] == (int(np.argmax(scores)) == example.right)


def test_normalisations_differ(model):
    """A long option of many bytes wins by bytes, and loses by its sum: the names are not synonyms."""
    short, long = option(0, 1, 2, answer=1, size=1), option(0, 1, 3, 4, 4, answer=3, size=30)
    chosen = {}
    for name in ("bytes", "tokens", "none"):
        task = EvaluationTask("t", "", (Example((short, long), right=1),), name)
        chosen[name] = bool(evaluate(model, task).correct[0])
    assert chosen["bytes"]
    assert not chosen["none"]


def test_single_options_count_tokens_or_all(model):
    tokens = torch.tensor([[1, 1, 1, 1, 1, 1, 2, 0]])
    with torch.no_grad():
        hits = (model(tokens).argmax(dim=-1)[0, 3:7] == tokens[0, 4:]).float()
    tasks = [EvaluationTask("t", "", EXAMPLES[2:], exact=exact) for exact in (False, True)]
    assert evaluate(model, tasks[0]).correct[0] == pytest.approx(float(hits.mean()))
    assert evaluate(model, tasks[1]).correct[0] == float(hits.all())
    with torch.no_grad():
        best = int(model(tokens[:, :7]).argmax(dim=-1)[0, -1])
    sure = Example((Option((1, 1, 1, 1, 1, 1, 2, best), (False,) * 7 + (True,)),))
    assert evaluate(model, EvaluationTask("t", "", (sure,), exact=True)).correct[0] == 1


def test_an_option_gives_in_a_batch_what_it_gives_alone(model):
    """Whatever stands beside it, and whatever the size of the batches."""
    together = evaluate(model, EvaluationTask("t", "", EXAMPLES))
    for n, example in enumerate(EXAMPLES):
        alone = evaluate(model, EvaluationTask("t", "", (example,)))
        np.testing.assert_allclose(alone.losses[0], together.losses[n], rtol=1e-5)
        assert alone.correct[0] == together.correct[n]
    options = [option for example in EXAMPLES for option in example.options]
    for most in (1, 7, 100):
        parts = list(batches(options, CPU, most))
        assert sorted(place for places, _, _ in parts for place in places) == list(range(len(options)))
        for places, tokens, answers in parts:
            assert len(places) == 1 or tokens.numel() <= most
            for row, place in enumerate(places):
                size = len(options[place].tokens)
                assert tuple(tokens[row, :size].tolist()) == options[place].tokens
                assert tuple(answers[row, : size - 1].tolist()) == options[place].answer[1:]
                assert not answers[row, size - 1 :].any()


def test_means_guessing_and_first_examples():
    task = EvaluationTask("t", "", EXAMPLES)
    assert task.guessing == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert task.first(2).examples == EXAMPLES[:2]


def test_progress_counts_options(model):
    calls = []
    evaluate(model, EvaluationTask("t", "", EXAMPLES), progress=lambda step, steps: calls.append((step, steps)))
    assert calls[-1] == (6, 6)


def test_intervals_are_over_examples(model):
    performance = evaluate(model, EvaluationTask("t", "", EXAMPLES))
    loss = performance.loss
    assert loss.value == pytest.approx(performance.losses.mean())
    assert loss.error.value == pytest.approx(performance.losses.std(ddof=1) / math.sqrt(3))
    assert loss.kind == performance.accuracy.kind == "sequences"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EvaluationTask("t", "", ()), "task t: it has no example"),
        (lambda: EvaluationTask("t", "", EXAMPLES, "words"), "normalisation = 'words': expected one of bytes"),
    ],
)
def test_tasks_that_are_none(make, says):
    with pytest.raises(ValueError, match=says):
        make()

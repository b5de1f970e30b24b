"""onset.validate.evaluation.importance: derivatives against finite differences, and averages by the letter."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.evaluation.examples import EvaluationTask, Example, Option, evaluate
from onset.validate.evaluation.importance import feed_forward_importance, head_importance
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import Replace, Zero, ZeroFeedForward, intervene
from onset.validate.models.transformer import Transformer


def answered(*tokens: int, answer: int) -> Example:
    return Example((Option(tokens, tuple(n >= len(tokens) - answer for n in range(len(tokens)))),))


TASK = EvaluationTask(
    "t",
    "",
    (
        answered(0, 1, 2, 3, 0, 1, 2, answer=3),
        answered(3, 3, 1, 0, 2, answer=1),
        answered(1, 2, 1, 2, 1, 2, 1, 2, answer=4),
    ),
)


@pytest.fixture(scope="module", params=[(2, 2), (2, 1)], ids=str)
def model(request):
    torch.manual_seed(0)
    shape = Architecture(2, 8, request.param, dropout=0.0, feed_forward=2)
    setting = Setting.of("transformer", states=4, context=10, architecture=shape, initialization=0.7)
    return Transformer(setting).double()


def scaled_loss(model, head: Head, example: Example, factor: float) -> float:
    """Loss of an example with the output of a head multiplied by a factor."""
    tokens = torch.tensor([example.options[0].tokens])
    outputs = record(model, tokens, "head_outputs").head_outputs[head.layer][:, :, head.head]
    with intervene(model, Replace(head, factor * outputs)), torch.no_grad():
        log = model(tokens)[0, :-1].log_softmax(dim=-1)
    counts = torch.tensor(example.options[0].answer[1:])
    return float(-log.gather(1, tokens[0, 1:, None])[counts].mean())


def test_importance_is_the_derivative_by_the_size_of_the_output(model):
    """Of every head and example, by central differences; its mean over examples without the sign."""
    importance, step = head_importance(model, TASK), 1e-4
    for layer, heads in enumerate(model.heads):
        for head in range(heads):
            for n, example in enumerate(TASK.examples):
                at = [scaled_loss(model, Head(layer, head), example, 1 + sign * step) for sign in (-1, 1)]
                expected = (at[1] - at[0]) / (2 * step)
                assert importance.changes[n, layer, head] == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert np.array_equal(np.isnan(importance.mean), [[n >= heads for n in range(2)] for heads in model.heads])
    np.testing.assert_allclose(importance.mean, np.abs(importance.changes).mean(axis=0))


def test_the_released_average_by_the_letter(model):
    """Absolute values before the sum over tokens; the last layer divided by the answers' tokens alone."""
    importance = head_importance(model, TASK)
    released = np.zeros((2, 2))
    for example in TASK.examples:
        tokens = torch.tensor([example.options[0].tokens])
        outputs: list[torch.Tensor] = []
        hooks = [
            model.attention[layer]
            .points["head_outputs"]
            .register_forward_hook(lambda module, args, value, outputs=outputs: outputs.append(value))
            for layer in range(2)
        ]
        log = model(tokens)[0, :-1].log_softmax(dim=-1)
        counts = torch.tensor(example.options[0].answer[1:])
        loss = -log.gather(1, tokens[0, 1:, None])[counts].mean()
        gradients = torch.autograd.grad(loss, outputs)
        for hook in hooks:
            hook.remove()
        for layer, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
            for head in range(model.heads[layer]):
                for t in range(tokens.shape[1]):
                    released[layer, head] += abs(float(output[0, t, head].detach() @ gradient[0, t, head]))
    released /= np.array([[sum(len(e.options[0].tokens) - 1 for e in TASK.examples)], [3 + 1 + 4]])
    kept = ~np.isnan(importance.released)
    np.testing.assert_allclose(importance.released[kept], released[kept], rtol=1e-4)


def test_magnitudes_are_what_heads_write(model):
    importance = head_importance(model, TASK)
    sizes = np.zeros((2, 2))
    for example in TASK.examples:
        outputs = record(model, torch.tensor([example.options[0].tokens]), "head_outputs").head_outputs
        for layer, output in enumerate(outputs):
            written = torch.einsum("bthw,hwd->bthd", output, model.output_weights(layer))
            sizes[layer, : model.heads[layer]] += written.detach().norm(dim=-1).sum(dim=(0, 1)).numpy()
    kept = ~np.isnan(importance.magnitudes)
    np.testing.assert_allclose(importance.magnitudes[kept], (sizes / (7 + 5 + 8))[kept], rtol=1e-4)


def test_a_head_that_is_zero_has_no_importance(model):
    with intervene(model, Zero(Head(0, 1))):
        importance = head_importance(model, TASK)
    assert importance.mean[0, 1] == 0
    assert importance.mean[0, 0] > 0


def test_parameters_take_derivatives_again_afterwards(model):
    head_importance(model, TASK)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    again = head_importance(model, TASK).changes
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    np.testing.assert_allclose(again, head_importance(model, TASK).changes)


def test_feed_forward_blocks_by_their_absence(model):
    for read in (lambda performance: performance.correct, lambda performance: -performance.losses):
        values = feed_forward_importance(model, TASK, read)
        assert values.shape == (2, 3)
        for layer in range(2):
            with intervene(model, ZeroFeedForward(layer)):
                without = read(evaluate(model, TASK))
            np.testing.assert_allclose(values[layer], read(evaluate(model, TASK)) - without)
    assert np.abs(values).max() > 0


def test_models_of_transformers_have_importance_too():
    """Of every architecture; in double precision, but for the softmax of attention."""
    pytest.importorskip("transformers")
    from tiny_language_models import ARCHITECTURES, tiny

    from onset.validate.models.hugging_face import HuggingFaceModel

    for name in ARCHITECTURES:
        if name in ("mixtral", "gpt-oss"):
            continue  # their experts compute in single precision
        model, step = HuggingFaceModel(tiny(name).double()), 5e-4
        importance, head = head_importance(model, TASK), Head(0, 1)
        for n, example in enumerate(TASK.examples):
            at = [scaled_loss(model, head, example, 1 + sign * step) for sign in (-1, 1)]
            assert importance.changes[n, 0, 1] == pytest.approx((at[1] - at[0]) / (2 * step), rel=1e-2, abs=2e-3), name

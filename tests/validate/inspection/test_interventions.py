"""onset.validate.inspection.interventions: each equals the forward pass written out with the change made by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import (
    ForcePattern,
    ForcePatterns,
    Mean,
    Replace,
    ReplaceScores,
    ReplaceStream,
    Resample,
    Zero,
    ZeroFeedForward,
    intervene,
    preserved_patterns,
)
from onset.validate.models.transformer import Transformer

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def by_hand(name: str, layer: int, head: int | None, new: Tensor):
    """An edit of the plain pass: `new` in place of the activation, or of its part of one head."""

    def edit(activation: str, at: int, value: Tensor) -> Tensor:
        if (activation, at) != (name, layer):
            return value
        value = value.clone()
        if head is None:
            value[:] = new
        elif name in ("patterns", "scores"):
            value[:, head] = new
        else:
            value[:, :, head] = new
        return value

    return edit


def changes(model: Transformer, tokens: Tensor):
    """Interventions on the last head of each layer, and the same by hand."""
    random = torch.Generator().manual_seed(2)
    other = record(model, tokens.flip(1), "head_outputs")
    for layer, heads in enumerate(model.heads):
        head, width = Head(layer, heads - 1), model.shape.width // heads
        value = torch.randn(3, tokens.shape[1], width, generator=random).double()
        pattern = torch.rand(tokens.shape[1], tokens.shape[1], generator=random).double().tril()
        patterns = torch.rand(3, heads, tokens.shape[1], tokens.shape[1], generator=random).double().tril()
        later = torch.ones_like(pattern, dtype=torch.bool).triu(1)
        stream = torch.randn(3, tokens.shape[1], model.shape.width, generator=random).double()
        mean = torch.stack([row[t, heads - 1] for row in other.head_outputs[layer] for t in range(len(row))]).mean(0)
        for intervention, name, new in (
            (Zero(head), "head_outputs", torch.zeros(width)),
            (Replace(head, value), "head_outputs", value),
            (Replace(head, value[0, 0]), "head_outputs", value[0, 0]),
            (Mean(head, other), "head_outputs", mean),
            (Resample(head, other), "head_outputs", other.head_outputs[layer][:, :, heads - 1]),
            (ReplaceScores(head, pattern), "scores", pattern.masked_fill(later, -torch.inf)),
            (ForcePattern(head, pattern), "patterns", pattern),
            (ForcePattern(head, torch.stack(3 * [pattern])), "patterns", pattern),
        ):
            yield intervention, by_hand(name, layer, heads - 1, new)
        yield ReplaceStream(layer, stream), by_hand("streams", layer, None, stream)
        yield ForcePatterns(layer, patterns), by_hand("patterns", layer, None, patterns)
        if model.shape.feed_forward:
            yield ZeroFeedForward(layer), by_hand("feed_forwards", layer, None, torch.zeros(1))
    yield ReplaceStream(len(model.heads), stream), by_hand("streams", len(model.heads), None, stream)


def test_an_intervention_is_the_change_made_by_hand(model, tokens, plain):
    """Logits and all activations after it; without the context, the model is as before."""
    before = model(tokens).detach()
    for intervention, edit in changes(model, tokens):
        expected = plain(model, tokens, edit)
        with intervene(model, intervention):
            torch.testing.assert_close(model(tokens).detach(), expected["logits"][0], **EXACT)
            recorded = record(model, tokens, "streams", "patterns", "head_outputs")
        for name in ("streams", "patterns", "head_outputs"):
            for value, other in zip(getattr(recorded, name), expected[name], strict=True):
                torch.testing.assert_close(value, other, **EXACT)
        assert torch.equal(model(tokens), before)


def test_preserved_patterns_leave_values_alone_to_change(model, tokens, plain):
    """With a head zero and all patterns forced, patterns are those of the intact model, and the rest follows."""
    intact = plain(model, tokens)
    head = Head(0, 0)

    def by_hand_too(name: str, layer: int, value: Tensor) -> Tensor:
        if name == "patterns":
            return intact["patterns"][layer]
        return by_hand("head_outputs", *head, torch.zeros(1))(name, layer, value)

    with intervene(model, Zero(head), *preserved_patterns(record(model, tokens, "patterns"))):
        torch.testing.assert_close(model(tokens).detach(), plain(model, tokens, by_hand_too)["logits"][0], **EXACT)


def test_interventions_compose(model, tokens, plain):
    """Several at once are all in force; of two on one head the later prevails, in one context and in nested ones."""
    first, second = Head(0, 0), Head(len(model.heads) - 1, 0)
    edits = by_hand("head_outputs", *first, torch.zeros(1)), by_hand("head_outputs", *second, torch.ones(1))

    def both(name: str, layer: int, value: Tensor) -> Tensor:
        return edits[1](name, layer, edits[0](name, layer, value))

    ones = Replace(second, torch.ones(1))
    expected = plain(model, tokens, both)["logits"][0]
    with intervene(model, Zero(first), ones):
        torch.testing.assert_close(model(tokens).detach(), expected, **EXACT)
    with intervene(model, Zero(second)), intervene(model, Zero(first), ones):
        torch.testing.assert_close(model(tokens).detach(), expected, **EXACT)
    with intervene(model, ones, Zero(second)):
        zeroed = model(tokens)
    torch.testing.assert_close(
        zeroed.detach(), plain(model, tokens, by_hand("head_outputs", *second, torch.zeros(1)))["logits"][0], **EXACT
    )


def test_the_model_is_restored_whatever_happens(model, tokens):
    """After nested contexts, an exception, and an invalid intervention: no hook remains, logits are as before."""
    before = model(tokens).detach()
    head = Head(0, 0)
    with intervene(model, Zero(head)):
        outer = model(tokens).detach()
        with pytest.raises(RuntimeError, match="inside"), intervene(model, ReplaceStream(0, torch.zeros(1))):
            raise RuntimeError("inside")
        assert torch.equal(model(tokens), outer)
        with pytest.raises(ValueError, match="head = 9"), intervene(model, Zero(head), Zero(Head(0, 9))):
            pass
        assert torch.equal(model(tokens), outer)
        with pytest.raises(ValueError, match="value of shape"), intervene(model, Replace(head, torch.zeros(99))):
            model(tokens)
        assert torch.equal(model(tokens), outer)
    assert torch.equal(model(tokens), before)
    assert not any(module._forward_hooks for module in model.modules())


def published() -> tuple[Transformer, Tensor]:
    """In single precision, as trained on a CPU: a model for which there are compiled kernels."""
    torch.manual_seed(0)
    shape = Architecture(2, 16, (2, 1))
    model = Transformer(Setting.of("transformer", states=3, context=21, architecture=shape, initialization=0.3))
    return model, torch.randint(3, (4, 21))


def test_interventions_switch_compiled_kernels_off():
    """Under an intervention logits come from plain torch; before and after, from compiled kernels."""
    model, tokens = published()
    with torch.no_grad():
        before = model(tokens)
        with intervene(model, Zero(Head(1, 0))):
            assert model.loss_and_gradients(tokens) is None
            ablated = model(tokens)
        with intervene(model, Replace(Head(0, 1), torch.zeros(8)), ReplaceStream(1, model.embed(tokens))):
            skipped = model(tokens)
        assert torch.equal(model(tokens), before)
        # Without the head of layer 2 the stream stays as it was; with layer 1 skipped, layer 2 reads the embedding.
        first = record(model, tokens, "streams").streams[1]
        torch.testing.assert_close(ablated, model.unembed(first), rtol=0, atol=1e-5)
        assert float((ablated - before).abs().max()) > 0.1
        assert float((skipped - before).abs().max()) > 0.1
    assert model.loss_and_gradients(tokens) is not None


def test_gradients_flow_around_what_is_replaced():
    """Gradients of weights that only a zeroed head uses are zero; others are those of the model edited by hand."""
    model, tokens = published()
    with intervene(model, Zero(Head(0, 1))):
        model(tokens).square().sum().backward()
    gradient = model.layers[0].attention.query_key_value.weight.grad.unflatten(0, (3, 2, 8))
    assert torch.all(gradient[:, 1] == 0)
    assert torch.all(gradient[2, 0] != 0)
    edited, _ = published()
    with torch.no_grad():
        edited.layers[0].attention.projection.weight[:, 8:] = 0
    edited(tokens).square().sum().backward()
    torch.testing.assert_close(model.embedding.weight.grad, edited.embedding.weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Zero(Head(2, 0)), "layer = 2: expected a whole number of at most 1"),
        (lambda: Zero(Head(-1, 0)), "layer = -1: expected a whole number of at least 0"),
        (lambda: Zero(Head(1, 1)), "head = 1: expected a whole number of at most 0"),
        (lambda: ReplaceStream(3, torch.zeros(16)), "layer = 3: expected a whole number of at most 2"),
        (lambda: ForcePattern(Head(0, 0), torch.ones(20, 20)), "attends to later positions"),
        (lambda: ForcePatterns(2, torch.ones(1)), "layer = 2: expected a whole number of at most 1"),
        (lambda: ZeroFeedForward(0), r"layer = 0: expected one with a feed-forward block, of \[\]"),
        (lambda: ForcePattern(Head(0, 0), torch.ones(7, 7).tril()), r"pattern of shape \(7, 7\).*\(4, 21, 21\)"),
        (lambda: ReplaceStream(0, torch.zeros(4, 20, 16)), r"value of shape \(4, 20, 16\).*\(4, 21, 16\)"),
    ],
)
def test_invalid_interventions_are_refused(wrong, message):
    """Layers, heads and shapes that the model lacks, and patterns that attend to the future."""
    model, tokens = published()
    with pytest.raises(ValueError, match=message), intervene(model, wrong()):
        model(tokens)

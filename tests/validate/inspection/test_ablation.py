"""onset.validate.inspection.ablation and losses: what is ablated, which losses are read, and the matched controls."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.ablation import each_head_ablated, losses_on_repeats, matched_heads
from onset.validate.inspection.in_context import in_context_positions
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import Zero, intervene, preserved_patterns
from onset.validate.inspection.losses import before_and_after, derivative_map, in_context_score, position_losses
from onset.validate.inspection.sequences import Pool, Recipe
from onset.validate.models.transformer import Transformer

POOL, TWICE = Pool(np.arange(1, 40), first=0), Recipe(5, 2)


def _model():
    torch.manual_seed(0)
    shape = Architecture(2, 12, (3, 2), dropout=0.0)
    setting = Setting.of("transformer", states=40, context=20, architecture=shape, initialization=0.7)
    return Transformer(setting).double()


def _zeroed(model, heads):
    """The model with the heads' rows of the output projection zero."""
    for head in heads:
        width = 12 // model.heads[head.layer]
        with torch.no_grad():
            model.attention[head.layer].projection.weight[:, head.head * width : (head.head + 1) * width] = 0
    return model


def test_losses_by_position_with_heads_ablated():
    """Those of edited weights, whatever the batches."""
    tokens, heads = torch.randint(40, (5, 9)), [Head(0, 1), Head(1, 0)]
    expected = _zeroed(_model(), heads)(tokens)[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    losses = position_losses(_model(), tokens.split(2), heads)
    np.testing.assert_allclose(losses, -expected.detach(), rtol=1e-5)


def test_copies_are_told_apart():
    """The first token of each copy is announced by nothing and is left out; 3 sequences, with and without a first
    token."""
    for recipe in (TWICE, Recipe(5, 2, first=True)):
        (none, *_) = losses_on_repeats(_model(), POOL, [Head(1, 0)], recipe=recipe, sequences=3, seed=2)
        ((tokens, _),) = recipe.batches(POOL, 3, np.random.default_rng(2), tokens=10**6)
        logits = _model()(tokens)[:, :-1].detach().float()
        losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").reshape(3, -1)
        predicted = np.arange(1, tokens.shape[1])  # the position of the token that is predicted
        first = losses[:, (predicted < 5 + recipe.first)]
        second = losses[:, (predicted > 5 + recipe.first)]
        assert none.what == "none"
        assert none.first.value == pytest.approx(float(first.mean()), rel=1e-5)
        assert none.second.value == pytest.approx(float(second.mean()), rel=1e-5)
        assert none.second.low < none.second.value < none.second.high


def test_controls_are_other_heads_of_the_same_layers():
    heads = [Head(0, 1), Head(1, 0), Head(2, 0), Head(2, 1)]
    for seed in range(20):
        others = matched_heads(heads, (5, 2, 3), np.random.default_rng(seed))
        assert not set(others) & set(heads)
        assert [head.layer for head in others] == [0, 1, 2]  # layer 2 has one other head only
    assert matched_heads([Head(0, 0)], (1,), np.random.default_rng(0)) == ()
    results = losses_on_repeats(_model(), POOL, [Head(0, 1)], recipe=TWICE, sequences=2)
    assert [result.what for result in results][:2] == ["none", "these"]
    assert {result.what for result in results[2:]} == {"others"}
    assert results[1].to_dict()["heads"] == ["L0H1"]


def test_in_context_score_is_a_difference_of_positions():
    losses = np.arange(30.0).reshape(3, 10) ** 1.5
    score = in_context_score(losses, early=2, late=9)
    assert score.value == pytest.approx((losses[:, 8] - losses[:, 1]).mean())
    with pytest.raises(ValueError, match=r"positions = 50, 500: expected 1 ≤ early < late ≤ 10"):
        in_context_score(losses)


@pytest.mark.parametrize("preserve", [False, True])
def test_each_head_alone_is_the_whole_pass_with_it_zero(preserve):
    """From the stored stream, with what is read of the losses, and NaN where a layer has fewer heads."""
    model = _model()
    batches = [torch.randint(30, (2, 9), generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    calls = []
    intact, ablated = each_head_ablated(
        model,
        batches,
        lambda losses: losses[:, 2:],
        preserve_patterns=preserve,
        progress=lambda step, steps: calls.append((step, steps)),
    )
    np.testing.assert_allclose(intact, position_losses(model, batches)[:, 2:], rtol=1e-5)
    assert ablated.shape == (len(model.heads), max(model.heads), 4, 6)
    for layer, heads in enumerate(model.heads):
        assert np.isnan(ablated[layer, heads:]).all()
        for head in range(heads):
            rows = []
            for batch in batches:
                kept = preserved_patterns(record(model, batch, "patterns")) if preserve else ()
                with intervene(model, Zero(Head(layer, head)), *kept):
                    rows.append(position_losses(model, [batch])[:, 2:])
            np.testing.assert_allclose(ablated[layer, head], np.concatenate(rows), rtol=1e-4)
    assert calls[-1] == (4, 4)


@pytest.mark.parametrize(("layers", "most"), [(8, 0.6), (12, 0.57)])
def test_each_head_alone_takes_little_more_than_half_of_whole_passes(layers, most):
    """Layers are counted as they are evaluated."""
    torch.manual_seed(0)
    shape = Architecture(layers, 8, 4, dropout=0.0)
    model = Transformer(Setting.of("transformer", states=10, context=8, architecture=shape))
    batch, counts = torch.randint(10, (2, 8)), {"ours": 0, "naive": 0}

    def count(name):
        def hook(module, args, output):
            counts[name] += 1

        return [layer.register_forward_hook(hook) for layer in model.layers]

    hooks = count("ours")
    each_head_ablated(model, [batch])
    for hook in hooks:
        hook.remove()
    hooks = count("naive")
    for layer, heads in enumerate(model.heads):
        for head in range(heads):
            position_losses(model, [batch], [Head(layer, head)])
    for hook in hooks:
        hook.remove()
    print(f"{layers} layers: {counts['ours']} of {counts['naive']} evaluations")
    assert counts["naive"] == 4 * layers**2
    assert counts["ours"] <= most * counts["naive"]


def test_the_derivative_map_of_a_logarithm_is_its_slope():
    positions = np.arange(1, 200)
    losses = 3 - 0.4 * np.log(positions) + np.array([[0.0], [1.0]])
    np.testing.assert_allclose(derivative_map(losses), -0.4, rtol=1e-9)


def test_before_and_after_by_hand():
    """The part of the ablation's change that undoes the stage of training, per its length."""
    before, after = np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 1.0])
    ablated = np.array([[2.5, 7.0, 1.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(before_and_after(before, after, ablated), [-1.5, 0.0])
    with pytest.raises(ValueError, match="losses before and after are equal"):
        before_and_after(after, after, ablated)


def test_published_positions_where_they_are_reached():
    assert in_context_positions(511) == (50, 500)
    assert in_context_positions(63) == (6, 63)
    assert in_context_positions(2) == (1, 2)

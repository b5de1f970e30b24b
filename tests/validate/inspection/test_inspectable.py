"""onset.validate.inspection.inspectable: members of the protocol equal the forward pass written out."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import ACTIVATIONS, Head, Inspectable, by_layer, record
from onset.validate.models.toy import Toy
from onset.validate.models.transformer import Transformer

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def test_activations_are_those_of_the_forward_pass_written_out(model, tokens, plain):
    """Every activation of every layer, and the logits; the last stream unembeds to the logits."""
    expected, recorded = plain(model, tokens), record(model, tokens, *ACTIVATIONS)
    for name in ACTIVATIONS[:-1]:
        values = getattr(recorded, name)
        number = len(model.feed_forward_layers) if name == "feed_forwards" else len(model.heads) + (name == "streams")
        assert len(values) == number
        for value, other in zip(values, expected[name], strict=True):
            torch.testing.assert_close(value, other, **EXACT)
    torch.testing.assert_close(recorded.logits, expected["logits"][0], **EXACT)
    torch.testing.assert_close(model.unembed(recorded.streams[-1]).detach(), recorded.logits, **EXACT)
    assert torch.equal(recorded.tokens, tokens)


def test_only_requested_activations_are_recorded(model, tokens):
    """Nothing else is recorded, and no hook remains."""
    recorded = record(model, tokens, "patterns")
    assert len(recorded.patterns) == len(model.heads)
    assert recorded.streams == recorded.scores == recorded.head_outputs == []
    assert recorded.logits is None
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match=r"activation = 'pattern'.*patterns"):
        record(model, tokens, "pattern")


def test_outputs_of_heads_add_up_to_the_branch(model, tokens, plain):
    """Head outputs times output weights, summed over heads, are the projection; Σ A v is the output of a head."""
    expected, recorded = plain(model, tokens), record(model, tokens, "streams", "patterns", "head_outputs")
    for layer, outputs in enumerate(recorded.head_outputs):
        weights = model.head_weights(layer)
        branch = sum(outputs[:, :, h] @ weights.output[h] for h in range(model.heads[layer]))
        torch.testing.assert_close(branch.detach(), expected["branch"][layer], **EXACT)
        if not model.shape.feed_forward:
            torch.testing.assert_close(branch.detach(), recorded.streams[layer + 1] - recorded.streams[layer], **EXACT)
        values = model.queries_keys_values(recorded.streams[layer], layer)[2]
        for h in range(model.heads[layer]):
            torch.testing.assert_close(
                outputs[:, :, h], (recorded.patterns[layer][:, h] @ values[:, :, h]).detach(), **EXACT
            )


def test_queries_meet_keys_in_the_scores(model, tokens):
    """A change of the stream at one source changes its scores by q·Δk, whatever positions add."""
    recorded = record(model, tokens, "streams", "scores")
    for layer, scores in enumerate(recorded.scores):
        if layer == 0 and model.shape.previous:
            continue  # its scores are given
        moved = recorded.streams[layer].clone()
        moved[:, 4] += torch.linspace(-1, 1, moved.shape[-1])
        with model.hooked("streams", layer, lambda value, moved=moved: moved):
            changed = record(model, tokens, "scores").scores[layer]
        query, key, _ = model.queries_keys_values(recorded.streams[layer], layer)
        _, other, _ = model.queries_keys_values(moved, layer)
        late = slice(6, None)
        expected = torch.einsum("bthd,bshd->bhts", query[:, late], (other - key)[:, :6]).detach()
        torch.testing.assert_close(changed[..., late, :6] - scores[..., late, :6], expected, **EXACT)


def test_weights_are_the_linear_maps_of_the_heads(model, tokens):
    """But for smeared keys and rotation q, k and v are the normalised stream times the weights, q over √width."""
    recorded = record(model, tokens, "streams")
    for layer, heads in enumerate(model.heads):
        weights, stream = model.head_weights(layer), model.attention[layer].norm(recorded.streams[layer])
        query, key, value = model.queries_keys_values(recorded.streams[layer], layer)
        scaled = weights.query / math.sqrt(weights.query.shape[-1])
        assert weights.value.shape == (heads, model.shape.width, model.shape.width // heads)
        torch.testing.assert_close(value, torch.einsum("btw,hwd->bthd", stream, weights.value), **EXACT)
        if model.shape.positions != "rotary":
            torch.testing.assert_close(query, torch.einsum("btw,hwd->bthd", stream, scaled), **EXACT)
            if not model.shape.smeared:
                torch.testing.assert_close(key, torch.einsum("btw,hwd->bthd", stream, weights.key), **EXACT)
    logits = model.norm(recorded.streams[-1]) @ model.unembedding_matrix.T
    torch.testing.assert_close(logits, model.unembed(recorded.streams[-1]), **EXACT)
    if model.shape.positions != "learned":
        torch.testing.assert_close(recorded.streams[0], model.embedding_matrix[tokens].detach(), **EXACT)


def test_a_transformer_is_inspectable_and_a_toy_is_not(model):
    """By its members, not by its class."""
    assert isinstance(model, Inspectable)
    assert not isinstance(Toy(Setting.of("linear")), Inspectable)
    assert not isinstance("a model", Inspectable)


def test_single_precision_and_compiled_kernels_agree_with_the_record():
    """Logits without hooks come from compiled kernels, recorded activations from plain torch."""
    torch.manual_seed(0)
    model = Transformer(Setting.of("transformer", states=3, context=20, initialization=0.3))
    tokens = torch.randint(3, (4, 20))
    assert model.compiled
    with model.hooked("patterns", 0, lambda pattern: None):
        assert not model.compiled
        assert model.loss_and_gradients(tokens) is None
    recorded = record(model, tokens, "streams", "logits")
    with torch.no_grad():
        np.testing.assert_allclose(recorded.logits, model(tokens), rtol=0, atol=1e-5)


ROOT = Path(__file__).parents[3]


def test_model_classes_are_known_to_models_alone():
    """No `isinstance` on a model class outside validate/models, and no import of one in inspection."""
    classes = {"Model"}
    for path in (ROOT / "validate" / "models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and {"Model", "ToyModel", "Toy"} & {
                ast.unparse(base) for base in node.bases
            }:
                classes.add(node.name)
    assert {"Transformer", "Toy", "NgramToy"} <= classes
    for folder in ("theory", "simulate", "validate", "paper", "onset/command_line"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance" and "models" not in path.parts:
                    names = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                    assert not names & classes, f"{path}:{node.lineno}"
                if isinstance(node, ast.ImportFrom) and "inspection" in path.parts:
                    assert not str(node.module).startswith("onset.validate.models"), f"{path}:{node.lineno}"


def test_heads_are_counted_from_zero_and_missing_ones_are_nan():
    """As in the literature; NaN where a layer has fewer heads than another."""
    assert str(Head(18, 6)) == "L18H6"
    padded = by_layer([torch.ones(2, 3), torch.ones(1, 3)])
    assert padded.shape == (2, 2, 3)
    assert torch.isnan(padded[1, 1]).all()
    assert torch.isfinite(padded).sum() == 9

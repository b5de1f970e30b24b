"""onset.validate.inspection.paths: the direct path between two heads, against the forward pass written out."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import ForcePattern, Zero, intervene
from onset.validate.inspection.paths import THROUGH, patched_path
from onset.validate.models.transformer import Transformer

EXACT = {"rtol": 1e-9, "atol": 1e-11}


@pytest.mark.parametrize("through", THROUGH)
def test_a_path_is_changed_and_nothing_else(model, tokens, plain, through):
    """The receiver sees the stream without the sender's term; all other heads see it with."""
    sender, receiver = Head(0, 0), Head(len(model.heads) - 1, 0)
    intact = plain(model, tokens)
    term = intact["head_outputs"][0][:, :, 0] @ model.output_weights(0)[0].detach()

    def without(name, layer, value):
        return value - term if (name, layer) == ("streams", receiver.layer) else value

    altered = plain(model, tokens, without)
    pattern = (altered if through != "values" else intact)["patterns"][receiver.layer][:, 0]
    streams = (intact if through == "pattern" else altered)["streams"][receiver.layer]
    values = model.queries_keys_values(streams, receiver.layer)[2][:, :, 0].detach()

    def edited(name, layer, value):
        if (name, layer) != ("head_outputs", receiver.layer):
            return value
        value = value.clone()
        value[:, :, 0] = pattern @ values
        return value

    expected = plain(model, tokens, edited)["logits"][0]
    torch.testing.assert_close(patched_path(model, tokens, sender, receiver, through=through), expected, **EXACT)
    # With what the sender writes anyway nothing changes.
    own = record(model, tokens, "head_outputs").head_outputs[0][:, :, 0]
    unchanged = patched_path(model, tokens, sender, receiver, through=through, output=own)
    torch.testing.assert_close(unchanged, intact["logits"][0], **EXACT)


def test_a_receiver_that_is_forced_has_no_path_through_its_pattern(model, tokens):
    receiver = Head(len(model.heads) - 1, 0)
    with intervene(model, ForcePattern(receiver, torch.eye(tokens.shape[1]).double())):
        expected = model(tokens)
        torch.testing.assert_close(patched_path(model, tokens, Head(0, 0), receiver), expected, **EXACT)
        with intervene(model, Zero(Head(0, 0))):
            assert (model(tokens) - expected).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("sender", "receiver", "options", "says"),
    [
        ((1, 0), (1, 1), {}, "sender's layer = 1"),
        ((0, 0), (0, 1), {}, "receiver's layer = 0: expected a whole number of at least 1"),
        ((0, 9), (1, 0), {}, "sender's head = 9"),
        ((0, 0), (1, 9), {}, "receiver's head = 9"),
        ((0, 0), (1, 0), {"through": "keys"}, "through = 'keys': expected one of both, pattern, values"),
    ],
)
def test_paths_that_are_none(sender, receiver, options, says):
    torch.manual_seed(0)
    model = Transformer(Setting.of("transformer", states=3, context=7, architecture=Architecture(2, 8, (2, 1))))
    tokens = torch.randint(3, (2, 7))
    with pytest.raises(ValueError, match=says):
        patched_path(model, tokens, Head(*sender), Head(*receiver), **options)


def test_a_norm_after_the_heads_is_named():
    """Gemma 2 normalises what attention returns before it adds it."""
    pytest.importorskip("transformers")
    from tiny_language_models import tiny

    from onset.validate.models.hugging_face import HuggingFaceModel

    tokens = torch.arange(12)[None]
    llama = HuggingFaceModel(tiny("llama"))
    assert patched_path(llama, tokens, Head(0, 1), Head(1, 2)).shape == (1, 12, 50)
    with pytest.raises(ValueError, match=r"layer 0 does not add the outputs of its heads .* as they are"):
        patched_path(HuggingFaceModel(tiny("gemma2")), tokens, Head(0, 1), Head(1, 2))

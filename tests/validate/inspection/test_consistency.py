"""onset.validate.inspection.consistency: our transformers pass, and each mistake in a model of the user's is named."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.consistency import require_consistent
from onset.validate.models.transformer import Transformer

TOKENS = torch.arange(20).reshape(2, 10) % 4


class LooksAhead(Transformer):
    """Logits of the sequence read backwards."""

    def forward(self, tokens, mask_bits=()):
        return super().forward(tokens.flip(-1), mask_bits)


class WrongHeads(Transformer):
    heads = property(lambda self: (2, 3))


class Masked(Transformer):
    """Patterns that reach one position ahead."""

    def hooked(self, activation, layer, function):
        see = (lambda value: function(value.roll(1, -1))) if activation == "patterns" else function
        return super().hooked(activation, layer, see)


class ScoresForPatterns(Transformer):
    def hooked(self, activation, layer, function):
        see = (lambda value: function(value.nan_to_num(neginf=0.0))) if activation == "patterns" else function
        return super().hooked("scores" if activation == "patterns" else activation, layer, see)


class Projected(Transformer):
    """Head outputs with another factor, as if read elsewhere."""

    def hooked(self, activation, layer, function):
        see = (lambda value: function(2 * value)) if activation == "head_outputs" else function
        return super().hooked(activation, layer, see)


class OtherLayer(Transformer):
    def run_from(self, stream, layer):
        return super().run_from(stream, max(1, layer))


class WithoutNorm(Transformer):
    def unembed(self, stream):
        return 2 * stream @ self.unembedding_matrix.T

    def _run(self, x, first, mask_bits):
        for stream, layer in zip(self.streams[first:-1], self.layers[first:], strict=True):
            x = layer(stream(x), mask_bits)
        return super().unembed(self.streams[-1](x))


class Lingering(Transformer):
    """Functions stay where a pass ends with an exception."""

    @contextmanager
    def hooked(self, activation, layer, function):
        hook = super().hooked(activation, layer, function)
        hook.__enter__()
        self.kept = hook
        yield
        hook.__exit__(None, None, None)


class Infinite(Transformer):
    def forward(self, tokens, mask_bits=()):
        return super().forward(tokens, mask_bits) / 0


def _model(kind):
    torch.manual_seed(0)
    shape = Architecture(2, 8, 2)
    return kind(Setting.of("transformer", states=4, context=10, architecture=shape, initialization=0.7)).double()


def test_transformers_of_every_kind_pass(model, tokens):
    require_consistent(model, tokens)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (LooksAhead, "its logits change with tokens that come later"),
        (WrongHeads, r"`heads` = \(2, 3\), but its patterns have \(2, 2\) heads"),
        (Masked, "layer 0 attends to tokens that come later"),
        (ScoresForPatterns, "the patterns of layer 0 are no shares of earlier positions"),
        (Projected, "the head outputs of layer 0 are not its patterns times its values"),
        (OtherLayer, "run from the stream before layer 0, it gives other logits"),
        (WithoutNorm, "`unembed` of the last stream gives other logits"),
        (Lingering, "functions of `hooked` are called after their context has ended with an exception"),
        (Infinite, "its logits are not finite"),
    ],
)
def test_each_mistake_is_named(kind, says):
    with pytest.raises(ValueError, match=f"model of type {kind.__name__}: {says}"):
        require_consistent(_model(kind), TOKENS)

"""Transformers whose weights are written by hand, so that their heads are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.models.transformer import Transformer

__all__ = ["built", "induction_transformer"]


def built(lag_logits: Tensor, match: Tensor, readout: Tensor, heads: tuple[int, int] = (1, 1)) -> Transformer:
    """The toy with lag logits (T,), match and readout (k, k) as a transformer in double precision.

    The stream holds symbols and the outputs of layers 1 and 2, k entries each. The last head of each layer is the
    toy's; the others attend evenly and have no output.
    """
    context, states = len(lag_logits), len(match)
    width = max(3, *heads) * states
    width += -width % math.lcm(*heads)
    shape = Architecture(2, width, heads, dropout=0.0, positions="bias", norm=False)
    model = Transformer(Setting.of("transformer", states=states, context=context, architecture=shape)).double()
    symbols, first_output, second_output = (slice(n * states, (n + 1) * states) for n in range(3))
    for parameter in model.parameters():
        parameter.detach().zero_()
    first, second = (layer.attention for layer in model.layers)
    identity = torch.eye(states, dtype=torch.float64)
    of_last = [slice(start := width - width // number, start + states) for number in heads]
    with torch.no_grad():
        model.embedding.weight[:, symbols] = identity
        first.bias[-1] = lag_logits
        first.query_key_value.weight[2 * width :][of_last[0], symbols] = identity
        first.projection.weight[first_output, of_last[0]] = identity
        scale = (width // heads[1]) ** 0.5
        second.query_key_value.weight[of_last[1], symbols] = match.double().T * scale
        second.query_key_value.weight[width : 2 * width][of_last[1], first_output] = identity
        second.query_key_value.weight[2 * width :][of_last[1], symbols] = identity
        second.projection.weight[second_output, of_last[1]] = identity
        model.head.weight[:, second_output] = readout.double().T
    return model


def induction_transformer(vocabulary: int, context: int) -> Transformer:
    """A previous-token head L0H1 and an induction head L1H1 beside idle heads L0H0 and L1H0, in single precision."""
    lag_logits = torch.zeros(context, dtype=torch.float64)
    lag_logits[1] = 12.0
    identity = torch.eye(vocabulary)
    return built(lag_logits, 12 * identity, 9 * identity, (2, 2)).float()

"""The models that are trained: the two toy families and the transformer.

All take tokens (B, T), and the words that dropout takes (`sites` says how many), to next-token logits (B, T, k); all report layer-1 attention of
the last position (`lag_attention`), and say of each parameter to which optimiser group (`group`) and which part of the model (`part`) it belongs,
and on which weight decay acts (`decayed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from onset.theory.setting import Setting
from onset.validate.models.ngram_toy import NgramToy
from onset.validate.models.toy import Toy, ToyModel
from onset.validate.models.transformer import Transformer

__all__ = ["Model", "build", "order_parameters"]


class Model(Protocol):
    """What training asks of a model, beside being an ``nn.Module``."""

    def __call__(self, tokens: Tensor, noise: Sequence[Tensor] = ()) -> Tensor: ...
    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]: ...
    def group(self, name: str) -> str: ...
    def part(self, name: str) -> str: ...
    def decayed(self) -> set[str]: ...
    def lag_attention(self, tokens: Tensor) -> Tensor: ...


MODELS: dict[str, type[nn.Module]] = {"linear": Toy, "softmax": Toy, "transformer": Transformer}
"""The one place where a trained family is registered."""

OF_ORDER: dict[str, type[nn.Module]] = {"linear": NgramToy, "softmax": NgramToy}
"""The same for chains of order n > 2, where that takes another model."""


def build(setting: Setting, seed: int = 0) -> nn.Module:
    """A freshly initialised model of the setting's family."""
    torch.manual_seed(seed)
    models = MODELS if setting.task.order == 2 else MODELS | OF_ORDER
    return models[setting.model.family](setting)


def as_model(module: nn.Module) -> Model:
    """The same object, by what training asks of it."""
    return cast("Model", module)


def order_parameters(model: nn.Module) -> dict[str, float]:
    """What a toy model reports of its symmetry-reduced coordinates; nothing for others."""
    return model.order_parameters() if isinstance(model, ToyModel) else {}

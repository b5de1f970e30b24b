"""The models that are trained: the two toy families and the transformer.

All take tokens (B, T), and the words that dropout takes (`sites` says how many), to next-token logits (B, T, k); all report layer-1 attention of
the last position (`lag_attention`), and say of each parameter to which optimiser group (`group`) and which part of the model (`part`) it belongs,
and on which weight decay acts (`decayed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from theory.setting import Setting
from validate.models.ngram_toy import NgramToy
from validate.models.toy import Toy
from validate.models.transformer import Transformer

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
    models = MODELS if setting.order == 2 else MODELS | OF_ORDER
    return models[setting.family](setting)


def as_model(module: nn.Module) -> Model:
    """The same object, by what training asks of it."""
    return cast("Model", module)


def order_parameters(model: nn.Module) -> dict[str, float]:
    """For the toy families: the mean of each orbit of entries, and the lag logits; named as `theory.dynamics.Layout` does."""
    found: dict[str, float] = {}
    if isinstance(model, Toy | NgramToy):
        for name, parameter in model.named_parameters():
            values = parameter.detach().double().cpu().numpy()
            by_head = isinstance(model, NgramToy) and name != "readout"
            for head, value in enumerate(values if by_head else values[None], start=1):
                whole = f"{name}_{head}" if by_head else name
                if value.ndim == 2:
                    found[f"{whole}.diagonal"] = float(np.diag(value).mean())
                    found[f"{whole}.off_diagonal"] = float(value[~np.eye(len(value), dtype=bool)].mean())
                else:
                    found |= {f"{whole}.{r}": float(v) for r, v in enumerate(value)}
    return found

"""The loss of a model that puts out logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

__all__ = ["cross_entropy"]


def cross_entropy(
    model: nn.Module, tokens: Tensor, noise: Sequence[Tensor] = (), parameters: dict[str, Tensor] | None = None
) -> Tensor:
    """Mean cross-entropy of the next token, for tokens of shape (B, T + 1); `parameters` may stand in for the model's own."""
    given = tokens[:, :-1], noise
    logits = model(*given) if parameters is None else functional_call(model, parameters, given)
    return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())

"""The loss of a model's logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

__all__ = ["cross_entropy"]


def cross_entropy(
    model: nn.Module,
    tokens: Tensor,
    mask_bits: Sequence[Tensor] = (),
    parameters: dict[str, Tensor] | None = None,
    *,
    positions: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy of the next token (nats) on tokens (B, T + 1).

    `parameters` replace the model's own; with `positions`, indices of shape (n,), only those predictions count.
    """
    inputs, targets = (tokens[:, :-1], mask_bits), tokens[:, 1:]
    logits = model(*inputs) if parameters is None else functional_call(model, parameters, inputs)
    if positions is not None:
        logits, targets = logits[:, positions], targets[:, positions]
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

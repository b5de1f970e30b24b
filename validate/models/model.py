"""The interface of the models that are trained, and their loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

__all__ = ["Model", "cross_entropy"]


class Model(nn.Module):
    """A map from tokens (B, T) to next-token logits (B, T, k), with what training and recording ask of it.

    Each parameter has an optimiser group (`group`), belongs to a part of the model that can be frozen (`part`), and is
    subject to weight decay if its name is in `decayed`.
    """

    def forward(self, tokens: Tensor, mask_bits: Sequence[Tensor] = ()) -> Tensor:
        """Next-token logits (B, T, k) of tokens (B, T); dropout by `mask_bits`, none without them."""
        raise NotImplementedError

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Shapes of the dropout mask bits of one forward pass on tokens (batch, length), in order."""
        return []

    def group(self, name: str) -> str:
        """Optimiser group of the parameter `name`."""
        raise NotImplementedError

    def part(self, name: str) -> str:
        """Part of the model, one of `Setting.parts`, of the parameter `name`."""
        raise NotImplementedError

    def decayed(self) -> set[str]:
        """Names of the parameters that are subject to weight decay."""
        return set()

    def lag_attention(self, tokens: Tensor) -> Tensor:
        """Layer-1 attention of the last position by lag, shape (heads, T): mean over `tokens`."""
        raise NotImplementedError

    def order_parameters(self) -> dict[str, float]:
        """Symmetry-reduced coordinates of a toy model; empty for other models."""
        return {}

    def loss_and_gradients(
        self, tokens: Tensor, mask_bits: Sequence[Tensor] = (), parameters: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Mean cross-entropy of the next token and its gradients by name, from compiled kernels; None without kernels.

        Parameters
        ----------
        tokens : tensor, shape (B, T + 1)
        mask_bits : sequence of tensor
            Dropout mask bits, see `sites`.
        parameters : mapping of str to tensor, optional
            Used in place of the model's own. All tensors may have a leading dimension of S models.
        """
        return None


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

"""Baselines of `onset.validate.bench`: the same results, written in the usual way in PyTorch or plain Python."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.validate.models.toy import Toy
from onset.validate.models.transformer import Attention, Transformer

__all__ = [
    "PlainToy",
    "PlainTransformer",
    "bigram_by_cumulative_sums",
    "bigram_by_prefix",
    "floor_of_step",
    "gradient_by_autograd",
    "tokens_by_multinomial",
    "tokens_by_threshold",
]


def tokens_by_threshold(transition: Tensor, law: Tensor, length: int) -> Tensor:
    """Tokens (B, length), one time step after another: uniforms against cumulative rows, for all chains at once."""
    chain = torch.arange(len(law))
    edges = transition.cumsum(dim=-1)[..., :-1]
    tokens = [(torch.rand(len(law), 1) >= law.cumsum(dim=-1)[:, :-1]).sum(dim=-1)]
    for _ in range(length - 1):
        tokens.append((torch.rand(len(law), 1) >= edges[chain, tokens[-1]]).sum(dim=-1))
    return torch.stack(tokens, dim=1)


def tokens_by_multinomial(transition: Tensor, law: Tensor, length: int) -> Tensor:
    """The same with ``torch.multinomial``."""
    chain = torch.arange(len(law))
    tokens = [torch.multinomial(law, 1)[:, 0]]
    for _ in range(length - 1):
        tokens.append(torch.multinomial(transition[chain, tokens[-1]], 1)[:, 0])
    return torch.stack(tokens, dim=1)


def bigram_by_prefix(sequences: list[list[int]] | Tensor, states: int, pseudo_count: float) -> Tensor:
    """Bigram predictions (B, T, k), counting again for every prefix; each of `sequences` holds T tokens."""
    laws = []
    for sequence in sequences:
        for t in range(len(sequence)):
            counts = [pseudo_count] * states
            for i in range(t):
                if sequence[i] == sequence[t]:
                    counts[int(sequence[i + 1])] += 1
            laws.append([count / sum(counts) for count in counts])
    return torch.tensor(laws).view(len(sequences), -1, states)


def bigram_by_cumulative_sums(tokens: Tensor, states: int, pseudo_count: float) -> Tensor:
    """Bigram predictions (B, T, k) from cumulative sums of one-hot pairs."""
    symbol = F.one_hot(tokens, states).float()
    pairs = symbol[:, :-1, :, None] * symbol[:, 1:, None, :]
    counts = F.pad(pairs, (0, 0, 0, 0, 1, 0)).cumsum(dim=1)
    row = counts.gather(2, tokens[..., None, None].expand(-1, -1, 1, states)).squeeze(2) + pseudo_count
    return row / row.sum(dim=-1, keepdim=True)


class PlainToy(Toy):
    """The toy families with their T × T attention written out."""

    def forward(self, tokens: Tensor, mask_bits: Sequence[Tensor] = ()) -> Tensor:
        symbols = F.one_hot(tokens, self.states).to(self.match.dtype)
        z = self.first_layer(tokens.shape[1]) @ symbols
        scores = symbols @ self.match @ z.transpose(1, 2)
        if not self.softmax:
            return scores.tril() @ symbols
        future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        return scores.masked_fill(future, -torch.inf).softmax(dim=-1) @ symbols @ self.readout


def gradient_by_autograd(model: Toy, tokens: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """Gradient of the cross-entropy to the law of the next token, `rows` (B, T, k), by each parameter of `model`."""
    loss = -(rows * F.log_softmax(model(tokens), dim=-1)).sum(dim=-1).mean()
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


class PlainTransformer(nn.Module):
    """The transformer `model`, with relative positions and no feed-forward branch, as the released code writes it.

    Vectors r_{i-j} laid out as (T, T, d), einsum, a mask, and torch's dropout.
    """

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.dropout = nn.Dropout(model.shape.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.dropout(self.model.embedding(tokens))
        for layer in self.model.layers:
            x = x + self._branch(cast("Attention", layer.attention), x)
        return self.model.head(self.model.norm(x))

    def _branch(self, branch: Attention, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = branch.query_key_value(branch.norm(x)).view(batch, length, 3, branch.heads, -1)
        query, key, value = qkv.unbind(dim=2)
        lag = torch.arange(length)[:, None] - torch.arange(length)
        relative = self.dropout(branch.offsets[:, lag.clamp(min=0)])
        scores = torch.einsum("bihd,bjhd->bhij", query, key) + torch.einsum("bihd,hijd->bhij", query, relative)
        pattern = (scores / math.sqrt(query.shape[-1])).masked_fill(lag < 0, -torch.inf).softmax(dim=-1)
        outputs = torch.einsum("bhij,bjhd->bihd", self.dropout(pattern), value).reshape(batch, length, width)
        return self.dropout(branch.projection(outputs))


def floor_of_step(model: Transformer, batch: int, context: int) -> Callable[[], None]:
    """The matrix products of a training step of `model`, forward and backward, and an exponential for each causal pair.

    Products of attention are counted as full squares, as libraries compute them.
    """
    width, tokens = model.shape.width, batch * context
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for heads in model.heads:
        inner, matrices = width // heads, batch * heads
        shapes += [((tokens, width), (width, 3 * width)), ((tokens, width), (width, width))]
        # q·k and q·r, then pattern × value.
        shapes += 2 * [((matrices, context, inner), (matrices, inner, context))]
        shapes += [((matrices, context, context), (matrices, context, inner))]
    products = [(torch.randn(left), torch.randn(right)) for left, right in shapes]
    scores = torch.randn(model.shape.layers * batch, context * (context + 1) // 2)

    def work() -> None:
        for left, right in products:
            out = left @ right
            torch.matmul(out, right.transpose(-1, -2))
            torch.matmul(left.transpose(-1, -2), out)
        scores.exp()

    return work

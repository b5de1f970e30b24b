r"""The transformer: `Architecture` says how deep, how wide and of what kind; its defaults are the one of arXiv 2402.11004.

Per layer x ← x + projection(heads(norm(x))), and, with a feed-forward branch, x ← x + down(relu(up(norm(x)))). Scores are
q_i·k_j/√d, and by `positions`

    relative   + q_i·r_{i-j}/√d, one learned vector r per offset, layer and head
    bias       + b_{i-j}, one learned number per offset, layer and head
    rotary     q and k turned by their position
    learned    nothing; one learned vector per position is added to the embedding.

Dropout on embeddings, pattern, branches and r. Weights N(0, std²), those that end a branch std/√(2·layers). No biases but those of LayerNorm
and the feed-forward branch. The published table of offsets has one row more than a context of T tokens can reach; it is left out here.

What dropout needs is drawn by the caller: `sites` says how many words, and `forward` takes them (`onset.validate.models.dropout`), so that a
model trained alone and one of many trained together drop the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.models.attention import attend, scores
from onset.validate.models.compiled import network
from onset.validate.models.dropout import drop, pairs

__all__ = ["Activations", "Transformer"]


TURNS = 1e4
"""Base of the rotary angles: pair c of a head of width d turns by position / TURNS^(2c/d) (arXiv 2104.09864)."""

Words = Iterator[Tensor | None]


class Activations(NamedTuple):
    """What a pass without dropout holds: its `tokens` (B, T), the residual `stream` before each layer and after the last, shapes (B, T, d), and
    the attention `scores` of each layer, shapes (B, heads, T, T), of which a softmax makes the pattern."""

    tokens: Tensor
    stream: list[Tensor]
    scores: list[Tensor]


class Attention(nn.Module):
    """One attention branch."""

    def __init__(self, shape: Architecture, heads: int, context: int) -> None:
        super().__init__()
        self.shape, self.heads, self.head_width = shape, heads, shape.width // heads
        self.norm = nn.LayerNorm(shape.width) if shape.norm else nn.Identity()
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.projection = nn.Linear(shape.width, shape.width, bias=False)
        if shape.positions == "relative":
            self.offsets = nn.Parameter(torch.empty(heads, context, self.head_width))
        if shape.positions == "bias":
            self.bias = nn.Parameter(torch.empty(heads, context))
        if shape.smeared:
            self.smear = nn.Parameter(torch.zeros(heads, 1))

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Shapes of the words that dropout takes, in order."""
        on_offsets = [(self.heads, pairs(length), self.head_width)] if self.shape.positions == "relative" else []
        return [*on_offsets, (batch, self.heads, pairs(length)), (batch, length, self.shape.width)]

    def parts(self, x: Tensor) -> Tensor:
        """Queries, keys and values of each head, shape (B, T, 3, heads, width/heads)."""
        parts = self.query_key_value(self.norm(x)).unflatten(-1, (3, self.heads, self.head_width))
        if not self.shape.smeared and self.shape.positions != "rotary":
            return parts
        query, key, value = parts.unbind(dim=-3)
        if self.shape.smeared:
            own, before = self.smear.sigmoid(), torch.cat([key[:, :1], key[:, :-1]], dim=1)
            key = own * key + (1 - own) * before
        if self.shape.positions == "rotary":
            query, key = _turned(query), _turned(key)
        return torch.stack([query, key, value], dim=-3)

    @property
    def by_offset(self) -> tuple[Tensor | None, Tensor | None]:
        """r, shape (heads, T, width/heads), and b, shape (heads, T)."""
        return getattr(self, "offsets", None), getattr(self, "bias", None)

    def scores(self, x: Tensor, *, first: int = 0) -> Tensor:
        """The pattern before its softmax, without dropout, shape (B, heads, T, T); of queries from position `first` on alone."""
        return scores(self.parts(x), *self.by_offset, first=first)

    def forward(self, x: Tensor, words: Words) -> Tensor:
        on_offsets = next(words) if self.shape.positions == "relative" else None
        mixed = attend(self.parts(x), *self.by_offset, words=(next(words), on_offsets), probability=self.shape.dropout)
        return x + drop(self.projection(mixed.flatten(-2)), next(words), self.shape.dropout)


class FeedForward(nn.Module):
    """One feed-forward branch."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.norm = nn.LayerNorm(shape.width) if shape.norm else nn.Identity()
        self.up = nn.Linear(shape.width, shape.feed_forward * shape.width)
        self.projection = nn.Linear(shape.feed_forward * shape.width, shape.width)

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        return [(batch, length, self.shape.width)]

    def forward(self, x: Tensor, words: Words) -> Tensor:
        return x + drop(self.projection(F.relu(self.up(self.norm(x)))), next(words), self.shape.dropout)


class Layer(nn.Module):
    def __init__(self, shape: Architecture, heads: int, context: int) -> None:
        super().__init__()
        self.attention = Attention(shape, heads, context)
        self.feed_forward = FeedForward(shape) if shape.feed_forward else None

    def branches(self) -> Sequence[Attention | FeedForward]:
        return [self.attention] if self.feed_forward is None else [self.attention, self.feed_forward]

    def forward(self, x: Tensor, words: Words) -> Tensor:
        for branch in self.branches():
            x = branch(x, words)
        return x


class Transformer(nn.Module):
    """The transformer that `setting.model.architecture` describes, over `setting.task.states` tokens."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        shape = setting.model.architecture
        if shape is None:
            raise ValueError(
                f"setting of the {setting.model.family} family has no architecture: expected family = 'transformer'."
            )
        self.shape = shape
        self.embedding = nn.Embedding(setting.task.states, shape.width)
        if shape.positions == "learned":
            self.positions = nn.Parameter(torch.empty(setting.task.context, shape.width))
        self.layers = nn.ModuleList(Layer(shape, heads, setting.task.context) for heads in shape.heads_of)
        self.norm = nn.LayerNorm(shape.width) if shape.norm else nn.Identity()
        if not shape.tied:
            self.head = nn.Linear(shape.width, setting.task.states, bias=False)
        std = setting.model.initialization["weights"]
        for name, parameter in self.named_parameters():
            if name.endswith("bias") and "feed_forward" in name:
                nn.init.zeros_(parameter)
            elif "norm" not in name and not name.endswith("smear"):
                nn.init.normal_(parameter, std=std / math.sqrt(2 * shape.layers) if "projection" in name else std)

    def group(self, name: str) -> str:
        """One optimiser group; weight decay acts on the linear maps alone, see `decayed`."""
        return "weights"

    def decayed(self) -> set[str]:
        """Names of the parameters on which weight decay acts."""
        return {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, nn.Linear)}

    def part(self, name: str) -> str:
        """Which of `Setting.parts` the parameter called `name` belongs to."""
        first, _, rest = name.partition(".")
        if first == "layers":
            return f"layer_{int(rest.partition('.')[0]) + 1}"
        return "embedding" if first in ("embedding", "positions") else "head"

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Shapes of the words that one pass over (batch, length) tokens takes for dropout; none if nothing is dropped."""
        if not self.shape.dropout:
            return []
        branches = [branch for layer in self.layers for branch in layer.branches()]  # type: ignore[operator]
        return [(batch, length, self.shape.width), *(site for one in branches for site in one.sites(batch, length))]

    def embed(self, tokens: Tensor) -> Tensor:
        # As a product with one-hot tokens: its derivative is a product too, where a lookup's is a scatter.
        embedded = (
            F.one_hot(tokens, self.embedding.num_embeddings).to(self.embedding.weight.dtype) @ self.embedding.weight
        )
        return embedded + self.positions[: tokens.shape[-1]] if self.shape.positions == "learned" else embedded

    @property
    def compiled(self) -> bool:
        """Whether there are compiled kernels for this model as it stands; everything else is done by plain torch."""
        weight, shape = self.embedding.weight, self.shape
        kind = weight.device.type == "cpu" and weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return kind and not shape.smeared and not shape.feed_forward and shape.positions != "rotary"

    def forward(self, tokens: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Next-token logits, shape (B, T, k), for tokens of shape (B, T); dropout by the words in `noise`, none without."""
        if self.compiled and not torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active():
            return network.logits(self.shape, dict(self.named_parameters()), tokens, noise)
        words: Words = iter(noise) if noise else repeat(None)
        x = drop(self.embed(tokens), next(words), self.shape.dropout)
        for layer in self.layers:
            x = layer(x, words)
        return self.read(x)

    def read(self, x: Tensor) -> Tensor:
        """Logits (B, T, k) of the residual stream (B, T, d) after the last layer."""
        x = self.norm(x)
        return F.linear(x, self.embedding.weight) if self.shape.tied else self.head(x)

    @torch.no_grad()
    def activations(self, tokens: Tensor) -> Activations:
        stream, scores = [self.embed(tokens)], []
        for layer in self.layers:
            scores.append(layer.attention.scores(stream[-1]))  # type: ignore[union-attr, operator]
            stream.append(layer(stream[-1], repeat(None)))
        return Activations(tokens, stream, scores)

    @torch.no_grad()
    def lag_attention(self, tokens: Tensor) -> Tensor:
        """Layer-1 attention of the last position on each lag, shape (heads, T): mean over `tokens`."""
        scores = self.layers[0].attention.scores(self.embed(tokens), first=tokens.shape[1] - 1)  # type: ignore[union-attr, operator]
        return scores[:, :, 0].softmax(dim=-1).mean(dim=0).flip(-1)


def _turned(x: Tensor) -> Tensor:
    """Pairs (c, c + d/2) of the entries of x (B, T, heads, d) turned by angles that grow with the position."""
    length, half = x.shape[1], x.shape[-1] // 2
    rates = TURNS ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = (torch.arange(length, device=x.device, dtype=x.dtype)[:, None] * rates)[:, None]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)

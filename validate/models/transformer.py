r"""The transformer of an `Architecture`, whose defaults are those of arXiv 2402.11004.

Per layer x ← x + projection(heads(norm(x))) (`onset.validate.models.attention`), and, with a feed-forward branch,
x ← x + projection(relu(up(norm(x)))). With `positions` = "learned", one learned vector per position is added to the
embedding. Dropout acts on the embeddings, the patterns, the branches and the vectors r of relative positions.

Weights start at N(0, std²), those that end a branch at N(0, std²/(2·layers)). No biases but those of LayerNorm and the
feed-forward branch. The published table of offsets has one row more than T tokens can reach; it is left out here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import HeadWeights
from onset.validate.models.attention import Attention
from onset.validate.models.compiled import network
from onset.validate.models.dropout import drop
from onset.validate.models.model import Model

__all__ = ["Transformer"]

LOOKUP_FROM = 256
"""Vocabulary above which tokens are embedded by lookup rather than by a matrix product."""


class FeedForward(nn.Module):
    """A feed-forward branch: x + drop(projection(relu(up(norm(x)))))."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.norm = nn.LayerNorm(shape.width) if shape.norm else nn.Identity()
        self.up = nn.Linear(shape.width, shape.feed_forward * shape.width)
        self.projection = nn.Linear(shape.feed_forward * shape.width, shape.width)
        self.point = nn.Identity()
        """Point of the forward pass to which hooks attach."""

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Shapes of the dropout mask bits."""
        return [(batch, length, self.shape.width)]

    def forward(self, x: Tensor, mask_bits: Iterator[Tensor | None]) -> Tensor:
        added = self.point(self.projection(F.relu(self.up(self.norm(x)))))
        return x + drop(added, next(mask_bits), self.shape.dropout)


class Layer(nn.Module):
    """An attention branch, and a feed-forward branch if the architecture has one."""

    def __init__(self, shape: Architecture, heads: int, context: int, *, first: bool) -> None:
        super().__init__()
        self.attention = Attention(shape, heads, context, previous=first and shape.previous)
        self.feed_forward = FeedForward(shape) if shape.feed_forward else None

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Shapes of the dropout mask bits, in order."""
        branches = [self.attention] if self.feed_forward is None else [self.attention, self.feed_forward]
        return [site for branch in branches for site in branch.sites(batch, length)]

    def forward(self, x: Tensor, mask_bits: Iterator[Tensor | None]) -> Tensor:
        x = self.attention(x, mask_bits)
        return x if self.feed_forward is None else self.feed_forward(x, mask_bits)


class Transformer(Model):
    """The transformer of `setting.model.architecture` over `setting.task.vocabulary` tokens; it is an `Inspectable`."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        shape = setting.model.architecture
        if shape is None:
            raise ValueError(
                f"setting of the {setting.model.family} family has no architecture: expected family = 'transformer'."
            )
        self.shape = shape
        self.embedding = nn.Embedding(setting.task.vocabulary, shape.width)
        if shape.positions == "learned":
            self.positions = nn.Parameter(torch.empty(setting.task.context, shape.width))
        self.layers = nn.ModuleList(
            Layer(shape, heads, setting.task.context, first=number == 0) for number, heads in enumerate(shape.heads_of)
        )
        self.norm = nn.LayerNorm(shape.width) if shape.norm else nn.Identity()
        if not shape.tied:
            self.head = nn.Linear(shape.width, setting.task.vocabulary, bias=False)
        self.streams = nn.ModuleList(nn.Identity() for _ in range(shape.layers + 1))
        self._hooks = 0
        std = setting.model.initialization["weights"]
        for name, parameter in self.named_parameters():
            if name.endswith("bias") and "feed_forward" in name:
                nn.init.zeros_(parameter)
            elif "norm" not in name and not name.endswith("smear"):
                nn.init.normal_(parameter, std=std / math.sqrt(2 * shape.layers) if "projection" in name else std)

    def group(self, name: str) -> str:
        return "weights"

    def part(self, name: str) -> str:
        first, _, rest = name.partition(".")
        if first == "layers":
            return f"layer_{int(rest.partition('.')[0]) + 1}"
        # A tied embedding is also the head, to which the last norm belongs.
        return "embedding" if self.shape.tied or first in ("embedding", "positions") else "head"

    def decayed(self) -> set[str]:
        return {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, nn.Linear)}

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        if not self.shape.dropout:
            return []
        layers = [site for layer in self.layers for site in cast("Layer", layer).sites(batch, length)]
        return [(batch, length, self.shape.width), *layers]

    def embed(self, tokens: Tensor) -> Tensor:
        """Residual stream (B, T, d) before the first layer."""
        if self.embedding.num_embeddings > LOOKUP_FROM:
            embedded = self.embedding(tokens)
        else:  # as a product with one-hot tokens: its derivative is a product too, where a lookup's is a scatter
            symbols = F.one_hot(tokens, self.embedding.num_embeddings).to(self.embedding.weight.dtype)
            embedded = symbols @ self.embedding.weight
        return embedded + self.positions[: tokens.shape[-1]] if self.shape.positions == "learned" else embedded

    def unembed(self, stream: Tensor) -> Tensor:
        """Logits (B, T, k) of the residual stream (B, T, d) after the last layer."""
        return F.linear(self.normalise(stream), self.unembedding_matrix)

    def normalise(self, stream: Tensor) -> Tensor:
        return self.norm(stream)

    def forward(self, tokens: Tensor, mask_bits: Sequence[Tensor] = ()) -> Tensor:
        if self.compiled and not torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active():
            return network.logits(self.shape, dict(self.named_parameters()), tokens, mask_bits)
        bits: Iterator[Tensor | None] = iter(mask_bits) if mask_bits else repeat(None)
        return self._run(drop(self.embed(tokens), next(bits), self.shape.dropout), 0, bits)

    def _run(self, x: Tensor, first: int, mask_bits: Iterator[Tensor | None]) -> Tensor:
        """Logits of the residual stream before layer `first`."""
        for stream, layer in zip(self.streams[first:-1], self.layers[first:], strict=True):
            x = layer(stream(x), mask_bits)
        return self.unembed(self.streams[-1](x))

    @property
    def compiled(self) -> bool:
        """True if compiled kernels apply to the model as it stands; plain torch does everything else."""
        weight, shape = self.embedding.weight, self.shape
        single = weight.device.type == "cpu" and weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        kind = not (shape.smeared or shape.feed_forward or shape.previous) and shape.positions != "rotary"
        return single and kind and not self._hooks

    def loss_and_gradients(
        self, tokens: Tensor, mask_bits: Sequence[Tensor] = (), parameters: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        if not self.compiled:
            return None
        return network.loss_and_gradients(self.shape, parameters or dict(self.named_parameters()), tokens, mask_bits)

    @torch.no_grad()
    def lag_attention(self, tokens: Tensor) -> Tensor:
        first = self.attention[0]
        scores = first.scores(first.qkv(self.embed(tokens)), first=tokens.shape[1] - 1)
        return scores[:, :, 0].softmax(dim=-1).mean(dim=0).flip(-1)

    @property
    def attention(self) -> list[Attention]:
        """The attention branch of each layer."""
        return [cast("Layer", layer).attention for layer in self.layers]

    # The protocol `onset.validate.inspection.inspectable.Inspectable`, with `__call__` and `unembed` above.

    @property
    def heads(self) -> tuple[int, ...]:
        return self.shape.heads_of

    @property
    def feed_forward_layers(self) -> tuple[int, ...]:
        return tuple(range(self.shape.layers)) if self.shape.feed_forward else ()

    @property
    def embedding_matrix(self) -> Tensor:
        return self.embedding.weight

    @property
    def unembedding_matrix(self) -> Tensor:
        return self.embedding.weight if self.shape.tied else self.head.weight

    def run_from(self, stream: Tensor, layer: int) -> Tensor:
        return self._run(stream, layer, repeat(None))

    def head_weights(self, layer: int) -> HeadWeights:
        branch = self.attention[layer]
        query, key, value = branch.query_key_value.weight.unflatten(0, (3, branch.heads, -1)).mT
        return HeadWeights(query, key, value, self.output_weights(layer))

    def output_weights(self, layer: int) -> Tensor:
        branch = self.attention[layer]
        return branch.projection.weight.unflatten(1, (branch.heads, -1)).permute(1, 2, 0)

    def queries_keys_values(self, stream: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.attention[layer].qkv(stream).unbind(dim=2)
        return query / math.sqrt(query.shape[-1]), key, value

    @contextmanager
    def hooked(self, activation: str, layer: int, function: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        point = self._point(activation, layer)
        handle = point.register_forward_hook(lambda module, inputs, value: function(value))  # pyright: ignore[reportArgumentType]
        self._hooks += 1
        try:
            yield
        finally:
            self._hooks -= 1
            handle.remove()

    def _point(self, activation: str, layer: int) -> nn.Module:
        if activation == "streams":
            return self.streams[layer]
        if activation == "feed_forwards":
            return cast("FeedForward", cast("Layer", self.layers[layer]).feed_forward).point
        return self.attention[layer].points[activation]

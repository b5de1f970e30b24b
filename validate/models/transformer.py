r"""The attention-only transformer of arXiv 2402.11004 with relative positions.

Per layer: x ← x + proj(heads(LayerNorm(x))), scores A_ij = (q_i·k_j + q_i·r_{i-j}) / √d with one learned vector r per
offset and layer; no absolute positions, no feed-forward; LayerNorm and an untied head at the end; no biases but LayerNorm's.
Dropout on embeddings, attention, residual branch and r. Weights N(0, std²), output projections std / √(2·layers).
The published table of offsets has one row more than a context of T tokens can reach; it is left out here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from theory.setting import Setting

__all__ = ["Transformer"]


PART = 64
"""Sequences at a time whose patterns are held."""


class Dropout(nn.Dropout):
    """Dropout with probability p. On a CPU an entry takes 16 random bits, so p is rounded to 2⁻¹⁶ (and what is kept is
    scaled by the p that results): torch draws them seven times as fast as Bernoulli variables.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.p or input.device.type != "cpu":
            return super().forward(input)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.int16)[: input.numel()].view(input.shape) >= dropped - 2**15
        return input * kept.to(input.dtype).mul_(2**16 / (2**16 - dropped))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, context: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.projection = nn.Linear(width, width, bias=False)
        self.offsets = nn.Parameter(torch.empty(context, width // heads))
        self.dropout: nn.Dropout = Dropout(dropout)
        self.causal: Tensor
        self.register_buffer("causal", torch.full((context, context), -torch.inf).triu(1), persistent=False)

    def pattern(self, query: Tensor, key: Tensor) -> Tensor:
        """Attention of each head, shape (B·heads, T, T)."""
        length = query.shape[1]
        offsets = F.pad(self.dropout(self.offsets)[:length].flip(0), (0, 0, 1, 0))
        by_key = (query @ offsets.T).flatten(1)[:, length:].view(-1, length, length)
        scores = torch.baddbmm(by_key, query, key.transpose(1, 2))
        return scores.add_(self.causal[:length, :length]).softmax(dim=-1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled queries, keys and values of each head, shape (B·heads, T, width/heads)."""
        batch, length, width = x.shape
        parts = self.query_key_value(self.norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).flatten(1, 2)
        return query / math.sqrt(width // self.heads), key, value

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = self.split(x)
        mixed = self.dropout(self.pattern(query, key)) @ value
        joined = mixed.view(batch, self.heads, length, -1).transpose(1, 2).reshape(batch, length, width)
        return x + self.dropout(self.projection(joined))


class Transformer(nn.Module):
    """The transformer that `setting.architecture` describes, over `setting.states` tokens."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        shape = setting.architecture
        if shape is None:
            raise ValueError(
                f"setting of the {setting.family} family has no architecture: expected family = 'transformer'."
            )
        std = setting.initialization["weights"]
        self.embedding = nn.Embedding(setting.states, shape.width)
        self.dropout: nn.Dropout = Dropout(shape.dropout)
        self.layers = nn.ModuleList(
            Attention(shape.width, shape.heads, setting.context, shape.dropout) for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, setting.states, bias=False)
        for name, parameter in self.named_parameters():
            if "norm" not in name:
                nn.init.normal_(parameter, std=std / math.sqrt(2 * shape.layers) if "projection" in name else std)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """One optimiser group; weight decay acts on the linear maps alone, see `decayed`."""
        return {"weights": list(self.parameters())}

    def decayed(self) -> list[Tensor]:
        return [module.weight for module in self.modules() if isinstance(module, nn.Linear)]

    def forward(self, tokens: Tensor) -> Tensor:
        """Next-token logits, shape (B, T, k), for tokens of shape (B, T)."""
        x = self.dropout(self.embedding(tokens))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))

    @torch.no_grad()
    def lag_attention(self, tokens: Tensor) -> Tensor:
        """Layer-1 attention of the last position on each lag, shape (heads, T): mean over `tokens`."""
        first = self.layers[0]
        assert isinstance(first, Attention)
        total = torch.zeros(first.heads, tokens.shape[1], device=tokens.device)
        for part in tokens.split(PART):
            query, key, _ = first.split(self.dropout(self.embedding(part)))
            total = total + first.pattern(query, key)[:, -1].view(len(part), first.heads, -1).sum(dim=0).flip(-1)
        return total / len(tokens)

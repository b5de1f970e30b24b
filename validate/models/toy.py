r"""The two toy families as PyTorch modules.

Layer 1 is one positional head: z_s = Σ_{r<s} a_{s,r} e_{s-r}, a_{s,·} the softmax of the lag logits v over the past of s
(causal: each source normalises over its own past). Layer 2 scores source s from query t by e_tᵀ W z_s, and reads

    linear    f_t = Σ_{s≤t} (e_tᵀ W z_s) e_s
    softmax   f_t = Uᵀ Σ_{s≤t} softmax_s(e_tᵀ W z_s) e_s.

A score depends on t only through the symbol x_t, so running sums over s, one per symbol a query may hold, replace the
T × T matrix of scores; `tests` hold the plain form and compare.

The linear family is the minimal model of arXiv 2402.11004 (released code, with its causal mask applied).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.theory.setting import Setting

__all__ = ["Toy", "ToyModel"]


class ToyModel(nn.Module):
    """What the toy families share: one parameter for each optimiser group, which is a part of its own; nothing is dropped, nothing decays.

    `heads` are the leading dimensions of `lag_logits` (…, T) and `match` (…, k, k); the softmax family has one `readout` (k, k).
    """

    lag_logits: nn.Parameter
    match: nn.Parameter
    readout: nn.Parameter

    def __init__(self, setting: Setting, heads: tuple[int, ...] = ()) -> None:
        super().__init__()
        k, context = setting.task.states, setting.task.context
        shapes = {"lag_logits": (*heads, context), "match": (*heads, k, k), "readout": (k, k)}
        for group, value in setting.model.initialization.items():
            self.register_parameter(group, nn.Parameter(torch.full(shapes[group], value)))
        self.softmax = setting.model.family == "softmax"
        self.states = k

    def group(self, name: str) -> str:
        """Optimiser group of a parameter."""
        return name

    part = group

    def decayed(self) -> set[str]:
        return set()

    def sites(self, batch: int, length: int) -> list[tuple[int, ...]]:
        """Nothing is dropped."""
        return []

    def order_parameters(self) -> dict[str, float]:
        """The mean of each orbit of entries, and the lag logits; named as `onset.theory.dynamics.layout.Layout` does."""
        found: dict[str, float] = {}
        by_head = self.match.ndim > 2
        for name, parameter in self.named_parameters():
            values = parameter.detach().double().cpu().numpy()
            numbered = by_head and name != "readout"
            for head, value in enumerate(values if numbered else values[None], start=1):
                whole = f"{name}_{head}" if numbered else name
                if value.ndim == 2:
                    found[f"{whole}.diagonal"] = float(np.diag(value).mean())
                    found[f"{whole}.off_diagonal"] = float(value[~np.eye(len(value), dtype=bool)].mean())
                else:
                    found |= {f"{whole}.{r}": float(v) for r, v in enumerate(value)}
        return found


class Toy(ToyModel):
    """Linear or softmax family of `setting`: parameters `lag_logits` (T,), `match` (k, k) and, for softmax, `readout` (k, k)."""

    def first_layer(self, length: int) -> Tensor:
        """Layer-1 attention, shape (length, length): row s, column s - r holds a_{s,r}; zero above the diagonal."""
        position = torch.arange(length, device=self.lag_logits.device)
        lag = position[:, None] - position
        logits = self.lag_logits[lag.clamp(min=0)].masked_fill(lag < 0, -torch.inf)
        return logits.softmax(dim=-1)

    def forward(self, tokens: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Next-token logits, shape (B, T, k), for tokens of shape (B, T)."""
        symbols = F.one_hot(tokens, self.states).to(self.match.dtype)
        z = self.first_layer(tokens.shape[1]) @ symbols
        scores = z @ self.match.T
        if self.softmax:
            scores = (scores - self.match.amax(dim=1).detach()).exp()
        running = (scores[..., :, None] * symbols[..., None, :]).cumsum(dim=1)
        read = running.gather(2, tokens[..., None, None].expand(-1, -1, 1, self.states)).squeeze(2)
        if self.softmax:
            read = (read / read.sum(dim=-1, keepdim=True)) @ self.readout
        return read

    @torch.no_grad()
    def lag_attention(self, tokens: Tensor) -> Tensor:
        """Layer-1 attention of the last position on each lag, shape (1, T)."""
        return self.first_layer(tokens.shape[1])[-1:].flip(1)

r"""The two toy families as PyTorch modules.

Layer 1 is one positional head: z_s = Σ_{r<s} a_{s,r} e_{s-r}, a_{s,·} the softmax of the lag logits v over the past of
s (causal: each source normalises over its own past). Layer 2 scores source s from query t by e_tᵀ W z_s, and the logits
are

    linear    f_t = Σ_{s≤t} (e_tᵀ W z_s) e_s
    softmax   f_t = Uᵀ Σ_{s≤t} softmax_s(e_tᵀ W z_s) e_s.

A score depends on t only through the symbol x_t, so running sums over s, one for each symbol that a query may hold,
replace the T × T matrix of scores.

The linear family is the minimal model of arXiv 2402.11004 (released code, with its causal mask applied).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.theory.setting import Setting
from onset.validate.models.model import Model

__all__ = ["Toy", "ToyModel"]


class ToyModel(Model):
    """Common base of the toy families: each parameter is an optimiser group and a part; no dropout, no weight decay.

    `heads` are the leading dimensions of `lag_logits` (…, T) and `match` (…, k, k); `readout` (k, k) belongs to the
    softmax family alone.
    """

    lag_logits: nn.Parameter
    match: nn.Parameter
    readout: nn.Parameter

    def __init__(self, setting: Setting, heads: tuple[int, ...] = ()) -> None:
        super().__init__()
        k, context = setting.task.vocabulary, setting.task.context
        shapes = {"lag_logits": (*heads, context), "match": (*heads, k, k), "readout": (k, k)}
        for group, value in setting.model.initialization.items():
            self.register_parameter(group, nn.Parameter(torch.full(shapes[group], value)))
        self.softmax = setting.model.family == "softmax"
        self.states = k

    def group(self, name: str) -> str:
        return name

    part = group

    def first_layer(self, length: int) -> Tensor:
        """Layer-1 attention, shape (…, length, length): row s, column s - r holds a_{s,r}; zero above the diagonal."""
        position = torch.arange(length, device=self.lag_logits.device)
        lag = position[:, None] - position
        return self.lag_logits[..., lag.clamp(min=0)].masked_fill(lag < 0, -torch.inf).softmax(dim=-1)

    @torch.no_grad()
    def lag_attention(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        return self.first_layer(length)[..., -1, :].flip(-1).reshape(-1, length)

    def order_parameters(self) -> dict[str, float]:
        """Mean of each orbit of entries, and the lag logits, named as in `onset.theory.dynamics.layout.Layout`."""
        means: dict[str, float] = {}
        several = self.match.ndim > 2
        for name, parameter in self.named_parameters():
            values = parameter.detach().double().cpu().numpy()
            numbered = several and name != "readout"
            for head, value in enumerate(values if numbered else values[None], start=1):
                label = f"{name}_{head}" if numbered else name
                if value.ndim == 2:
                    means[f"{label}.diagonal"] = float(np.diag(value).mean())
                    means[f"{label}.off_diagonal"] = float(value[~np.eye(len(value), dtype=bool)].mean())
                else:
                    means |= {f"{label}.{r}": float(v) for r, v in enumerate(value)}
        return means


class Toy(ToyModel):
    """Model of order 2: parameters `lag_logits` (T,), `match` (k, k) and, for the softmax family, `readout` (k, k)."""

    def forward(self, tokens: Tensor, mask_bits: Sequence[Tensor] = ()) -> Tensor:
        symbols = F.one_hot(tokens, self.states).to(self.match.dtype)
        z = self.first_layer(tokens.shape[1]) @ symbols
        scores = z @ self.match.T
        if self.softmax:
            scores = (scores - self.match.amax(dim=1).detach()).exp()
        sums = (scores[..., :, None] * symbols[..., None, :]).cumsum(dim=1)
        logits = sums.gather(2, tokens[..., None, None].expand(-1, -1, 1, self.states)).squeeze(2)
        if self.softmax:
            logits = (logits / logits.sum(dim=-1, keepdim=True)) @ self.readout
        return logits

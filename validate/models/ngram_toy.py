r"""The toy families for chains of order n: n - 1 positional heads in layer 1, one for each symbol that the next one depends on.

Head h shows z^h_s = Σ_{r<s} a^h_{s,r} e_{s-r}, a^h_{s,·} the softmax of its lag logits over the past of s. Layer 2 compares it with a query,
the token itself for the first head and what head h - 1 shows at t for the others:

    score_ts = Σ_h (q^h_t)ᵀ W^h z^h_s,    q^1_t = e_t,    q^h_t = z^{h-1}_t,
    linear    f_t = Σ_{s≤t} score_ts e_s
    softmax   f_t = Uᵀ Σ_{s≤t} softmax_s(score_ts) e_s.

With head h on lag h, softmax scores are products of matches: sources that follow the same n - 1 symbols. The linear family adds them,
and cannot form their product. For n = 2 both are those of `onset.validate.models.toy`. Defined here; the published transformer for n-grams
also has its n - 1 heads in layer 1 only (arXiv 2402.11004, released code).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from onset.theory.setting import Setting
from onset.validate.models.toy import ToyModel

__all__ = ["NgramToy"]


class NgramToy(ToyModel):
    """Linear or softmax family of `setting`: parameters `lag_logits` (heads, T), `match` (heads, k, k) and, for softmax, `readout` (k, k)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, heads=(setting.task.order - 1,))

    def first_layer(self, length: int) -> Tensor:
        """Layer-1 attention of each head, shape (heads, length, length): row s, column s - r holds a_{s,r}; zero above the diagonal."""
        position = torch.arange(length, device=self.lag_logits.device)
        lag = position[:, None] - position
        return self.lag_logits[:, lag.clamp(min=0)].masked_fill(lag < 0, -torch.inf).softmax(dim=-1)

    def forward(self, tokens: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Next-token logits, shape (B, T, k), for tokens of shape (B, T)."""
        symbols = F.one_hot(tokens, self.states).to(self.match.dtype)
        shown = [pattern @ symbols for pattern in self.first_layer(tokens.shape[1])]
        queries = torch.stack([symbols, *shown[:-1]], dim=1) @ self.match
        # Both are summed over heads: one product over heads and symbols together.
        scores = queries.transpose(1, 2).flatten(2) @ torch.stack(shown, dim=2).flatten(2).transpose(1, 2)
        future = torch.ones(scores.shape[1:], dtype=torch.bool, device=tokens.device).triu(1)
        if not self.softmax:
            return scores.masked_fill(future, 0.0) @ symbols
        return scores.masked_fill(future, -torch.inf).softmax(dim=-1) @ symbols @ self.readout

    @torch.no_grad()
    def lag_attention(self, tokens: Tensor) -> Tensor:
        """Layer-1 attention of the last position on each lag, shape (heads, T)."""
        return self.first_layer(tokens.shape[1])[:, -1].flip(-1)

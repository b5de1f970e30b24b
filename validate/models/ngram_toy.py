r"""The toy families for chains of order n: n - 1 positional heads in layer 1, one for each symbol of the history.

Head h computes z^h_s = Σ_{r<s} a^h_{s,r} e_{s-r}, a^h_{s,·} the softmax of its lag logits over the past of s. Layer 2
compares it with a query, the token itself for the first head and the output of head h - 1 at t for the others:

    score_ts = Σ_h (q^h_t)ᵀ W^h z^h_s,    q^1_t = e_t,    q^h_t = z^{h-1}_t,
    linear    f_t = Σ_{s≤t} score_ts e_s
    softmax   f_t = Uᵀ Σ_{s≤t} softmax_s(score_ts) e_s.

With head h on lag h, softmax scores are products of matches: sources that follow the same n - 1 symbols. The linear
family adds the matches and cannot form their product. For n = 2 both are the models of `onset.validate.models.toy`.
Defined here; the published transformer for n-grams also has its n - 1 heads in layer 1 only (arXiv 2402.11004, released
code).
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
    """Model of order n: `lag_logits` (n - 1, T), `match` (n - 1, k, k) and, for softmax, `readout` (k, k)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, heads=(len(setting.task.lags),))

    def forward(self, tokens: Tensor, mask_bits: Sequence[Tensor] = ()) -> Tensor:
        symbols = F.one_hot(tokens, self.states).to(self.match.dtype)
        outputs = [pattern @ symbols for pattern in self.first_layer(tokens.shape[1])]
        queries = torch.stack([symbols, *outputs[:-1]], dim=1) @ self.match
        # Both are summed over heads: one product over heads and symbols together.
        scores = queries.transpose(1, 2).flatten(2) @ torch.stack(outputs, dim=2).flatten(2).transpose(1, 2)
        future = torch.ones(scores.shape[1:], dtype=torch.bool, device=tokens.device).triu(1)
        if not self.softmax:
            return scores.masked_fill(future, 0.0) @ symbols
        return scores.masked_fill(future, -torch.inf).softmax(dim=-1) @ symbols @ self.readout

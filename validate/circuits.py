r"""A transformer's effective order parameters: the lag logits v, the match ω and the read-out μ that a toy model in its place would have.

All are in natural logits, what a softmax takes, on held-out sequences. A toy of the softmax family built as a transformer returns its own.

    lag_logit   v_r of a layer-1 head: the score at lag r less the mean score, at lags of T/2 and more, of the same two symbols; so that what depends
                on the symbols alone does not count.
    match       ω of a head above layer 1, for each layer-1 head: W_ac is the derivative of the scores, queries holding a, by the share of c in what the
                layer-1 head shows at the sources. ω is the contrast of W.
    readout     μ of a head: U_cj is the derivative of logit j by the share of c in what the head attends to. μ is the contrast of U.
    contrast    what the match comes to: by least squares, the score of a source 1 ≤ s < t from query t as a function of the symbols x_{s-1}
                (previous) and x_s (same), apart for each symbol of the query, scores centred within each query; the contrast of the coefficients of each.

The contrast of a k × k matrix is the mean of its diagonal less that of its other entries: W = ωI + c·11ᵀ has ω. Derivatives follow the residual
stream alone, without what branches between make of it: for the head of layer 1 in a model of two layers the read-out is thus the direct one. A share
of c means the mean value vector of sources that hold c. Of a toy with all of layer 1 on lag 1 the contrast on the previous symbol is ω, of
a transformer about ω times the share of lag 1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onset.theory.arrays import Array
from onset.validate.models.transformer import Activations, Attention, Transformer
from onset.validate.probes import MATCHED

__all__ = ["circuits", "contrast", "lag_logits", "matched"]


@torch.no_grad()
def circuits(model: Transformer, seen: Activations) -> dict[str, Tensor]:
    """All of the above in a pass of the model, by the names and with the dimensions of `onset.validate.probes`; NaN where a layer lacks a head."""
    tokens, stream, scores = seen
    branches: list[Attention] = [layer.attention for layer in model.layers]  # type: ignore[misc]
    symbols = F.one_hot(tokens, model.embedding.num_embeddings).to(stream[0].dtype)
    shown = [_shown(branch, x, symbols) for branch, x in zip(branches, stream, strict=False)]
    by_stream = _readout(model, stream[-1])
    heads = [branch.heads for branch in branches]
    places = len(heads), max(heads)
    found = {
        "lag_logit": lag_logits(scores[0], symbols),
        "match": torch.full((heads[0], *places), torch.nan),
        "contrast": torch.full((len(MATCHED), *places), torch.nan),
        "readout": torch.full(places, torch.nan),
    }
    contrasts = matched(torch.cat(scores, dim=1), symbols).split(heads, dim=1)
    for n, branch in enumerate(branches):
        found["contrast"][:, n, : heads[n]] = contrasts[n]
        found["readout"][n, : heads[n]] = contrast(shown[n] @ by_stream)
        if n:
            by_source = _queries(branch, stream[n], symbols)
            found["match"][:, n, : heads[n]] = contrast(by_source @ shown[0][:, None].mT)
    return found


def contrast(matrix: Tensor) -> Tensor:
    """Mean of the diagonal of (..., k, k) less the mean of the other entries."""
    k = matrix.shape[-1]
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return diagonal / k - (matrix.sum(dim=(-2, -1)) - diagonal) / (k * (k - 1))


def lag_logits(scores: Tensor, symbols: Tensor) -> Tensor:
    """v by head and lag, shape (H, T), from scores (B, H, T, T) on one-hot symbols (B, T, k)."""
    batch, heads, length, _ = scores.shape
    position = torch.arange(length, device=scores.device)
    lag = position[:, None] - position
    scores = scores.masked_fill(lag < 0, 0.0)

    def by_pair(entries: Tensor) -> Tensor:
        """Sums over entries (B, H, T, T) whose query holds a and whose source holds c, shape (H, k, k)."""
        return (symbols.mT[:, None] @ entries @ symbols[:, None]).sum(dim=0)

    far = (lag >= length / 2).to(scores.dtype)
    counts = by_pair(far.expand(batch, 1, -1, -1))
    sums = by_pair(scores * far)
    overall = sums.sum(dim=(1, 2), keepdim=True) / counts.sum()
    pair = torch.where(counts > 0, sums / counts.clamp(min=1), overall)
    above = scores.sum(dim=0) - (symbols[:, None] @ pair @ symbols.mT[:, None]).sum(dim=0)
    causal = lag >= 0
    total = above.new_zeros(heads, length).index_add_(1, lag[causal], above[:, causal])
    return total / (batch * (length - position))


def matched(scores: Tensor, symbols: Tensor) -> Tensor:
    """Contrasts of the scores (B, H, T, T) on the previous and on the same symbol, shape (2, H)."""
    length, k = symbols.shape[1:]
    position = torch.arange(length, device=scores.device)
    sources = (position < position[:, None]) & (position > 0)
    own = symbols.double()
    features = torch.cat([F.pad(own[:, :-1], (0, 0, 1, 0)), own], dim=-1) * (position > 0)[:, None]
    number = sources.sum(dim=1).clamp(min=1)[:, None]

    sums = features.cumsum(dim=1) - features
    later = own.sum(dim=1, keepdim=True) - own.cumsum(dim=1)
    gram = _products(later, features) - _products(own / number, sums)
    used = scores.masked_fill(~sources, 0.0).double()
    products = used @ features[:, None] - used.sum(dim=-1, keepdim=True) * (sums / number)[:, None]
    moment = torch.einsum("bta,bhti->ahi", own, products).cpu().numpy()
    coefficients = _least(gram.cpu().numpy(), moment).reshape(k, -1, 2, k)
    return contrast(torch.from_numpy(coefficients).permute(2, 1, 0, 3)).to(scores)


def _products(weight: Tensor, each: Tensor) -> Tensor:
    """Σ weight_a each_i each_j, shape (k, n, n), of (B, T, k) and (B, T, n)."""
    return torch.einsum("nai,nj->aij", (weight[..., :, None] * each[..., None, :]).flatten(0, 1), each.flatten(0, 1))


def _least(gram: Array, moment: Array) -> Array:
    """Least-squares coefficients (a, H, n) of the smallest norm: indicators of symbols sum to one, which leaves constants open."""
    return moment @ np.linalg.pinv(gram, hermitian=True)


def _shown(branch: Attention, x: Tensor, symbols: Tensor) -> Tensor:
    """What each head's attention to a symbol adds to the residual stream, shape (H, k, d): mean over the sources that hold it."""
    share = symbols / symbols.sum(dim=(0, 1)).clamp(min=1)
    values = torch.einsum("btc,bthd->hcd", share, branch.parts(x)[:, :, 2])
    return values @ branch.projection.weight.unflatten(1, (branch.heads, -1)).permute(1, 2, 0)


def _mean_slope(total: Tensor, x: Tensor) -> Tensor:
    """Derivative (d,) of a scalar as every position of x (B, T, d) moves alike."""
    return torch.autograd.grad(total, x, retain_graph=True)[0].sum(dim=(0, 1))


@torch.enable_grad()
def _readout(model: Transformer, x: Tensor) -> Tensor:
    """Derivative (d, k) of the mean logits by the residual stream."""
    x = x.clone().requires_grad_()
    mean = model.read(x).mean(dim=(0, 1))
    return torch.stack([_mean_slope(logit, x) for logit in mean], dim=-1)


@torch.enable_grad()
def _queries(branch: Attention, x: Tensor, symbols: Tensor) -> Tensor:
    """Derivative (H, k, d) of the mean score of each head's queries that hold a symbol, by the residual stream at their sources."""
    x = x.clone().requires_grad_()
    query, key = branch.parts(x)[:, :, :2].unbind(dim=2)
    # Scores are linear in the keys: those of a query's sources may be summed first.
    total = torch.einsum("bta,bthd,bthd->ha", symbols, query.detach(), key.cumsum(dim=1)) / branch.head_width**0.5
    number = (symbols * torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]).sum(dim=(0, 1)).clamp(min=1)
    return torch.stack([torch.stack([_mean_slope(one, x) for one in head]) for head in total / number])

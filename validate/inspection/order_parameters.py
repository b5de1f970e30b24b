r"""Effective order parameters of a transformer: the lag logits v, the match ω and the readout μ that a toy model has.

All are in natural logits, as a softmax takes them, measured on given sequences. A toy model of the softmax family built
as a transformer returns its own.

    lag_logit   v_r of a layer-1 head: the mean score at lag r less the mean score, at lags of T/2 and more, of the same
                two symbols, so that what depends on the symbols alone does not count.
    match       ω of a head above layer 1, for each layer-1 head: contrast of W, W_ac the derivative of the scores of
                queries that hold a by the share of c in the layer-1 head's output at the sources.
    readout     μ of a head: contrast of U, U_cj the derivative of logit j by the share of c in the head's attention.
    contrast    the match as the scores show it: a least-squares fit, for each symbol of the query, of the scores of
                sources 1 ≤ s < t, centred within each query, on the symbols x_{s-1} (previous) and x_s (same); the
                contrast of each of the two matrices of coefficients.

The contrast of a k × k matrix is the mean of its diagonal less that of its other entries: W = ωI + c·11ᵀ has ω.
Derivatives follow the residual stream alone and leave out the layers between: the readout of a layer-1 head in a model
of two layers is its direct one. A share of c means the mean value vector of the sources that hold c. For a toy model
with all of layer 1 on lag 1 the contrast on the previous symbol is ω, for a transformer about ω times the share of
lag 1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onset.theory.arrays import Array
from onset.validate.inspection.inspectable import Activations, Inspectable, by_layer

__all__ = ["contrast", "effective_order_parameters", "lag_logits", "score_contrasts"]


@torch.no_grad()
def effective_order_parameters(model: Inspectable, activations: Activations) -> dict[str, Tensor]:
    """Order parameters on the recorded tokens, with the names and dimensions of `onset.validate.store.probes`.

    NaN where a layer has fewer heads than another. Needs recorded `streams` and `scores`.
    """
    streams, scores = activations.streams, activations.scores
    symbols = F.one_hot(activations.tokens, len(model.embedding_matrix)).to(streams[0].dtype)
    layers = range(len(model.heads))
    writes = [_writes(model, layer, streams[layer], symbols) for layer in layers]
    logit_slopes = _logit_slopes(model, streams[-1])
    matches = [symbols.new_full((model.heads[0], model.heads[0]), torch.nan)]
    for layer in layers[1:]:
        slopes = _score_slopes(model, layer, streams[layer], symbols)
        matches.append(contrast(slopes @ writes[0][:, None].mT).mT)
    contrasts = score_contrasts(torch.cat(scores, dim=1), symbols).mT.split(model.heads)
    return {
        "lag_logit": lag_logits(scores[0], symbols),
        "match": by_layer(matches).permute(2, 0, 1),
        "contrast": by_layer(list(contrasts)).permute(2, 0, 1),
        "readout": by_layer([contrast(write @ logit_slopes) for write in writes]),
    }


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
        """Sums over entries (B, H, T, T) with token a at the query and c at the source, shape (H, k, k)."""
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


def score_contrasts(scores: Tensor, symbols: Tensor) -> Tensor:
    """Contrasts of the scores (B, H, T, T) on the previous and on the same symbol, shape (2, H)."""
    length, k = symbols.shape[1:]
    position = torch.arange(length, device=scores.device)
    sources = (position < position[:, None]) & (position > 0)
    query = symbols.double()
    features = torch.cat([F.pad(query[:, :-1], (0, 0, 1, 0)), query], dim=-1) * (position > 0)[:, None]
    number = sources.sum(dim=1).clamp(min=1)[:, None]

    sums = features.cumsum(dim=1) - features
    later = query.sum(dim=1, keepdim=True) - query.cumsum(dim=1)
    gram = _weighted_gram(later, features) - _weighted_gram(query / number, sums)
    scores = scores.masked_fill(~sources, 0.0).double()
    products = scores @ features[:, None] - scores.sum(dim=-1, keepdim=True) * (sums / number)[:, None]
    moment = torch.einsum("bta,bhti->ahi", query, products).cpu().numpy()
    coefficients = _least_squares(gram.cpu().numpy(), moment).reshape(k, -1, 2, k)
    return contrast(torch.from_numpy(coefficients).permute(2, 1, 0, 3)).to(symbols)


def _weighted_gram(weight: Tensor, features: Tensor) -> Tensor:
    """Σ weight_a x_i x_j, shape (k, n, n), of weights (B, T, k) and features x (B, T, n)."""
    products = (weight[..., :, None] * features[..., None, :]).flatten(0, 1)
    return torch.einsum("nai,nj->aij", products, features.flatten(0, 1))


def _least_squares(gram: Array, moment: Array) -> Array:
    """Least-squares coefficients (a, H, n) of smallest norm, since indicators of symbols sum to one."""
    return moment @ np.linalg.pinv(gram, hermitian=True)


def _writes(model: Inspectable, layer: int, stream: Tensor, symbols: Tensor) -> Tensor:
    """Mean addition of each head to the residual stream as it attends to a symbol, shape (H, k, d)."""
    share = symbols / symbols.sum(dim=(0, 1)).clamp(min=1)
    values = torch.einsum("btc,bthd->hcd", share, model.queries_keys_values(stream, layer)[2])
    return values @ model.head_weights(layer).output


def _mean_slope(total: Tensor, stream: Tensor) -> Tensor:
    """Derivative (d,) of a scalar as every position of the stream (B, T, d) moves alike."""
    return torch.autograd.grad(total, stream, retain_graph=True)[0].sum(dim=(0, 1))


@torch.enable_grad()
def _logit_slopes(model: Inspectable, stream: Tensor) -> Tensor:
    """Derivative (d, k) of the mean logits by the last residual stream."""
    stream = stream.clone().requires_grad_()
    mean = model.unembed(stream).mean(dim=(0, 1))
    return torch.stack([_mean_slope(logit, stream) for logit in mean], dim=-1)


@torch.enable_grad()
def _score_slopes(model: Inspectable, layer: int, stream: Tensor, symbols: Tensor) -> Tensor:
    """Derivative (H, k, d) of the mean score of queries that hold a symbol, by the residual stream at their sources."""
    stream = stream.clone().requires_grad_()
    query, key, _ = model.queries_keys_values(stream, layer)
    # Scores are linear in the keys: those of a query's sources may be summed first.
    total = torch.einsum("bta,bthd,bthd->ha", symbols, query.detach(), key.cumsum(dim=1))
    position = torch.arange(1, stream.shape[1] + 1, device=stream.device)
    number = (symbols * position[:, None]).sum(dim=(0, 1)).clamp(min=1)
    return torch.stack([torch.stack([_mean_slope(mean, stream) for mean in head]) for head in total / number])

r"""Idealised attention patterns, and how much of a model's loss they keep.

A head's scores are replaced by Σ_i c_i f_i with one number c_i a feature, the same for all queries and sources:

    first         f_ts = [s = 1]
    previous      [s = t - 1]
    match         [x_{s-1} = x_t], s ≤ t: what followed an earlier copy of the current token
    longer match  [x_{s-1} = x_t and x_{s-2} = x_{t-1}]

The c_i minimise the mean over queries of KL(pattern ‖ softmax Σ c_i f_i), a convex problem, on sequences other than
those on which losses are compared. With L the loss of the intact model, L₀ that with the output of the heads zero, and
L' that with their scores idealised, the share of the loss gap that the idealised patterns recover is (L₀ - L')/(L₀ -
L). Olsson et al. (arXiv 2209.11895) quote a replication in a model of two layers: exact previous-token attention
recovers about 99%, "first" and "match" about 65% of the induction heads' part, and "longer match" another 10%.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.validate.inspection.inspectable import Head, Inspectable, record
from onset.validate.inspection.losses import position_losses, token_losses
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, PREVIOUS_TOKEN
from onset.validate.judging.intervals import Interval, ratio_interval

__all__ = ["FEATURES", "INDUCTION", "LONGER", "PREVIOUS", "Idealised", "fit", "recovered"]


def _first(tokens: Tensor) -> Tensor:
    return (torch.arange(tokens.shape[1], device=tokens.device) == 0).expand(*tokens.shape, -1)


def _longer(tokens: Tensor) -> Tensor:
    match = PREFIX_MATCHING.targets(tokens)
    longer = torch.zeros_like(match)
    longer[:, 1:, 1:] = match[:, 1:, 1:] & match[:, :-1, :-1]
    return longer


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "first": _first,
    "previous": PREVIOUS_TOKEN.targets,
    "match": PREFIX_MATCHING.targets,
    "longer match": _longer,
}
"""Functions from tokens (B, T) to what holds of query t and source s, bool (B, T, T), by name."""

PREVIOUS, INDUCTION, LONGER = ("previous",), ("first", "match"), ("first", "match", "longer match")
"""Features of an idealised previous-token head, and of idealised induction heads that match one token or two."""

LARGEST = 30.0
"""Largest |c_i|: larger ones change no pattern in single precision."""


@dataclass(frozen=True)
class Idealised:
    """Scores of a head as Σ c_i f_i.

    Attributes
    ----------
    coefficients : mapping of feature to number
        c, in natural logits.
    divergence : float
        Mean over queries of KL(pattern ‖ softmax), nats.
    """

    coefficients: Mapping[str, float]
    divergence: float

    def scores(self, tokens: Tensor) -> Tensor:
        """Scores (B, T, T), also of later sources."""
        return sum(c * FEATURES[name](tokens).float() for name, c in self.coefficients.items())  # type: ignore[return-value]


def fit(patterns: Tensor, tokens: Tensor, features: Sequence[str]) -> Idealised:
    """The idealised scores nearest to the patterns (B, T, T) of a head on tokens (B, T).

    Raises
    ------
    ValueError
        If a feature is unknown.
    """
    values = torch.stack([FEATURES[arguments.one_of("feature", name, FEATURES)](tokens) for name in features], dim=-1)
    values = values.double()
    pattern = patterns.double()
    pattern = pattern / pattern.sum(dim=-1, keepdim=True)  # a learned sink may hold a part
    hidden = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).triu(1)
    observed = torch.einsum("bts,btsi->bti", pattern, values)

    def divergence(c: Array) -> tuple[float, Array]:
        """Mean over queries of the cross-entropy, and its derivative."""
        coefficients = torch.from_numpy(c).to(values)
        scores = (values @ coefficients).masked_fill(hidden, -torch.inf)
        expected = torch.einsum("bts,btsi->bti", scores.softmax(dim=-1), values)
        loss = scores.logsumexp(dim=-1) - observed @ coefficients
        return float(loss.mean()), (expected - observed).mean(dim=(0, 1)).cpu().numpy()

    bounds = [(-LARGEST, LARGEST)] * len(features)
    best = minimize(divergence, np.zeros(len(features)), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    entropy = float(torch.special.entr(pattern).sum(dim=-1).mean())
    return Idealised(dict(zip(features, best.x.tolist(), strict=True)), float(best.fun) - entropy)


@contextmanager
def idealising(model: Inspectable, heads: Mapping[Head, Idealised], tokens: Callable[[], Tensor]) -> Any:
    """Forward passes have the scores of `heads` idealised; `tokens` gives those of the pass."""
    with ExitStack() as hooks:
        for head, idealised in heads.items():

            def replace(scores: Tensor, head: Head = head, idealised: Idealised = idealised) -> Tensor:
                new = idealised.scores(tokens()).to(scores)
                hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
                return scores.select_scatter(new.masked_fill(hidden, -torch.inf), 1, head.head)

            hooks.enter_context(model.hooked("scores", head.layer, replace))
        yield


@torch.no_grad()
def recovered(
    model: Inspectable,
    heads: Sequence[Head],
    features: Sequence[str],
    fitted: Tensor,
    batches: Iterable[Tensor],
    *,
    start: int = 0,
) -> tuple[Interval, dict[Head, Idealised]]:
    """Share of the loss gap that idealised patterns of some heads recover.

    Parameters
    ----------
    model : Inspectable
    heads : sequence of Head
        Heads whose scores are idealised, all at once, and whose outputs are zero for the gap.
    features : sequence of str
        Of `FEATURES`.
    fitted : tensor, shape (B, T)
        Tokens on which the scores are fitted.
    batches : iterable of tensor, shape (B, T)
        Other tokens, on which losses are compared.
    start : int
        Predictions from this one on count, counted from 0.

    Returns
    -------
    Interval, and dict of Head to Idealised
        95% over the sequences, by the linearised ratio of means.

    Raises
    ------
    ValueError
        If zero outputs do not raise the loss: then there is no gap to recover.
    """
    device = model.unembedding_matrix.device
    fitted, batches = fitted.to(device), [batch.to(device) for batch in batches]
    patterns = record(model, fitted, "patterns").patterns
    idealised = {head: fit(patterns[head.layer][:, head.head], fitted, features) for head in heads}
    intact = position_losses(model, batches)[:, start:].mean(axis=1)
    ablated = position_losses(model, batches, heads)[:, start:].mean(axis=1)
    rows = []
    for batch in batches:
        with idealising(model, idealised, lambda batch=batch: batch):
            rows.append(token_losses(model(batch), batch)[:, start:].mean(dim=1).double().cpu())
    kept, gap = ablated - torch.cat(rows).numpy(), ablated - intact
    if gap.mean() <= 0:
        raise ValueError(
            f"ablating these heads changes the loss by {gap.mean():+.3g} nats: expected an increase, of which patterns "
            "can recover a share; choose other heads."
        )
    return ratio_interval(kept, gap), idealised

r"""Loss by position, with heads in place or ablated, and the in-context-learning score.

On sequences x the loss at position t is -ln m(x_{t+1} | x_1 … x_t) in nats. The score of Olsson et al. (arXiv
2209.11895) is the mean loss at a late position less that at an early one: more negative for a model that learns more
from its context. Their positions are 500 and 50; shorter contexts need others, which are always stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from onset.theory.arrays import Array
from onset.validate.inspection.inspectable import Head, Inspectable
from onset.validate.inspection.interventions import Zero, intervene
from onset.validate.judging.intervals import Interval, mean_interval

__all__ = ["EARLY", "LATE", "in_context_score", "position_losses"]

EARLY, LATE = 50, 500
"""Positions of the published score, counted from 1."""


@torch.no_grad()
def position_losses(model: Inspectable, batches: Iterable[Tensor], ablated: Sequence[Head] = ()) -> Array:
    """Losses (n, T - 1) of the next token on sequences in batches (B, T), with the output of some heads zero."""
    rows = []
    with intervene(model, *map(Zero, ablated)):
        for batch in batches:
            tokens = batch.to(model.unembedding_matrix.device)
            logits = model(tokens)[:, :-1].float()
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
            rows.append(loss.reshape(len(tokens), -1).double().cpu())
    return torch.cat(rows).numpy()


def in_context_score(losses: Array, early: int = EARLY, late: int = LATE) -> Interval:
    """Mean loss at position `late` less that at `early`, with its interval over sequences.

    Parameters
    ----------
    losses : array, shape (n, T - 1)
    early, late : int
        Positions of the predicted tokens, counted from 1 to T - 1.

    Raises
    ------
    ValueError
        Unless 1 ≤ early < late ≤ T - 1.
    """
    if not 1 <= early < late <= losses.shape[1]:
        raise ValueError(
            f"positions = {early}, {late}: expected 1 ≤ early < late ≤ {losses.shape[1]}, the predictions of a "
            "sequence."
        )
    return mean_interval(losses[:, late - 1] - losses[:, early - 1])

r"""Loss by token and by position, with heads in place or ablated, and what is read from it.

On sequences x the loss at position t is -ln m(x_{t+1} | x_1 … x_t) in nats.

    in-context-learning score   mean loss at a late position less that at an early one (Olsson et al.,
                                arXiv 2209.11895): more negative for a model that learns more from its context. Their
                                positions are 500 and 50; shorter contexts need others, which are always stated.
    derivative map              ∂ loss(step, position)/∂ ln position, over the steps of a training run
    before-and-after            with u the unit vector along the change of the losses of given tokens over some stage of
      attribution               training, u · (losses with a head ablated - losses): negative where the ablation undoes
                                the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onset.theory.arrays import Array
from onset.theory.estimates import SEQUENCES
from onset.validate.inspection.in_context import EARLY, LATE
from onset.validate.inspection.inspectable import Head, Inspectable
from onset.validate.inspection.interventions import Zero, intervene
from onset.validate.judging.intervals import Interval, mean_interval

__all__ = [
    "before_and_after",
    "derivative_map",
    "in_context_score",
    "position_losses",
    "token_losses",
]


def token_losses(logits: Tensor, tokens: Tensor) -> Tensor:
    """Losses (B, T - 1) of tokens (B, T) but the first, from logits (B, T, vocabulary); at least single precision."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    loss = F.cross_entropy(wide[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return loss.reshape(len(tokens), -1)


@torch.no_grad()
def position_losses(model: Inspectable, batches: Iterable[Tensor], ablated: Sequence[Head] = ()) -> Array:
    """Losses (n, T - 1) of the next token on sequences in batches (B, T), with the output of some heads zero."""
    rows = []
    with intervene(model, *map(Zero, ablated)):
        for batch in batches:
            tokens = batch.to(model.unembedding_matrix.device)
            rows.append(token_losses(model(tokens), tokens).double().cpu())
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
    return mean_interval(losses[:, late - 1] - losses[:, early - 1], SEQUENCES)


def derivative_map(losses: Array) -> Array:
    """∂ loss/∂ ln position of losses (…, T) by position, which are counted from 1; second order inside, one-sided at
    the ends."""
    return np.gradient(losses, np.log(np.arange(1, losses.shape[-1] + 1)), axis=-1)


def before_and_after(before: Array, after: Array, ablated: Array) -> Array:
    """Before-and-after attribution in nats.

    Parameters
    ----------
    before, after : array, shape (n,)
        Losses of the same tokens before and after some stage of training.
    ablated : array, shape (…, n)
        Losses of these tokens after it with a head ablated.

    Returns
    -------
    array, shape (…)

    Raises
    ------
    ValueError
        If no loss has changed.
    """
    change = after - before
    length = float(np.linalg.norm(change))
    if length == 0:
        raise ValueError("losses before and after are equal: expected a stage of training in which they change.")
    return (ablated - after) @ (change / length)

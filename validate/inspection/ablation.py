"""Losses with the output of heads zero: of chosen heads beside others of their layers, and of every head alone.

Every head alone (`each_head_ablated`) starts from the stored residual stream before its layer: L layers of H heads take
about HL(L + 1)/2 evaluations of a layer where whole forward passes take HL². With patterns preserved, those of the
intact model are forced in the other layers, so that an ablation changes values alone (Olsson et al., arXiv 2209.11895).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onset.theory.arrays import Array
from onset.theory.estimates import SEQUENCES
from onset.theory.recording import Progress
from onset.validate.inspection.inspectable import Head, Inspectable, by_layer, record
from onset.validate.inspection.interventions import Zero, intervene, preserved_patterns
from onset.validate.inspection.losses import position_losses, token_losses
from onset.validate.inspection.measuring import BATCH_TOKENS
from onset.validate.inspection.scores.patterns import TWICE
from onset.validate.inspection.sequences import Pool, Recipe
from onset.validate.judging.intervals import Interval, mean_interval

__all__ = ["RepeatLoss", "each_head_ablated", "losses_on_repeats", "matched_heads"]

CONTROLS = 3
"""Random sets of other heads beside the ones that are ablated."""


@dataclass(frozen=True)
class RepeatLoss:
    """Loss on two copies of random tokens with some heads ablated, in nats per token.

    Attributes
    ----------
    what : str
        "none", "these" or "others", the latter random heads of the same layers.
    heads : tuple of Head
    first, second : Interval
        Over the sequences: loss of the tokens of the first copy but its first one, and of the second copy but its
        first, which nothing announces.
    """

    what: str
    heads: tuple[Head, ...]
    first: Interval
    second: Interval

    def to_dict(self) -> dict[str, Any]:
        copies = {"first copy": self.first, "second copy": self.second}
        values = {name: {"loss": value.value, "low": value.low, "high": value.high} for name, value in copies.items()}
        return {"ablated": self.what, "heads": [str(head) for head in self.heads]} | values


def losses_on_repeats(
    model: Inspectable,
    pool: Pool,
    heads: Sequence[Head],
    *,
    recipe: Recipe = TWICE,
    sequences: int = 16,
    seed: int = 0,
    progress: Progress = lambda step, steps: None,
) -> list[RepeatLoss]:
    """Losses without ablation, with `heads` ablated, and with other heads of the same layers ablated.

    Parameters
    ----------
    model : Inspectable
    pool : Pool
    heads : sequence of Head
        At least one.
    recipe : Recipe
        With two copies.
    sequences, seed : int
        Of random sequences, the same for all ablations.

    Raises
    ------
    ValueError
        If sequences cannot be drawn, or the model lacks a head.
    """
    generator = np.random.default_rng(seed)
    batches = [tokens for tokens, _ in recipe.batches(pool, sequences, generator, tokens=BATCH_TOKENS)]
    sets = [("none", ()), ("these", tuple(heads))]
    others = (matched_heads(heads, model.heads, generator) for _ in range(CONTROLS))
    sets += [("others", chosen) for chosen in dict.fromkeys(others) if chosen]
    results = []
    for done, (what, chosen) in enumerate(sets):
        losses = position_losses(model, batches, chosen)
        # Predictions 0 … T - 2; that of the second copy's first token stands between.
        start = recipe.tokens + recipe.first
        first, second = losses[:, : start - 1], losses[:, start:]
        copies = (mean_interval(losses.mean(axis=1), SEQUENCES) for losses in (first, second))
        results.append(RepeatLoss(what, chosen, *copies))
        progress(done + 1, len(sets))
    return results


def matched_heads(heads: Sequence[Head], counts: Sequence[int], generator: np.random.Generator) -> tuple[Head, ...]:
    """As many random other heads of each layer as `heads` has there, or all others where there are fewer."""
    chosen = []
    for layer in sorted({head.layer for head in heads}):
        taken = {head.head for head in heads if head.layer == layer}
        free = [head for head in range(counts[layer]) if head not in taken]
        drawn = generator.choice(free, size=min(len(taken), len(free)), replace=False) if free else []
        chosen += [Head(layer, int(head)) for head in sorted(drawn)]
    return tuple(chosen)


@torch.no_grad()
def each_head_ablated(
    model: Inspectable,
    batches: Iterable[Tensor],
    read: Callable[[Tensor], Tensor] = lambda losses: losses,
    *,
    preserve_patterns: bool = False,
    progress: Progress = lambda step, steps: None,
) -> tuple[Array, Array]:
    """What is read from the losses of sequences, intact and with the output of each head zero.

    Parameters
    ----------
    model : Inspectable
    batches : iterable of tensor, shape (B, T)
    read : callable
        From losses (B, T - 1) to what is kept of them, (B, …).
    preserve_patterns : bool
        Whether the patterns of the other layers are those of the intact model.
    progress : callable
        Called with the layers done and in total.

    Returns
    -------
    array, shape (n, …), and array, shape (layers, most heads of a layer, n, …)
        NaN where a layer has fewer heads.
    """
    intact: list[Tensor] = []
    ablated: list[Tensor] = []
    batches = list(batches)
    layers = len(model.heads)
    for number, batch in enumerate(batches):
        tokens = batch.to(model.unembedding_matrix.device)
        recorded = record(model, tokens, "streams", "logits", *(["patterns"] if preserve_patterns else []))
        intact.append(read(token_losses(recorded.logits, tokens)))  # type: ignore[arg-type]
        by_head = []
        for layer, (heads, stream) in enumerate(zip(model.heads, recorded.streams, strict=False)):
            kept = preserved_patterns(recorded)[layer + 1 :]
            values = []
            for head in range(heads):
                with intervene(model, Zero(Head(layer, head)), *kept):
                    values.append(read(token_losses(model.run_from(stream, layer), tokens)))
            by_head.append(torch.stack(values))
            progress(number * layers + layer + 1, len(batches) * layers)
        ablated.append(by_layer(by_head))
    return torch.cat(intact).double().cpu().numpy(), torch.cat(ablated, dim=2).double().cpu().numpy()

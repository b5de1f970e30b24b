"""A text read through a language model: tokens, loss by position with and without some heads, attention of heads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from onset.theory import arguments
from onset.theory.estimates import SEQUENCES
from onset.validate.inspection.ablation import CONTROLS, matched_heads
from onset.validate.inspection.in_context import in_context_positions
from onset.validate.inspection.inspectable import Head, Inspectable
from onset.validate.inspection.losses import in_context_score, position_losses
from onset.validate.inspection.measuring import BATCH_TOKENS
from onset.validate.judging.intervals import mean_interval

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["LONGEST", "TextSample", "attention", "losses_of_text", "read_text"]

LONGEST = 512
"""Tokens of a piece of a text, where the model takes so many: enough for the published in-context-learning score."""


@dataclass(frozen=True)
class TextSample:
    """Pieces of a text as tokens.

    Attributes
    ----------
    source : str
    tokens : tensor, shape (n, T)
    shown : tuple of str
        Text of each token of the first piece.
    description : str
        What the model is shown.
    """

    source: str
    tokens: Tensor
    shown: tuple[str, ...]
    description: str


def read_text(path: Path, model: LanguageModel, *, pieces: int = 16, length: int = LONGEST) -> TextSample:
    """A file's text in pieces of `length` tokens, spread evenly, each after the model's first token if it has one.

    Parameters
    ----------
    path : Path
        UTF-8 text.
    model : LanguageModel
    pieces : int
        Most pieces.
    length : int
        Tokens of a piece, with the first one; less where the model or the text has less.

    Raises
    ------
    ValueError
        If the file cannot be read, is too short, or the model has no tokenizer.
    """
    if model.tokenizer is None:
        raise ValueError(f"text {path}: model {model.name} has no tokenizer, so texts cannot be given.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not UTF-8"
        raise ValueError(f"text {path}: cannot be read ({reason}); expected a text file.") from problem
    # The tokenizer's warning about long texts is about the model; pieces fit it.
    ids = np.array(model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64)
    first = [] if model.pool.first is None else [model.pool.first]
    size = min(length, model.context or length) - len(first)
    size = min(size, len(ids))
    if size < 2:
        raise ValueError(f"text {path}: {len(ids)} tokens; expected at least 2.")
    number = min(arguments.integer("pieces", pieces, least=1), len(ids) // size)
    starts = np.linspace(0, len(ids) - size, number).astype(int)
    rows = torch.tensor([[*first, *ids[start : start + size].tolist()] for start in starts])
    shown = tuple(model.tokenizer.decode([token]) for token in rows[0].tolist())
    before = f", each after the token {model.tokenizer.convert_ids_to_tokens(first[0])!r}" if first else ""
    description = f"{number} pieces of {size:,} of the text's {len(ids):,} tokens{before}"
    return TextSample(path.name, rows, shown, description)


def losses_of_text(
    model: Inspectable,
    sample: TextSample,
    heads: Sequence[Head],
    positions: tuple[int, int] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Loss by position and in-context-learning score of a text, intact and with heads ablated, as plain data.

    Parameters
    ----------
    model : Inspectable
    sample : TextSample
    heads : sequence of Head
        Heads whose outputs are zero, beside random other heads of their layers; none are ablated if there are none.
    positions : (int, int), optional
        Of the in-context-learning score; by default those of `in_context_positions`.
    seed : int
        Of the other heads.
    """
    early, late = positions or in_context_positions(sample.tokens.shape[1] - 1)
    batches = sample.tokens.split(max(1, BATCH_TOKENS // sample.tokens.shape[1]))
    generator = np.random.default_rng(seed)
    sets = [("none", ())]
    if heads:
        others = (matched_heads(heads, model.heads, generator) for _ in range(CONTROLS))
        sets += [("these", tuple(heads)), *(("others", chosen) for chosen in dict.fromkeys(others) if chosen)]
    rows = []
    for what, chosen in sets:
        losses = position_losses(model, batches, chosen)
        score, mean = in_context_score(losses, early, late), mean_interval(losses.mean(axis=1), SEQUENCES)
        rows.append(
            {
                "ablated": what,
                "heads": [str(head) for head in chosen],
                "by_position": losses.mean(axis=0).tolist(),
                "loss": {"value": mean.value, "low": mean.low, "high": mean.high},
                "in_context_score": {"value": score.value, "low": score.low, "high": score.high},
            }
        )
    return {"positions": [early, late], "rows": rows}


@torch.no_grad()
def attention(model: Inspectable, tokens: Tensor, heads: Sequence[Head]) -> dict[str, Tensor]:
    """Patterns (T, T) of some heads on tokens (T,), by head."""
    layers: dict[int, list[Tensor]] = {head.layer: [] for head in heads}
    with ExitStack() as hooks:
        for layer, kept in layers.items():
            hooks.enter_context(model.hooked("patterns", layer, kept.append))
        model(tokens[None].to(model.unembedding_matrix.device))
    return {str(head): layers[head.layer][0][0, head.head].float().cpu() for head in heads}

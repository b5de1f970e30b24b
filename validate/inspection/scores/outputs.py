r"""Scores of what heads write: the logits that a head raises, of the tokens that its sequence holds.

A head's output o_t W_O changes the last residual stream x_t, and so the logit of token j, to first order by

    R_tj = g_tj · o_t W_O,    g_tj = ∂ logit_j/∂x_t,

with the derivative of the last norm at the model's own stream. Only the sequence's n distinct tokens are looked at.
With r the positive part of R less its mean over these tokens, and A the head's pattern,

    copying            2 Σ_s A_ts r_t(x_s)/Σ_j r_tj - 1, mean over t, in [-1, 1]; by chance 2/n - 1
    logit attribution  R at the token that comes next, less the mean over the n tokens, mean over the queries that have
                       an earlier copy; in natural logits; by chance 0.

Bansal et al. take the softmax of o_t W_O U without any norm, over the tokens seen so far, in place of R, and the share
of the most attended token; their released code takes the value of the query itself in place of the head's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.inspection.inspectable import Inspectable
from onset.validate.inspection.scores.patterns import BANSAL, OLSSON, REPEATED
from onset.validate.inspection.sequences import Recipe, Sequences

__all__ = ["OUTPUT_SCORES", "OutputScore", "Written", "logit_gradients"]


@dataclass(frozen=True)
class Written:
    """What the heads of a layer write on tokens (B, T), for the n distinct tokens of each sequence.

    Attributes
    ----------
    tokens : tensor, shape (B, T)
    index : tensor, shape (B, T)
        Which of its sequence's distinct tokens stands at a position.
    number : int
        n.
    pattern : tensor, shape (B, H, T, T)
    raised, plain, own : callable
        Logits (B, H, T, n): R; those without the last norm; those of the query's own value without the last norm.
    """

    tokens: Tensor
    index: Tensor
    number: int
    pattern: Tensor
    raised: Callable[[], Tensor]
    plain: Callable[[], Tensor]
    own: Callable[[], Tensor]


@dataclass(frozen=True)
class OutputScore:
    """A score of head outputs: `measure` gives it for each sequence and head, shape (B, H)."""

    name: str
    definition: str
    source: str
    measure: Callable[[Written], Tensor]
    chance: Callable[[int], float]
    recipe: Sequences = REPEATED
    normalisation: str = "mean over all queries"
    by_content: bool = False
    unit: str = "share"
    level: float = FORMATION_LEVEL

    @property
    def shown(self) -> str:
        """What a language model is shown."""
        return self.recipe.description


def _copying(written: Written) -> Tensor:
    raised = written.raised()
    positive = (raised - raised.mean(dim=-1, keepdim=True)).relu()
    at_source = positive.gather(-1, _sources(written))
    total = positive.sum(dim=-1)
    share = (written.pattern * at_source).sum(dim=-1) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return (2 * share - 1).mean(dim=-1)


def _sources(written: Written) -> Tensor:
    """Index of the token at each source, for every head and query, shape (B, H, T, T)."""
    batch, heads, length, _ = written.pattern.shape
    return written.index[:, None, None, :].expand(batch, heads, length, length)


def _attribution(written: Written) -> Tensor:
    raised, index = written.raised(), written.index
    above = raised - raised.mean(dim=-1, keepdim=True)
    earlier = (written.tokens[:, :, None] == written.tokens[:, None]).tril(-1).any(dim=-1)[:, :-1]
    following = index[:, None, 1:, None].expand(-1, raised.shape[1], -1, 1)
    at_next = above[:, :, :-1].gather(-1, following)[..., 0]
    return (at_next * earlier[:, None]).sum(dim=-1) / earlier.sum(dim=-1)[:, None].clamp(min=1)


def _most_attended(logits: Tensor, written: Written) -> Tensor:
    """Share of the most attended token in the softmax over the tokens seen so far, less its mean and where positive."""
    length = written.index.shape[1]
    position = torch.arange(length, device=logits.device)
    first = torch.full((len(written.index), written.number), length, device=logits.device)
    first = first.scatter_reduce(1, written.index, position.expand_as(written.index), "amin")
    unseen = (first[:, None] > position[:, None])[:, None]
    share = logits.masked_fill(unseen, -torch.inf).softmax(dim=-1)
    mean = share.sum(dim=-1, keepdim=True) / (~unseen).sum(dim=-1, keepdim=True)
    positive = (share - mean).relu().masked_fill(unseen, 0.0)
    attended = _sources(written).gather(-1, written.pattern.argmax(dim=-1, keepdim=True))
    total = positive.sum(dim=-1)
    value = positive.gather(-1, attended)[..., 0] / total.clamp(min=torch.finfo(total.dtype).tiny)
    return value[..., 1:].mean(dim=-1)


_LONG = Recipe(4 * 25, first=True, longest=4 * 223, trimmed=0.04)

COPYING_OUTPUTS = OutputScore(
    "copying, outputs",
    "share of the logits that a head raises, among its sequence's tokens, which belongs to those it attends to, "
    "weighted by its attention and rescaled to [-1, 1]",
    OLSSON,
    _copying,
    lambda number: 2 / number - 1,
    Recipe(25, first=True),
)

LOGIT_ATTRIBUTION = OutputScore(
    "logit attribution",
    "logit of the next token that a head adds directly, above the mean over its sequence's tokens, where the current "
    "token has an earlier copy",
    "Elhage et al., A Mathematical Framework for Transformer Circuits (2021)",
    _attribution,
    lambda number: 0.0,
    normalisation="mean over the queries that have an earlier copy",
    by_content=True,
    unit="logits",
)

OUTPUT_SCORES = (
    COPYING_OUTPUTS,
    LOGIT_ATTRIBUTION,
    OutputScore(
        "copying, most attended",
        "share of the most attended token in what the softmax of a head's output raises among the tokens seen so far",
        BANSAL,
        lambda written: _most_attended(written.plain(), written),
        lambda number: 1 / number,
        _LONG,
        "mean over all queries but the first",
    ),
    OutputScore(
        "copying, released",
        "as above, with the value of the query itself in place of the head's output",
        f"{BANSAL}, released code",
        lambda written: _most_attended(written.own(), written),
        lambda number: 1 / number,
        _LONG,
        "mean over all queries but the first",
    ),
)
"""Scores of outputs, by what they are called here."""


def logit_gradients(model: Inspectable, stream: Tensor, chosen: Tensor) -> Tensor:
    """Derivatives (B, T, n, d) of the logits of tokens `chosen` (B, n) by the last residual stream (B, T, d)."""
    unembedding = model.unembedding_matrix.detach()
    with torch.enable_grad():
        stream = stream.detach().requires_grad_()
        normalised = model.normalise(stream)
        gradients = []
        for tokens in chosen.T:
            total = (normalised * unembedding[tokens][:, None]).sum()
            gradients.append(torch.autograd.grad(total, stream, retain_graph=True)[0])
    return torch.stack(gradients, dim=2)

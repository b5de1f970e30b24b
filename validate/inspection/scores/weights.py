r"""Scores of weights alone, over random tokens of the vocabulary: copying, OV eigenvalues, QK trace.

They need no sequence: each draw takes a random half of the tokens, at most `MOST_TOKENS`. The control of a score is the
same statistic with the tokens of one side permuted, so that no token is matched with itself but by chance. Definitions:
`onset.validate.inspection.circuits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.inspection.circuits import Circuits, ov_eigenvalues, qk_traces
from onset.validate.inspection.inspectable import by_layer
from onset.validate.inspection.scores.patterns import OLSSON

__all__ = ["LEAST_TOKENS", "MOST_TOKENS", "WEIGHT_SCORES", "WeightScore", "Weights"]

LEAST_TOKENS, MOST_TOKENS = 4, 4096
"""Fewest and most tokens of a draw, if there are as many."""

SET = 25
"""Tokens of a set in which copying is measured: those of the sequences of Olsson et al."""


class Weights(NamedTuple):
    """Weights of a model over some tokens, and `circuits.previous_keys` by its heads' previous-token scores."""

    circuits: Circuits
    previous_keys: Sequence[Tensor]


@dataclass(frozen=True)
class WeightScore:
    """A score of weights.

    Attributes
    ----------
    name, definition, source : str
    measure : callable
        From weights and a generator of random numbers to the score and its control in one draw, each of shape (layers,
        most heads of a layer).
    unit : str
    level : float
        By how much the score has to exceed its control.
    needs_previous_token : bool
        Whether it weighs heads by their previous-token scores.
    """

    name: str
    definition: str
    source: str
    measure: Callable[[Weights, np.random.Generator], tuple[Tensor, Tensor]]
    unit: str = "share"
    level: float = FORMATION_LEVEL
    needs_previous_token: bool = False
    normalisation: str = "weights without norms"
    shown: str = f"no sequence; a random half of the tokens, at most {MOST_TOKENS:,}, in each draw"


def _eigenvalues(weights: Weights, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    permutation = _permutation(weights, generator)
    return ov_eigenvalues(weights.circuits), ov_eigenvalues(weights.circuits, permutation)


def _traces(weights: Weights, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    value, control = qk_traces(weights.circuits, weights.previous_keys, _permutation(weights, generator))
    return value, control


def _permutation(weights: Weights, generator: np.random.Generator) -> Tensor:
    embedding = weights.circuits.embedding
    return torch.from_numpy(generator.permutation(len(embedding))).to(embedding.device)


def _copying(weights: Weights, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Of a random set of tokens; for the control, of the next token of the set in place of the token itself."""
    circuits = weights.circuits
    size = min(SET, len(circuits.embedding))
    drawn = generator.choice(len(circuits.embedding), size, replace=False)
    chosen = torch.from_numpy(drawn).to(circuits.embedding.device)
    embedding, unembedding = circuits.embedding[chosen].double(), circuits.unembedding[chosen].double()
    values, controls = [], []
    for heads in circuits.heads:
        effect = (embedding @ heads.value) @ (heads.output @ unembedding.T)
        raised = (effect - effect.mean(dim=-1, keepdim=True)).relu()
        total = raised.sum(dim=(-2, -1)).clamp(min=torch.finfo(raised.dtype).tiny)
        for row, shifted in ((values, raised), (controls, raised.roll(1, dims=-1))):
            row.append(2 * shifted.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / total - 1)
    return by_layer(values), by_layer(controls)


WEIGHT_SCORES = (
    WeightScore(
        "copying, weights",
        f"share of the logits that a head's weights raise, among {SET} random tokens, which belongs to the attended "
        "token, rescaled to [-1, 1]",
        OLSSON,
        _copying,
    ),
    WeightScore(
        "OV eigenvalues",
        "sum of the eigenvalues of what attending to a token adds to each logit, over the sum of their sizes: 1 copies "
        "all directions",
        OLSSON,
        _eigenvalues,
    ),
    WeightScore(
        "QK trace",
        "what earlier previous-token heads add to the score of a source that follows the query's own token, above that "
        "of other tokens, in standard deviations over pairs of tokens",
        f"after {OLSSON}, normalised",
        _traces,
        unit="deviations",
        level=1.0,
        needs_previous_token=True,
    ),
)
"""Scores of weights."""

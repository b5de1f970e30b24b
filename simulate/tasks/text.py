"""Natural text: chunks of documents, the token that comes next, and the laws of the strategies on them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from onset.simulate.language.encoded import Encoded, Part, of_task
from onset.simulate.strategies.laws import TRUE, SparseLaws
from onset.simulate.tasks.repeated_segments import latest_successors
from onset.simulate.tasks.sampler import Sampler, register
from onset.theory import arguments
from onset.theory.arrays import Array, Tokens
from onset.theory.language.text import Text

__all__ = ["Chunks", "TextSampler"]

FITTED = 2048
"""Chunks on which the share of the successor is fitted."""


class Chunks(NamedTuple):
    """Tokens (n, T + 1) of chunks."""

    tokens: Tokens


@register(Text)
class TextSampler(Sampler[Text, Chunks]):
    """Sampler of natural text."""

    @cached_property
    def _encoded(self) -> Encoded:
        return of_task(self.task)

    def sample(self, count: int, generator: np.random.Generator) -> Chunks:
        return self._drawn(self._encoded.train, count, generator)

    def held_out(self, count: int, generator: np.random.Generator) -> Chunks:
        return self._drawn(self._encoded.held_out, count, generator)

    def _drawn(self, part: Part, count: int, generator: np.random.Generator) -> Chunks:
        """Chunks with equal probability for each place where one fits into a document."""
        count, length = arguments.integer("count", count, least=1), self.task.context + 1
        starts = part.starts(length)
        if not starts[-1]:
            raise ValueError(
                f"task {self.task.label}: no document has {length} tokens, T + 1; give a shorter context or longer "
                "documents."
            )
        drawn = generator.integers(starts[-1], size=count)
        document = np.searchsorted(starts, drawn, side="right")
        begins = np.concatenate([[0], part.ends])[document]
        first = begins + drawn - np.concatenate([[0], starts])[document]
        tokens = part.tokens[first[:, None] + np.arange(length)].astype(np.int32)
        return Chunks(generator.permuted(tokens, axis=1) if self.task.shuffled else tokens)

    def laws(self, sample: Chunks) -> SparseLaws:
        task, tokens = self.task, sample.tokens.astype(np.int64)
        successors = latest_successors(tokens, task.vocabulary)
        none = np.zeros_like(successors)
        atoms = np.stack([none, none, np.maximum(successors, 0), tokens[:, 1:]])
        empty: Array = np.zeros(successors.shape)
        weights: Array = np.stack([empty, empty, self._share * (successors >= 0), empty + 1]).astype(np.float64)
        even = np.full(task.vocabulary, 1 / task.vocabulary)
        background = np.stack([even, *[self._encoded.frequencies] * 3])
        return SparseLaws((*task.strategies, TRUE), atoms[..., None], weights[..., None], 1 - weights, background)

    def masks(self, sample: Chunks) -> dict[str, NDArray[np.bool_]]:
        return {"unseen": latest_successors(sample.tokens, self.task.vocabulary) < 0}

    @cached_property
    def _share(self) -> float:
        """w: the share that makes the loss on the documents that are trained on smallest."""
        tokens = self.sample(FITTED, np.random.default_rng(0)).tokens
        successors, following = latest_successors(tokens, self.task.vocabulary), tokens[:, 1:]
        there = successors >= 0
        right, unigram = (successors == following)[there], self._encoded.frequencies[following[there]]

        def loss(share: float) -> float:
            return -float(np.log(share * right + (1 - share) * unigram).mean())

        best: Any = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded")
        return float(best.x)

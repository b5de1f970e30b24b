"""Repeated random segments: sampled sequences, true laws, and the law of the latest earlier copy's successor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onset.simulate.compiling import njit
from onset.simulate.strategies.laws import TRUE, SparseLaws
from onset.simulate.tasks.sampler import Sampler, register, token_type
from onset.theory import arguments
from onset.theory.arrays import Array, Tokens
from onset.theory.repeats.segments import RepeatedSegments

__all__ = ["SegmentSample", "SegmentSampler", "latest_successors"]


class SegmentSample(NamedTuple):
    """Sequences, and the length of each one's segment.

    Attributes
    ----------
    tokens : integer array, shape (n, T + 1)
    length : integer array, shape (n,)
    """

    tokens: Tokens
    length: NDArray[np.int64]


@register(RepeatedSegments)
class SegmentSampler(Sampler[RepeatedSegments, SegmentSample]):
    """Sampler of repeated segments."""

    def sample(self, count: int, generator: np.random.Generator) -> SegmentSample:
        task, count = self.task, arguments.integer("count", count, least=1)
        length = generator.integers(task.shortest, task.longest, size=count, endpoint=True)
        segment = generator.integers(task.vocabulary, size=(count, task.longest), dtype=token_type(task.vocabulary))
        place = np.arange(task.context + 1) % length[:, None]
        return SegmentSample(np.take_along_axis(segment, place, axis=1), length)

    def laws(self, sample: SegmentSample) -> SparseLaws:
        task, (count, size) = self.task, sample.tokens.shape
        successors = latest_successors(sample.tokens, task.vocabulary)
        # A successor of probability c beside a background that the successor has a share of as well.
        share = (task.reliability - 1 / task.vocabulary) / (1 - 1 / task.vocabulary)
        repeats = np.arange(1, size) >= sample.length[:, None]
        tokens = np.stack([np.zeros_like(successors), np.maximum(successors, 0), sample.tokens[:, 1:]])
        weights: Array = np.stack([np.zeros((count, size - 1)), share * (successors >= 0), repeats]).astype(np.float64)
        background = np.full((3, task.vocabulary), 1 / task.vocabulary)
        names = (*task.strategies, TRUE)
        return SparseLaws(names, tokens.astype(np.int64)[..., None], weights[..., None], 1 - weights, background)

    def masks(self, sample: SegmentSample) -> dict[str, NDArray[np.bool_]]:
        return {"unseen": latest_successors(sample.tokens, self.task.vocabulary) < 0}


def latest_successors(tokens: Tokens, vocabulary: int) -> NDArray[np.int64]:
    """What followed the latest earlier copy of the current token, shape (n, T), of sequences (n, T + 1); -1 if none."""
    successors = np.full((len(tokens), tokens.shape[1] - 1), -1, dtype=np.int64)
    _latest_successors(np.ascontiguousarray(tokens).astype(np.int64), np.empty(vocabulary, np.int64), successors)
    return successors


@njit(cache=True)
def _latest_successors(tokens, last, successors):
    count, positions = successors.shape
    for n in range(count):
        last[:] = -1
        for t in range(positions):
            token = tokens[n, t]
            if last[token] >= 0:
                successors[n, t] = tokens[n, last[token] + 1]
            last[token] = t

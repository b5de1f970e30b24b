"""Monte-Carlo losses of the ideal strategies, with standard errors, streamed in chunks of constant memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from onset.simulate.tasks import sampler
from onset.theory import arguments, costs, randomness
from onset.theory.arrays import Array
from onset.theory.setting import Setting

__all__ = ["Estimate", "strategy_losses"]

CHUNK = 2048
"""Most sequences sampled at a time."""

CHUNK_ENTRIES = 2**26
"""Most probabilities, of all laws together, that a chunk holds (1 GiB in all): at long contexts it has fewer sequences.
"""

DENSE_VOCABULARY = 256
"""Vocabulary above which laws are taken to be sparse, with this many numbers at a position."""

BYTES_PER_ENTRY, BYTES_PER_POSITION = 14, 110
"""For each of a sequence's probabilities with their logarithms and products, and besides for each token (measured)."""

SECONDS_PER_ENTRY = 2e-8
"""On one core, for each of these probabilities (measured)."""


class Estimate(NamedTuple):
    """Loss in nats per token, with its standard error.

    Attributes
    ----------
    mean, error : float
        Mean over all scored positions.
    last, last_error : float
        Loss at the last scored position.
    by_position, by_position_error : array, shape (scored positions,)
    """

    mean: float
    error: float
    last: float
    last_error: float
    by_position: Array
    by_position_error: Array


def strategy_losses(
    setting: Setting,
    sequences: int = 16384,
    *,
    pseudo_count: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Estimate]:
    r"""Expected loss of each ideal strategy of a setting's task, measured on fresh sequences.

    The next token is averaged out exactly, -Σ_j P_j ln s_j (Rao-Blackwell): the same mean with a smaller error. Errors
    are standard errors over sequences. The same seed gives the same numbers.

    Parameters
    ----------
    setting : Setting
    sequences : int
        Their number, at least 2.
    pseudo_count : float, optional
        Added to every count of symbols of Markov chains; by default the prior's concentration.
    seed : int
    progress : callable
        Called with the sequences done and in total.

    Raises
    ------
    ValueError
        If an argument is out of range, or memory or time would not suffice.
    """
    sequences, task = arguments.integer("sequences", sequences, least=2), setting.task
    entries = (len(task.strategies) + 1) * min(task.vocabulary, DENSE_VOCABULARY)
    costs.require_memory(
        "a sequence with its laws",
        lambda context: (BYTES_PER_ENTRY * entries + BYTES_PER_POSITION) * context,
        context=task.context,
    )
    costs.require_time(
        "the simulation",
        lambda sequences, context: SECONDS_PER_ENTRY * entries * sequences * context,
        sequences=sequences,
        context=task.context,
    )
    source = sampler(task) if pseudo_count is None else sampler(task, pseudo_count=pseudo_count)
    scored = task.scored
    moments = {name: _Moments(int(scored.sum()) + 1) for name in task.strategies}
    chunk = min(CHUNK, max(1, CHUNK_ENTRIES // (entries * task.context)))
    chunks = -(-sequences // chunk)
    parent = randomness.generator(seed)
    for done in range(chunks):
        (generator,) = parent.spawn(1)  # one by one: there may be as many as sequences
        sample = source.held_out(min(chunk, sequences - done * chunk), generator)
        for running, losses in zip(moments.values(), source.laws(sample).losses(), strict=True):
            loss = losses[:, scored]
            running.add(np.concatenate([loss, loss.mean(axis=1, keepdims=True)], axis=1))
        progress(min((done + 1) * chunk, sequences), sequences)
    return {name: running.estimate() for name, running in moments.items()}


class _Moments:
    """Running mean and sum of squared deviations of rows, merged chunk by chunk without cancellation.

    Chan, Golub and LeVeque (1979).
    """

    def __init__(self, width: int) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(width), np.zeros(width)

    def add(self, rows: Array) -> None:
        count, mean = len(rows), rows.mean(axis=0)
        shift, total = mean - self.mean, self.count + count
        self.squares += ((rows - mean) ** 2).sum(axis=0) + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count = total

    def estimate(self) -> Estimate:
        mean, error = self.mean, np.sqrt(self.squares / (self.count - 1) / self.count)
        return Estimate(float(mean[-1]), float(error[-1]), float(mean[-2]), float(error[-2]), mean[:-1], error[:-1])

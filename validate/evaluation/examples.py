r"""Examples: token sequences in which some tokens are the answer, and how well a model answers them.

An example has one option or several; an option is a sequence x of tokens with the set Y of positions that belong to the
answer. With ln m(Y) = Σ_{t ∈ Y} ln m(x_t | x_1 … x_{t-1}),

    loss       -ln m(Y)/|Y| of the right option, nats per token of the answer
    accuracy   of several options, whether the right one has the largest ln m(Y) divided by its `NORMALISATIONS`: the
               bytes of its text, its tokens, or nothing; of a single option, the share of its answer's tokens that are
               the most likely ones, or whether all are ("exact match").

Options that stand in one batch are filled up on the right, where a causal model does not look: each gives what it gives
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.estimates import SEQUENCES
from onset.theory.recording import Progress
from onset.validate.inspection.inspectable import Inspectable
from onset.validate.inspection.losses import token_losses
from onset.validate.inspection.measuring import BATCH_TOKENS
from onset.validate.judging.intervals import Interval, mean_interval

__all__ = ["NORMALISATIONS", "EvaluationTask", "Example", "Option", "Performance", "batches", "evaluate"]


@dataclass(frozen=True)
class Option:
    """Tokens of which some are the answer.

    Attributes
    ----------
    tokens : tuple of int
    answer : tuple of bool
        Whether each token belongs to the answer; never the first.
    bytes : int
        Of the answer's text, if it has one.
    """

    tokens: tuple[int, ...]
    answer: tuple[bool, ...]
    bytes: int = 0

    @property
    def length(self) -> int:
        """Tokens of the answer."""
        return sum(self.answer)


@dataclass(frozen=True)
class Example:
    """Options, and which of them is right."""

    options: tuple[Option, ...]
    right: int = 0


NORMALISATIONS: dict[str, Callable[[Option], int]] = {
    "bytes": lambda option: option.bytes,
    "tokens": lambda option: option.length,
    "none": lambda option: 1,
}
"""What the log-likelihood of an option is divided by, by name."""


@dataclass(frozen=True)
class EvaluationTask:
    """Examples by a name.

    Attributes
    ----------
    name : str
    description : str
        What the model is shown and what counts.
    examples : tuple of Example
    normalisation : str
        One of `NORMALISATIONS`; of consequence for several options.
    exact : bool
        Of single options, whether all tokens of the answer have to be right.
    """

    name: str
    description: str
    examples: tuple[Example, ...] = field(repr=False)
    normalisation: str = "bytes"
    exact: bool = False

    def __post_init__(self) -> None:
        arguments.one_of("normalisation", self.normalisation, NORMALISATIONS)
        if not self.examples:
            raise ValueError(f"task {self.name}: it has no example; expected at least one.")

    @property
    def guessing(self) -> float:
        """Accuracy of guessing among the options; 0 where there is only one."""
        counts = np.array([len(example.options) for example in self.examples])
        return float(np.where(counts > 1, 1 / counts, 0).mean())

    def first(self, count: int) -> EvaluationTask:
        """The task with its first examples."""
        return replace(self, examples=self.examples[:count])


@dataclass(frozen=True)
class Performance:
    """How well a model answers each of n examples.

    Attributes
    ----------
    correct : array, shape (n,)
        Accuracy of each example, in [0, 1].
    losses : array, shape (n,)
        Nats per token of the right answer.
    """

    correct: Array
    losses: Array

    @property
    def accuracy(self) -> Interval:
        return mean_interval(self.correct, SEQUENCES)

    @property
    def loss(self) -> Interval:
        return mean_interval(self.losses, SEQUENCES)


def batches(
    options: Sequence[Option], device: torch.device, tokens: int = BATCH_TOKENS
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Places of options, their tokens (B, T), and which of the tokens but the first are answers (B, T - 1).

    Long options come first, so that a batch that is too large for the memory fails at once; those of a batch are of
    similar lengths, and filled up on the right with the token 0. A batch has at most `tokens` tokens, or one option.
    """
    order = sorted(range(len(options)), key=lambda n: -len(options[n].tokens))
    while order:
        longest = len(options[order[0]].tokens)
        size = max(1, tokens // longest)
        places, order = order[:size], order[size:]
        batch = torch.zeros(len(places), longest, dtype=torch.long)
        answers = torch.zeros(len(places), longest, dtype=torch.bool)
        for row, place in enumerate(places):
            option = options[place]
            batch[row, : len(option.tokens)] = torch.tensor(option.tokens)
            answers[row, : len(option.tokens)] = torch.tensor(option.answer)
        yield places, batch.to(device), answers[:, 1:].to(device)


@torch.no_grad()
def evaluate(model: Inspectable, task: EvaluationTask, *, progress: Progress = lambda step, steps: None) -> Performance:
    """How well a model answers a task's examples.

    Parameters
    ----------
    model : Inspectable
    task : EvaluationTask
    progress : callable
        Called with the options done and in total.
    """
    options = [option for example in task.examples for option in example.options]
    likelihoods, shares = np.empty(len(options)), np.empty(len(options))
    done = 0
    for places, tokens, answers in batches(options, model.unembedding_matrix.device):
        logits = model(tokens)
        losses = (token_losses(logits, tokens) * answers).sum(dim=1)
        hits = (logits[:, :-1].argmax(dim=-1) == tokens[:, 1:]) & answers
        likelihoods[places] = -losses.double().cpu().numpy()
        shares[places] = (hits.sum(dim=1) / answers.sum(dim=1)).double().cpu().numpy()
        progress(done := done + len(places), len(options))
    lengths = np.array([option.length for option in options])
    divisors = np.array([NORMALISATIONS[task.normalisation](option) for option in options])
    correct, loss, start = [], [], 0
    for example in task.examples:
        own = slice(start, start := start + len(example.options))
        right = own.start + example.right
        loss.append(-likelihoods[right] / lengths[right])
        if len(example.options) > 1:
            correct.append(float(np.argmax(likelihoods[own] / divisors[own]) == example.right))
        else:
            correct.append(float(shares[right] == 1) if task.exact else shares[right])
    return Performance(np.array(correct), np.array(loss))

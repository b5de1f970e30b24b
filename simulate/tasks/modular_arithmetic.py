"""Modular arithmetic: sampled examples, the true law of their answers, and the laws of ideal predictors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onset.simulate.compiling import njit
from onset.simulate.strategies.laws import TRUE, DenseLaws
from onset.simulate.strategies.modular import answer_laws
from onset.simulate.tasks.sampler import Sampler, register, token_type
from onset.theory import arguments
from onset.theory.arrays import Tokens
from onset.theory.modular.task import ModularArithmetic

__all__ = ["ModularSample", "ModularSampler"]


class ModularSample(NamedTuple):
    """Sequences, and what they are made of.

    Attributes
    ----------
    tokens : integer array, shape (n, T + 1)
    rules : integer array, shape (n, D)
        The rule of each sequence.
    inputs : integer array, shape (n, examples, D)
    answers : integer array, shape (n, examples)
        As they stand in the sequence, wrong ones included.
    right : integer array, shape (n, examples)
    """

    tokens: Tokens
    rules: NDArray[np.int64]
    inputs: NDArray[np.int64]
    answers: NDArray[np.int64]
    right: NDArray[np.int64]


@register(ModularArithmetic)
class ModularSampler(Sampler[ModularArithmetic, ModularSample]):
    """Sampler of modular arithmetic."""

    def __init__(self, task: ModularArithmetic) -> None:
        super().__init__(task)
        self._rules, self._inputs = task.drawn_rules, task.drawn_inputs

    @property
    def independent(self) -> bool:
        return not self.task.shared

    def sample(self, count: int, generator: np.random.Generator) -> ModularSample:
        count = arguments.integer("count", count, least=1)
        if self.task.shared:
            return self._made(*self._shared(count, generator), generator)
        return self.held_out(count, generator)

    def held_out(self, count: int, generator: np.random.Generator) -> ModularSample:
        """Sequences that are independent, which those of a batch with shared inputs are not."""
        task, count = self.task, arguments.integer("count", count, least=1)
        rules = generator.integers(len(self._rules), size=count)
        if task.distinct or task.shared:
            draws = generator.random((count, task.examples))
            inputs = np.empty(draws.shape, dtype=np.int64)
            _distinct(draws, np.arange(len(self._inputs)), inputs)
        else:
            inputs = generator.integers(len(self._inputs), size=(count, task.examples))
        return self._made(rules, inputs, generator)

    def _shared(self, count: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rules and inputs of a batch in which every rule has the same sequences of inputs."""
        task, number = self.task, len(self._rules)
        if count % number:
            raise ValueError(
                f"batch = {count}: expected a multiple of the {number} rules, which share their inputs as released; "
                "change the batch, or set shared = false."
            )
        turns = count // number
        if (wanted := turns * task.examples) > len(self._inputs):
            raise ValueError(
                f"batch = {count}: each of the {number} rules has {turns} sequences of {task.examples} examples, whose "
                f"{wanted} inputs have to be distinct among {len(self._inputs)}; give a smaller batch, fewer examples, "
                "or shared = false."
            )
        inputs = generator.permutation(len(self._inputs))[:wanted].reshape(turns, task.examples)
        return np.repeat(np.arange(number), turns), np.tile(inputs, (number, 1))

    def _made(
        self, rules: NDArray[np.int64], inputs: NDArray[np.int64], generator: np.random.Generator
    ) -> ModularSample:
        """Sequences of rules and inputs, given by their places in the lists."""
        task, p = self.task, self.task.modulus
        rule, vectors = self._rules[rules], self._inputs[inputs]
        right = np.einsum("nd,ned->ne", rule, vectors) % p
        answers = right
        if task.noise:
            wrong = generator.random(right.shape) < task.noise
            answers = np.where(wrong, (right + generator.integers(1, p, size=right.shape)) % p, right)
        tokens = np.concatenate([vectors, answers[..., None]], axis=-1).reshape(len(rules), -1)
        return ModularSample(tokens.astype(token_type(p)), rule, vectors, answers, right)

    def laws(self, sample: ModularSample) -> DenseLaws:
        task = self.task
        laws = answer_laws(sample.inputs, sample.answers, task.trained_rules, task.modulus, task.noise)
        wrong = task.noise / (task.modulus - 1)
        true = np.where(sample.right[..., None] == np.arange(task.modulus), 1 - task.noise, wrong)
        values = np.full((len(laws) + 1, len(sample.tokens), task.context, task.modulus), 1 / task.modulus)
        values[:-1, :, task.scored] = laws
        values[-1, :, task.scored] = true.swapaxes(0, 1)
        return DenseLaws((*task.strategies, TRUE), values)


@njit(cache=True)
def _distinct(draws, places, chosen):
    """Distinct places for each row, by the first swaps of a shuffle, which are then undone."""
    count, examples = draws.shape
    size = len(places)
    swapped = np.empty(examples, np.int64)
    for n in range(count):
        for k in range(examples):
            other = k + min(int(draws[n, k] * (size - k)), size - k - 1)
            places[k], places[other] = places[other], places[k]
            swapped[k] = other
            chosen[n, k] = places[k]
        for k in range(examples - 1, -1, -1):
            other = swapped[k]
            places[k], places[other] = places[other], places[k]

r"""Synthetic in-context tasks: generated token sequences, whose answers only the context tells.

    repeats      random tokens twice; the answer is the second copy but its first token
    fresh        the first copy alone: nothing tells the answer, a control
    completion   phrases of a few tokens, each shown several times among fresh tokens; the answer is the rest of a
                 phrase after its first n - 1 tokens, from its second time on
    chains       in-context Markov chains over some of the tokens; the answer is the second half of the sequence

Accuracy is the share of the answer's tokens that are the most likely ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from onset.simulate.tasks import sampler
from onset.theory import arguments
from onset.theory.markov.task import MarkovChains
from onset.validate.evaluation.examples import EvaluationTask, Example, Option
from onset.validate.inspection.sequences import Pool, Recipe

__all__ = ["SYNTHETIC", "chains", "completion", "repeats", "synthetic"]

LENGTH = 48
"""Tokens of a copy, and half of those of the other sequences, where no other length is given."""


def repeats(pool: Pool, count: int, seed: int = 0, *, length: int = LENGTH, copies: int = 2) -> EvaluationTask:
    """Copies of random tokens; with one copy, fresh tokens alone."""
    recipe = Recipe(length, copies)
    drawn = recipe.batches(pool, count, np.random.default_rng(seed), tokens=count * length * copies)
    answer = tuple(t > length if copies > 1 else t > 0 for t in range(length * copies))
    rows = [row for tokens, _ in drawn for row in tokens.tolist()]
    what = "tokens of the later copies but the first" if copies > 1 else "all tokens but the first"
    return EvaluationTask(
        "repeats" if copies > 1 else "fresh",
        f"{recipe.description}; answer: {what}",
        tuple(Example((Option(tuple(row), answer),)) for row in rows),
    )


def completion(
    pool: Pool, count: int, seed: int = 0, *, length: int = 2 * LENGTH, phrases: int = 4, order: int = 3
) -> EvaluationTask:
    """Phrases of `order` + 1 tokens among fresh tokens; the answer is what follows their first `order` - 1 tokens."""
    size = order + 1
    arguments.integer("phrases", phrases, least=1, most=length // (2 * size))
    generator = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        drawn = _distinct(pool, length + phrases * size, generator)
        named, fresh = np.split(drawn, [phrases * size])
        named = named.reshape(phrases, size)
        tokens: list[int] = []
        answer: list[bool] = []
        shown: set[int] = set()
        while len(tokens) < length:
            phrase = int(generator.integers(phrases))
            tokens += [int(fresh[len(tokens)]), *named[phrase].tolist()]
            later = phrase in shown
            answer += [False, *(later and place >= order - 1 for place in range(size))]
            shown.add(phrase)
        examples.append(Example((Option(tuple(tokens[:length]), tuple(answer[:length])),)))
    return EvaluationTask(
        "completion",
        f"{phrases} phrases of {size} distinct random tokens, in random order, a fresh token before each, {length} "
        f"tokens in all; answer: from a phrase's second time on, its tokens from number {order} on",
        tuple(example for example in examples if example.options[0].length),
    )


def chains(pool: Pool, count: int, seed: int = 0, *, length: int = 2 * LENGTH, states: int = 4) -> EvaluationTask:
    """Markov chains with flat Dirichlet rows over `states` random tokens, others in each sequence."""
    generator = np.random.default_rng(seed)
    sample = sampler(MarkovChains.of(states=states, context=length - 1)).sample(count, generator)
    answer = tuple(t >= length // 2 for t in range(length))
    examples = []
    for row in sample.tokens:
        chosen = _distinct(pool, states, generator)
        examples.append(Example((Option(tuple(chosen[row].tolist()), answer),)))
    return EvaluationTask(
        "chains",
        f"a Markov chain with flat Dirichlet rows over {states} random tokens, {length} tokens; answer: the second "
        "half",
        tuple(examples),
    )


SYNTHETIC: dict[str, Callable[[Pool, int, int], EvaluationTask]] = {
    "repeats": repeats,
    "fresh": partial(repeats, copies=1),
    "completion": completion,
    "chains": chains,
}
"""Functions from a pool of tokens, a number of examples and a seed to a task, by name."""


def synthetic(name: str, pool: Pool, count: int = 64, seed: int = 0) -> EvaluationTask:
    """A synthetic task.

    Parameters
    ----------
    name : str
        Of `SYNTHETIC`.
    pool : Pool
        Tokens of the model.
    count : int
        Examples.
    seed : int

    Raises
    ------
    ValueError
        If there is no task of this name, or the vocabulary is too small for it.
    """
    make = SYNTHETIC[arguments.one_of("synthetic task", name, SYNTHETIC)]
    return make(pool, arguments.integer("examples", count, least=2), arguments.seed("seed", seed))


def _distinct(pool: Pool, number: int, generator: np.random.Generator) -> np.ndarray:
    if number > len(pool.tokens):
        raise ValueError(
            f"a vocabulary of {len(pool.tokens)} tokens: expected at least {number} for this task; choose another."
        )
    return generator.choice(pool.tokens, size=number, replace=False)

"""Whether the parts of a task that a user brings fit together: tokens, laws of its strategies, and expected losses.

The task is sampled once. Tokens depend on the generator alone and lie in the vocabulary; laws are laws; and three means
over sequences, which the comparison of strategies with models rests on, are compared with what the task says:

1. the loss of the true law on the tokens, with its entropy: the tokens follow it;
2. the loss of a strategy on the tokens, with its loss under the true law: it does not know what comes next;
3. the loss of a strategy under the true law, with `Task.expected_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onset.simulate.strategies.laws import TRUE, Laws
from onset.theory.arrays import Array, Tokens
from onset.theory.estimates import largest_score

if TYPE_CHECKING:
    from onset.simulate.tasks.sampler import Sampler

__all__ = ["require_consistent"]

PROBABILITIES = 2**22
"""Probabilities that are sampled, in sequences of all positions, laws and tokens."""

FEWEST, MOST = 16, 512
"""Sequences."""

FALSE_ALARM = 1e-6
"""Probability that a task without mistakes is refused, by Bonferroni's bound."""

ROUNDING = 1e-6
"""Largest error of a sum of probabilities."""


def require_consistent(source: Sampler[Any, Any]) -> None:
    """Raise ``ValueError`` unless the sampler of a task gives sequences and laws that fit together."""
    task = source.task
    entries = (len(task.strategies) + 1) * task.context * task.vocabulary
    count = int(np.clip(PROBABILITIES // entries, FEWEST, MOST))
    sample, again = (source.sample(count, np.random.default_rng(0)) for _ in range(2))
    laws = source.laws(sample)
    try:
        _check_tokens(sample.tokens, again.tokens, (count, task.context + 1), task.vocabulary)
        _check_laws(laws, (*task.strategies, TRUE), (count, task.context))
        _check_means(source, laws, sample.tokens)
    except ValueError as problem:
        raise ValueError(f"task = {task.label}: {problem} (class {type(source).__name__}).") from None


def _check_tokens(tokens: Tokens, again: Tokens, shape: tuple[int, int], vocabulary: int) -> None:
    if np.shape(tokens) != shape or not np.issubdtype(np.asarray(tokens).dtype, np.integer):
        raise ValueError(
            f"`sample` gives tokens of shape {np.shape(tokens)} and type {np.asarray(tokens).dtype}: expected whole "
            f"numbers of shape {shape}, the context and one token more"
        )
    if (low := int(tokens.min())) < 0 or int(tokens.max()) >= vocabulary:
        raise ValueError(
            f"`sample` gives tokens from {low} to {tokens.max()}: expected 0 to {vocabulary - 1}, the vocabulary"
        )
    if not np.array_equal(tokens, again):
        raise ValueError(
            "`sample` gives other tokens from the same generator: expected the same; draw nothing elsewhere"
        )


def _check_laws(laws: Laws, names: tuple[str, ...], shape: tuple[int, int]) -> None:
    if tuple(laws.names) != names:
        raise ValueError(f"`laws` has the names {tuple(laws.names)}: expected {names}, the strategies and the true law")
    totals = laws.totals()
    if totals.shape != (len(names), *shape):
        raise ValueError(
            f"`laws` has the shape {totals.shape}: expected {(len(names), *shape)}, a law at each position"
        )
    if (wrong := ~(np.abs(totals - 1) < ROUNDING)).any():
        law, sequence, position = np.argwhere(wrong)[0]
        raise ValueError(
            f"`laws` has probabilities of {names[law]} that sum to {totals[law, sequence, position]:.6g} at position "
            f"{position}: expected 1"
        )


def _check_means(source: Sampler[Any, Any], laws: Laws, tokens: Tokens) -> None:
    """The three means of the module's docstring, over scored positions, with errors over sequences."""
    task, scored = source.task, source.task.scored
    on_tokens = -laws.log_probabilities(tokens[:, 1:])[..., scored].mean(axis=-1)
    under_truth = laws.losses()[..., scored].mean(axis=-1)
    entropy = laws.entropies()[-1][:, scored].mean(axis=-1)
    differences = [
        ("the true law loses {:+.4f} nats a token beside its entropy", on_tokens[-1] - entropy, 0.0, "tokens follow it")
    ]
    for strategy, observed, expected in zip(task.strategies, on_tokens, under_truth, strict=False):
        if not np.isfinite([observed, expected]).all():
            continue  # it excludes tokens that come: its loss is infinite, and says nothing
        stated = task.expected_loss(strategy)
        differences += [
            (
                f"{strategy} loses {{:+.4f}} nats a token beside its mean under the true law",
                observed - expected,
                0.0,
                "a strategy does not know the next token",
            ),
            (
                f"{strategy} loses {{:+.4f}} nats a token beside `expected_loss`",
                expected - stated.value,
                stated.error,
                "one loss",
            ),
        ]
    most = largest_score(FALSE_ALARM, len(differences))
    for text, values, error, expected in differences:
        z = _standard_score(values, error)
        if abs(z) > most:
            raise ValueError(f"{text.format(values.mean())}, {abs(z):.0f} standard errors: expected {expected}")


def _standard_score(values: Array, error: float) -> float:
    """Mean of the values in standard errors, `error` and rounding added."""
    mean = float(values.mean())
    return mean / float(np.hypot(values.std(ddof=1) / np.sqrt(len(values)), error) + np.finfo(np.float32).eps)

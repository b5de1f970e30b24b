"""Importance of a trained transformer's heads for two tasks, and how well it does without the least important ones.

Both tasks are on repeated random segments: the tokens of a segment's second copy but its first, which nothing
announces, and those of later copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onset.simulate.tasks import sampler
from onset.validate.evaluation.examples import EvaluationTask, Example, Option
from onset.validate.measures.public.pruning import pruned
from onset.validate.measures.runs.trained import Trained
from onset.validate.store.probes import SCORES
from onset.validate.store.runs import Record

__all__ = ["measure"]

EXAMPLES = 64


def measure(run: Record) -> dict[str, Any]:
    """As `onset.validate.measures.public.pruning` gives it."""
    trained = Trained.of(run)
    scores = trained.curve.probes["head_score"][-1, SCORES.index("prefix-matching")]
    return pruned(trained.model, _tasks(trained), scores, trained.seed)


def _tasks(trained: Trained) -> dict[str, EvaluationTask]:
    sample = sampler(trained.setting.task).sample(EXAMPLES, np.random.default_rng((trained.seed, 2)))
    tokens, place = sample.tokens[:, :-1], np.arange(sample.tokens.shape[1] - 1)
    start = sample.length[:, None]
    answers = {"second copies": (place > start) & (place < 2 * start), "later copies": place >= 2 * start}
    return {
        name: EvaluationTask(
            name,
            f"tokens of {name} of a random segment",
            tuple(
                Example((Option(tuple(row.tolist()), tuple(mask.tolist())),))
                for row, mask in zip(tokens, answer, strict=True)
            ),
        )
        for name, answer in answers.items()
    }

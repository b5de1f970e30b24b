"""How many heads of a trained transformer our own test takes for induction heads, in draws of random tokens."""

from __future__ import annotations

from typing import Any

from onset.validate.inspection.sequences import Pool
from onset.validate.measures.public.specificity import exceeding_heads
from onset.validate.measures.runs.trained import Trained
from onset.validate.store.runs import Record

__all__ = ["measure"]

DRAWS = 20


def measure(run: Record) -> dict[str, Any]:
    """`heads`: for each draw the number of heads that exceed chance."""
    trained = Trained.of(run)
    pool = Pool.of(trained.setting.task.vocabulary)
    seeds = range(1000 * trained.seed, 1000 * trained.seed + DRAWS)
    return {"heads": [exceeding_heads(trained.model, pool, seed)[0] for seed in seeds]}

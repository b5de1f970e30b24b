"""What the claims about pruning read: of a public model as it was measured, of transformers that we trained by the same
function.

Our transformers have two tasks on repeated random segments: the tokens of a segment's second copy but its first, which
nothing announces, and those of later copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onset.simulate.tasks import sampler
from onset.theory.arrays import Array
from onset.validate.claims.claim import Need, Runs
from onset.validate.claims.induction.readings import Trained, of_seeds
from onset.validate.claims.induction.settings import SEEDS, segments
from onset.validate.store.probes import SCORES
from onset.validate.store.public_models import SMOLLM2

if TYPE_CHECKING:
    from onset.validate.evaluation.examples import EvaluationTask

__all__ = ["BANSAL", "by_model", "needs"]

BANSAL = "Bansal et al., arXiv 2212.09095"

OURS = "three layers"

EXAMPLES = 64


def needs(size: str) -> Mapping[str, Need]:
    """Our transformers of three layers, and SmolLM2."""
    return {OURS: Need(segments(3), SEEDS[size]), SMOLLM2.label: Need(SMOLLM2, SEEDS[size], "pruning")}


def by_model(runs: Runs) -> dict[str, list[dict[str, Any]]]:
    """What `onset.validate.measures.pruning` gives, for each seed of each model that is there."""
    results = {OURS: [_ours(trained) for trained in of_seeds(runs[OURS])]} if OURS in runs else {}
    return results | ({SMOLLM2.label: runs[SMOLLM2.label]} if SMOLLM2.label in runs else {})


def _ours(trained: Trained) -> dict[str, Any]:
    from onset.validate.measures.pruning import pruned

    scores: Array = trained.curve.probes["head_score"][-1, SCORES.index("prefix-matching")]
    return pruned(trained.model, _tasks(trained), scores, trained.seed)


def _tasks(trained: Trained) -> dict[str, EvaluationTask]:
    from onset.validate.evaluation.examples import EvaluationTask, Example, Option

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

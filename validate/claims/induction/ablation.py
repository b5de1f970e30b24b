"""Without its induction heads a small attention-only model loses nearly all of its in-context learning.

The output of the heads is zero; in our models all patterns stay those of the intact one. The share lost is the change
of the in-context-learning score over the score itself. Beside it stand as many other heads of the model, and
before-and-after attribution: the part of an ablation's change of each token's loss that undoes what training has
changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, is_above
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.store.public_models import SMOLLM2

__all__ = ["CLAIM"]

NEARLY_ALL = 0.75
"""Published share of in-context learning that forms in the stage in which induction heads do."""


def needs(size: str) -> Mapping[str, Need]:
    models = {"two layers": segments(), "three layers": segments(3), SMOLLM2.label: SMOLLM2}
    return {name: Need(model, SEEDS[size], "ablation") for name, model in models.items()}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name in ("two layers", "three layers"):
        if name not in runs:
            continue
        lost, undone, others = (
            np.array([result[key] for result in runs[name]]) for key in ("lost", "undone", "others")
        )
        findings += [
            is_above(f"{name}: share of in-context learning lost", "1", lost, NEARLY_ALL),
            is_above(f"{name}: before-and-after attribution of the induction heads, undone", "nats", undone),
            is_above(
                f"{name}, control: other heads lose less than half of that",
                "1",
                lost / 2 - others,
                control=True,
            ),
        ]
    return findings + (_public(runs[SMOLLM2.label]) if SMOLLM2.label in runs else [])


def _public(results: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """On two copies of random tokens the in-context-learning score is the fall of the loss from the first to the
    second."""
    rows = []
    for result in results:
        by_kind: dict[str, list[float]] = {}
        for loss in result["losses"]:
            fall = loss["first copy"]["loss"] - loss["second copy"]["loss"]
            by_kind.setdefault(loss["ablated"], []).append(fall)
        intact, without, others = (float(np.mean(by_kind[kind])) for kind in ("none", "these", "others"))
        rows.append((1 - without / intact, 1 - others / intact))
    lost, by_others = np.transpose(rows)
    return [
        is_above(f"{SMOLLM2.label}: share of in-context learning lost", "1", lost, NEARLY_ALL),
        is_above(
            f"{SMOLLM2.label}, control: other heads lose less than half of that",
            "1",
            lost / 2 - by_others,
            control=True,
        ),
    ]


CLAIM = Claim(
    id="ablation",
    title="Without induction heads in-context learning is gone",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 3",
    needs=needs,
    judge=judge,
    untested="Natural text. In SmolLM2, which has feed-forward blocks, ablations act on later patterns too.",
    sizes=("heads",),
)

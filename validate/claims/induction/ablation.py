"""Without its induction heads a small attention-only model loses nearly all of its in-context learning.

The output of the heads is zero while all patterns stay those of the intact model. The share lost is the change of the
in-context-learning score over the score itself. Beside it stand as many other heads of the model, and before-and-after
attribution: the part of an ablation's change of each token's loss that undoes what training has changed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, is_positive
from onset.validate.claims.induction.readings import of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments

__all__ = ["CLAIM"]

NEARLY_ALL = 0.75
"""Published share of in-context learning that forms in the stage in which induction heads do."""


def needs(size: str) -> Mapping[str, Need]:
    return {"two layers": Need(segments(), SEEDS[size]), "three layers": Need(segments(3), SEEDS[size])}


def judge(runs: Runs) -> list[Finding]:
    from onset.validate.claims.induction.measuring import ablations

    findings = []
    for name in ("two layers", "three layers"):
        lost, undone, others = np.transpose([ablations(trained) for trained in of_seeds(runs[name])])
        findings += [
            is_positive(
                f"{name}: share of in-context learning lost, above {NEARLY_ALL:g}", "1", np.array(lost) - NEARLY_ALL
            ),
            is_positive(f"{name}: before-and-after attribution of the induction heads, undone", "nats", undone),
            is_positive(
                f"{name}, control: other heads lose less than half of that",
                "1",
                np.array(lost) / 2 - others,
                control=True,
            ),
        ]
    return findings


CLAIM = Claim(
    id="ablation",
    title="Without induction heads in-context learning is gone",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 3",
    needs=needs,
    judge=judge,
    untested="Models with feed-forward blocks, where ablations of values act on later patterns too.",
    sizes=("heads",),
)

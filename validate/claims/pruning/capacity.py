"""Heads that are important for a task hold most of a model's capacity to match prefixes.

As the least important heads are removed, the share of all prefix-matching scores that the others hold stays near one:
published for 20% of the heads, with a sharp fall beyond 40%. Heads removed at random leave 80% and 60%.
"""

from __future__ import annotations

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Runs, first_paragraph, is_above
from onset.validate.claims.pruning.readings import BANSAL, needs

__all__ = ["CLAIM"]

KEPT = 0.9
"""Share that counts as most of the capacity."""

EARLY, LATE = 20, 40
"""Percent of the heads."""


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for model, results in runs.items():
        for task in results[0]["tasks"]:
            early, late = (
                np.array([r["tasks"][task]["capacity"][r["percent"].index(percent)] for r in results])
                for percent in (EARLY, LATE)
            )
            findings += [
                is_above(f"{model}, {task}: capacity left with {EARLY}% removed", "share", early, KEPT),
                is_above(
                    f"{model}, {task}: capacity left with {LATE}% removed, chance being {1 - LATE / 100:g}",
                    "share",
                    late,
                    1 - LATE / 100,
                    control=True,
                ),
            ]
    return findings


CLAIM = Claim(
    id="induction-capacity",
    title="Important heads hold the capacity to match prefixes",
    statement=first_paragraph(__doc__),
    source=f"{BANSAL}, section 6",
    needs=needs,
    judge=judge,
    untested="Copying scores, which fall more steadily as published.",
    sizes=("heads",),
)

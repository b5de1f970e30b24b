"""Most heads can be removed with little loss: those of least importance for a task, in a fixed order.

The share of the heads whose output can be zero while accuracy stays within five points of the intact model's is about
70% in the published model (4,608 heads, fourteen tasks of natural language). Ours answer what only their context tells.
Beside it stands a random order.
"""

from __future__ import annotations

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Runs, compare_published, first_paragraph, is_above
from onset.validate.claims.pruning.readings import BANSAL, needs

__all__ = ["CLAIM"]

PUBLISHED = 70.0
"""Percent of the heads."""

LITTLE = 0.05
"""Loss of accuracy that is little, as published for heads and blocks together."""

STEP = 10.0
"""Percent between two of the published points."""


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for model, results in runs.items():
        for task in results[0]["tasks"]:
            by_importance, at_random = (
                [_removable(result["percent"], result["tasks"][task]["accuracy"][order]) for result in results]
                for order in ("importance", "random 1")
            )
            findings.append(
                compare_published(
                    f"{model}, {task}: heads that can go", "percent", PUBLISHED, by_importance, resolution=STEP
                )
            )
            findings.append(
                is_above(
                    f"{model}, {task}: more of the least important heads than of random ones, control",
                    "percent",
                    np.subtract(by_importance, at_random),
                    control=True,
                )
            )
    return findings


def _removable(percent: list[int], accuracy: list[float]) -> float:
    """Largest percent up to which accuracy stays within `LITTLE` of that of the intact model."""
    fits = np.array(accuracy) >= accuracy[0] - LITTLE
    return float(percent[int(np.argmin(fits)) - 1] if not fits.all() else percent[-1])


CLAIM = Claim(
    id="prunable",
    title="Most heads can be removed with little loss",
    statement=first_paragraph(__doc__),
    source=f"{BANSAL}, section 4",
    needs=needs,
    judge=judge,
    untested="Tasks of natural language, few-shot prompts, and feed-forward blocks.",
    sizes=("heads",),
)

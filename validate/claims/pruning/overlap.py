"""Tasks share most of their most important heads.

Published pairs of tasks share 71 to 76% of the 30% of the heads that are most important for each, even where rank
correlations are low; two random sets share 30%.
"""

from __future__ import annotations

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Runs, compare_published, first_paragraph, is_above
from onset.validate.claims.pruning.readings import BANSAL, needs

__all__ = ["CLAIM"]

PUBLISHED = (0.71, 0.76)


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for model, results in runs.items():
        overlaps = [result["overlap"] for result in results]
        common, chance, spearman, released = (
            np.array([entry[key][0] if key == "chance" else entry[key] for entry in overlaps])
            for key in ("common", "chance", "spearman", "released")
        )
        findings += [
            compare_published(f"{model}: share of the top 30% in common", "share", PUBLISHED, common.tolist()),
            is_above(f"{model}: that share above chance, control", "share", common - chance, control=True),
            is_above(f"{model}: rank correlation of importances", "1", spearman),
            is_above(f"{model}: rank correlation above the one of the released code", "1", spearman - released),
        ]
    return findings


CLAIM = Claim(
    id="importance-overlap",
    title="Tasks share most of their most important heads",
    statement=first_paragraph(__doc__),
    source=f"{BANSAL}, section 5; the released code correlates indices in place of ranks",
    needs=needs,
    judge=judge,
    untested="Tasks that differ more than two ways to repeat.",
    sizes=("heads",),
)

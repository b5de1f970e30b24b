"""Heads that copy literally also match what is only alike: translated words, categories, inexact prefixes.

Induction heads are taken from repeated random tokens. On sequences in which nothing repeats but in another form
(`onset.validate.measures.generality`) they attend to what followed the like of the current token, more than to the same
positions where nothing is alike, and more than other heads of their layers do. Published examples are single heads of a
model a hundred times larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, is_above
from onset.validate.claims.induction.settings import OLSSON, SEEDS
from onset.validate.store.public_models import SMOLLM2

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    return {SMOLLM2.label: Need(SMOLLM2, SEEDS[size], "generality")}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    results = runs[SMOLLM2.label]
    for kind in results[0]["scores"]:
        best, induction, others = np.transpose([_excesses(result, kind) for result in results])
        findings += [
            is_above(
                f"{kind}: best induction head above its control",
                "share",
                best,
                FORMATION_LEVEL,
            ),
            is_above(
                f"{kind}, control: induction heads above other heads of their layers",
                "share",
                induction - others,
                control=True,
            ),
        ]
    return findings


def _excesses(result: Mapping[str, Any], kind: str) -> tuple[float, float, float]:
    """Of the best induction head, and means over induction heads and over other heads of their layers."""
    excess = np.array(result["scores"][kind]["excess"])
    chosen = np.zeros(excess.shape, dtype=bool)
    for head in result["heads"]:
        chosen[head["layer"], head["head"]] = True
    others = np.any(chosen, axis=1, keepdims=True) & ~chosen
    return float(excess[chosen].max()), float(excess[chosen].mean()), float(np.nanmean(excess[others]))


CLAIM = Claim(
    id="generality",
    title="Heads that copy also match what is only alike",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 4",
    needs=needs,
    judge=judge,
    untested="Larger models, and translation between languages.",
    sizes=("heads",),
)

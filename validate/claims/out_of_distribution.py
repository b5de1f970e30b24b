"""Claim 7: on doubly stochastic chains the loss rises while unigram is learnt, then collapses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, positive
from onset.validate.claims.trained import EDELMAN, SEEDS, passage, published, seen

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    return {} if size == "quick" else {"k=3": Need(published(3), SEEDS[size])}


def judge(runs: Runs) -> list[Finding]:
    rises, falls, learns = [], [], []
    setting = runs["k=3"].setting
    for one in runs["k=3"].trajectories:
        curve, passed = one.probes["tested_on"][:, 0], passage(one, "unigram", "bigram").step
        before = curve if passed is None else curve[one.steps <= passed]
        # The mean over the plateau rather than its highest point, which noise alone would raise.
        plateau = slice(len(before) // 4, len(before) // 2)
        rises.append(float(np.mean(before[plateau]) - curve[0]))
        own = seen(setting, one, "last", "true")
        learns.append(float(own[0] - np.mean(own[plateau])))
        falls.append(float(curve[0] - curve[-1]))
    return [
        positive("KL(true ‖ model) on doubly stochastic chains: plateau above start", "nats", rises),
        positive("the same: start above end", "nats", falls),
        positive("control: on the chains trained on, start above plateau", "nats", learns, control=True),
    ]


CLAIM = Claim(
    id="out-of-distribution",
    title="Out of distribution, worse before better",
    statement="Trained on flat Dirichlet rows and tested on doubly stochastic chains, where unigram statistics say nothing, the loss rises while unigram is learnt and collapses at the passage to bigram.",
    source=f"{EDELMAN}: about .22 → .235, then a collapse",
    needs=needs,
    judge=judge,
    untested="The published heights, whose k is not known.",
)

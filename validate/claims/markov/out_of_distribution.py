"""Trained on flat Dirichlet rows and tested on doubly stochastic chains, where unigram statistics say nothing, the loss
rises while unigram is learnt and collapses at the passage to bigram.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, is_above
from onset.validate.claims.markov.published import EDELMAN, SEEDS, published
from onset.validate.claims.markov.readings import probe_curve, transition

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    return {"k=3": Need(published(3), SEEDS[size])}


def judge(runs: Runs) -> list[Finding]:
    rises, falls, learns = [], [], []
    setting = runs["k=3"].setting
    for run in runs["k=3"].trajectories:
        curve, step = run.probes["tested_on"][:, 0], transition(run, "unigram", "bigram").step
        before = curve if step is None else curve[run.steps <= step]
        # The mean over the plateau rather than its highest point, which noise alone would raise.
        plateau = slice(len(before) // 4, len(before) // 2)
        rises.append(float(np.mean(before[plateau]) - curve[0]))
        trained_on = probe_curve(setting, run, "last", "true")
        learns.append(float(trained_on[0] - np.mean(trained_on[plateau])))
        falls.append(float(curve[0] - curve[-1]))
    return [
        is_above("KL(true ‖ model) on doubly stochastic chains: plateau above start", "nats", rises),
        is_above("the same: start above end", "nats", falls),
        is_above("control: on the chains trained on, start above plateau", "nats", learns, control=True),
    ]


CLAIM = Claim(
    id="out-of-distribution",
    title="Out of distribution, worse before better",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN}: about .22 → .235, then a collapse",
    needs=needs,
    judge=judge,
    untested="The published heights, whose k is not known.",
)

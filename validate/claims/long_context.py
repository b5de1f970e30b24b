"""Claim 8: with eight states the unigram phase shows at T = 200, not at T = 100."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.claims.claim import Claim, Finding, Need, Runs, positive, share
from onset.validate.claims.trained import EDELMAN, nearest, no_repeats, published, untrained

__all__ = ["CLAIM", "unigram_phase"]

STATES = 8

LEAST = 0.25
"""Of the way to bigram: a stretch nearest to unigram that is shorter is not a phase. A quarter is what is seen without doubt on a linear axis of steps."""


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    seeds = {"standard": 2, "full": 5}[size]
    return {f"T={context}": Need(published(STATES, context=context, record_every=20), seeds) for context in (100, 200)}


def unigram_phase(setting: Setting, run: Trajectory) -> float:
    """The longest stretch of records at which unigram is the nearest strategy on the last token, as a share of the steps before bigram is and stays so for two records, or of the run."""
    near = nearest(setting, run)
    there = near == setting.task.strategies.index("bigram")
    lasting = np.flatnonzero(there[:-1] & there[1:])
    way = int(lasting[0]) if len(lasting) else len(near) - 1
    longest = first = 0.0
    for n in range(way):
        if near[n] != setting.task.strategies.index("unigram"):
            first = run.steps[n + 1]
        longest = max(longest, run.steps[n + 1] - first)
    return float(longest / run.steps[way]) if way else 0.0


def judge(runs: Runs) -> list[Finding]:
    shares = {name: [unigram_phase(o.setting, one) for one in o.trajectories] for name, o in runs.items()}
    short, long = shares["T=100"], shares["T=200"]
    return [
        share("T=200: a unigram phase", [one >= LEAST for one in long], f"seeds spend {LEAST:g} of the way there"),
        share(
            "T=100: no unigram phase",
            [one < LEAST for one in short],
            f"seeds spend less than {LEAST:g} of the way there",
        ),
        positive("share of the way, T=200 above T=100", "1", [b - a for a, b in zip(short, long, strict=True)]),
        *(untrained(name, observed.trajectories) for name, observed in runs.items()),
        *(no_repeats(name, observed) for name, observed in runs.items()),
    ]


CLAIM = Claim(
    id="long-context",
    title="Eight states show the unigram phase at T = 200 only",
    statement="With eight states and T = 100 the model passes from uniform to bigram without a unigram phase; at T = 200 it has one. A phase is a stretch nearest to unigram that lasts for a quarter of the steps before bigram.",
    source=f"{EDELMAN} (as cited by others)",
    needs=needs,
    judge=judge,
    untested="What the published work took for a phase is not known; ours was fixed before anything was trained. Contexts between and beyond the two.",
)

"""With eight states and T = 100 the model passes from uniform to bigram without a unigram phase; at T = 200 it has one.
A phase is a stretch nearest to unigram that lasts for a quarter of the steps before bigram.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_above
from onset.validate.claims.markov.published import EDELMAN, published
from onset.validate.claims.markov.readings import nearest, no_repeats, untrained

__all__ = ["CLAIM", "unigram_phase"]

STATES = 8

SHORTEST_PHASE = 0.25
"""Shortest stretch nearest to unigram that counts as a phase, as a share of the steps before bigram.

A quarter is seen without doubt on a linear axis of steps.
"""


def needs(size: str) -> Mapping[str, Need]:
    seeds = {"standard": 2, "full": 5}[size]
    return {f"T={context}": Need(published(STATES, context=context, record_every=20), seeds) for context in (100, 200)}


def unigram_phase(setting: Setting, run: Trajectory) -> float:
    """Longest stretch of records at which unigram is nearest on the last token, as a share of the steps before bigram.

    Bigram begins where it is nearest for two records in a row, or at the end of the run.
    """
    strategies, near = setting.task.strategies, nearest(setting, run)
    bigram = near == strategies.index("bigram")
    lasting = np.flatnonzero(bigram[:-1] & bigram[1:])
    end = int(lasting[0]) if len(lasting) else len(near) - 1
    longest = start = 0.0
    for n in range(end):
        if near[n] != strategies.index("unigram"):
            start = run.steps[n + 1]
        longest = max(longest, run.steps[n + 1] - start)
    return float(longest / run.steps[end]) if end else 0.0


def judge(runs: Runs) -> list[Finding]:
    shares = {name: [unigram_phase(o.setting, run) for run in o.trajectories] for name, o in runs.items()}
    short, long = shares["T=100"], shares["T=200"]
    spend = f"{SHORTEST_PHASE:g} of the way there"
    return [
        holds_in_all("T=200: a unigram phase", [share >= SHORTEST_PHASE for share in long], f"seeds spend {spend}"),
        holds_in_all(
            "T=100: no unigram phase", [share < SHORTEST_PHASE for share in short], f"seeds spend less than {spend}"
        ),
        is_above("share of the way, T=200 above T=100", "1", [b - a for a, b in zip(short, long, strict=True)]),
        *(untrained(name, observed.trajectories) for name, observed in runs.items()),
        *(no_repeats(name, observed) for name, observed in runs.items()),
    ]


CLAIM = Claim(
    id="long-context",
    title="Eight states show the unigram phase at T = 200 only",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN} (as cited by others)",
    needs=needs,
    judge=judge,
    untested=(
        "What the published work took for a phase is not known; ours was fixed before anything was trained. "
        "Contexts between and beyond the two."
    ),
)

"""While the head forms, the first layer's attention by lag alternates: odd lags weigh more than the even ones beside
them, for k = 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_above
from onset.validate.claims.markov.published import EDELMAN, SEEDS, memoryless, published
from onset.validate.claims.markov.readings import value_at

__all__ = ["CLAIM", "LAST_ODD_LAG", "alternation", "attention_before_formation"]

LAST_ODD_LAG = 9
"""The last odd lag that is compared with its even neighbours."""

UNIGRAM_CHAINS = "unigram chains"
"""Name of the control's runs."""

READ_AT = 0.9
"""Share of the step of formation at which attention is read, when it has begun to leave uniformity."""


def needs(size: str) -> Mapping[str, Need]:
    toys = {
        "linear toy": Setting.of("linear", states=2, context=100),
        "softmax toy": Setting.of("softmax", states=2, context=100, optimizer="adam"),
    }
    settings = {"transformer": published(2)} | toys
    return {name: Need(setting, SEEDS[size]) for name, setting in settings.items()} | {
        UNIGRAM_CHAINS: Need(memoryless(3), 2)
    }


def alternation(attention: Array) -> float:
    """Σ over odd lags r from 3 to `LAST_ODD_LAG` of a_r minus its even neighbours' mean, in mean weights."""
    odd = np.arange(3, LAST_ODD_LAG + 1, 2)
    return float((attention[odd] - (attention[odd - 1] + attention[odd + 1]) / 2).sum() * len(attention))


def judge(runs: Runs) -> list[Finding]:
    by_name = {
        name: [alternation(attention_before_formation(run)) for run in observed.trajectories]
        for name, observed in runs.items()
    }
    findings = [
        is_above(f"{name}: odd lags above even ones", "mean weights", values)
        for name, values in by_name.items()
        if name != UNIGRAM_CHAINS
    ]
    least = min(by_name["transformer"])
    start = [abs(alternation(run.attention[0, 0])) < least for run in runs["transformer"].trajectories]
    even = [abs(value) < least for value in by_name[UNIGRAM_CHAINS]]
    return [
        *findings,
        holds_in_all("transformer, control: untrained", start, "seeds start more evenly than any ends", control=True),
        holds_in_all(f"control: {UNIGRAM_CHAINS}", even, "seeds alternate less than any with memory", control=True),
    ]


def attention_before_formation(run: Trajectory) -> Array:
    """Layer-1 attention on each lag, shape (T,), shortly before the head forms, or near the end if none does."""
    formation = run.transitions()[1].step
    return value_at(run, run.attention[:, 0], READ_AT * (run.steps[-1] if formation is None else formation))


CLAIM = Claim(
    id="alternation",
    title="Odd lags above even ones",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN}; exact for the toy families at k = 2: derivation alternation",
    needs=needs,
    judge=judge,
    untested="Lag 1 itself, whose weight is the head; lags beyond 10.",
)

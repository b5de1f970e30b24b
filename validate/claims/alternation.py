"""Claim 3: on the way, layer 1 weighs odd lags above even ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.claims.claim import Claim, Finding, Need, Runs, positive, share
from onset.validate.claims.trained import EDELMAN, SEEDS, at, memoryless, published

__all__ = ["CLAIM", "alternation", "shortly_before"]

FARTHEST = 9
"""The last odd lag that is compared with its even neighbours."""

CHAINS = "unigram chains"
"""Name of the control's runs."""

LATE = 0.9
"""Of the step of formation: where attention is looked at, when it has begun to leave uniformity."""


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    toys = {
        "linear": Setting.of("linear", states=2, context=100),
        "softmax": Setting.of("softmax", states=2, context=100, optimizer="adam"),
    }
    found = {"transformer": Need(published(2), SEEDS[size])}
    found |= {f"{name} toy": Need(setting, SEEDS[size]) for name, setting in toys.items()}
    return found | {CHAINS: Need(memoryless(3), 2)}


def alternation(attention: Array) -> float:
    """Σ over odd lags r from 3 to `FARTHEST` of a_r less the mean of its even neighbours, in units of the mean weight; lag 1 is left out."""
    odd = np.arange(3, FARTHEST + 1, 2)
    return float((attention[odd] - (attention[odd - 1] + attention[odd + 1]) / 2).sum() * len(attention))


def judge(runs: Runs) -> list[Finding]:
    found, ways = (
        [],
        {name: [alternation(shortly_before(one)) for one in observed.trajectories] for name, observed in runs.items()},
    )
    for name, values in ways.items():
        if name != CHAINS:
            found.append(positive(f"{name}: odd lags above even ones", "mean weights", values))
    least = min(ways["transformer"])
    start = [abs(alternation(one.attention[0, 0])) < least for one in runs["transformer"].trajectories]
    found.append(share("transformer, control: untrained", start, "seeds start more evenly than any ends", control=True))
    even = [abs(value) < least for value in ways[CHAINS]]
    return [*found, share(f"control: {CHAINS}", even, "seeds alternate less than any with memory", control=True)]


def shortly_before(run: Trajectory) -> Array:
    """Layer-1 attention on each lag, shape (T,), of one run shortly before its head forms, or near its end if none does."""
    formed = run.transitions()[1].step
    return at(run, run.attention[:, 0], LATE * (run.steps[-1] if formed is None else formed))


CLAIM = Claim(
    id="alternation",
    title="Odd lags above even ones",
    statement="While the head forms, the first layer's attention by lag alternates: odd lags weigh more than the even ones beside them, for k = 2.",
    source=f"{EDELMAN}; exact for the toy families at k = 2: derivation alternation",
    needs=needs,
    judge=judge,
    untested="Lag 1 itself, whose weight is the head; lags beyond 10.",
)

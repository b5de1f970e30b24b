"""Claim 3: on the way, layer 1 weighs odd lags above even ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from theory.chains import Array
from theory.setting import Setting
from validate.claims.claim import Claim, Finding, Need, Runs, positive
from validate.claims.trained import EDELMAN, SEEDS, at, published

__all__ = ["CLAIM", "alternation"]

FARTHEST = 9
"""The last odd lag that is compared with its even neighbours."""

LATE = 0.9
"""Of the step of formation: where attention is looked at, when it has begun to leave uniformity."""


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    toys = {
        "linear": Setting.of("linear", states=2, context=100),
        "softmax": Setting.of("softmax", states=2, context=100, optimizer="adam"),
    }
    return {"transformer": Need(published(2), SEEDS[size])} | {
        f"{name} toy": Need(setting, SEEDS[size]) for name, setting in toys.items()
    }


def alternation(attention: Array) -> float:
    """Σ over odd lags r from 3 to `FARTHEST` of a_r less the mean of its even neighbours, in units of the mean weight; lag 1 is left out."""
    odd = np.arange(3, FARTHEST + 1, 2)
    return float((attention[odd] - (attention[odd - 1] + attention[odd + 1]) / 2).sum() * len(attention))


def judge(runs: Runs) -> list[Finding]:
    found = []
    for name, observed in runs.items():
        values = []
        for one in observed.trajectories:
            formed = one.transitions()[1].step
            step = LATE * (one.steps[-1] if formed is None else formed)
            values.append(alternation(at(one, one.attention[:, 0], step)))
        found.append(positive(f"{name}: odd lags above even ones", "mean weights", values))
    return found


CLAIM = Claim(
    id="alternation",
    title="Odd lags above even ones",
    statement="While the head forms, the first layer's attention by lag alternates: odd lags weigh more than the even ones beside them, for k = 2.",
    source=f"{EDELMAN}; exact for the toy families at k = 2: derivation alternation",
    needs=needs,
    judge=judge,
    untested="Lag 1 itself, whose weight is the head; lags beyond 10.",
)

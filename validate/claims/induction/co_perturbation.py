"""An architecture that makes induction heads easier moves the appearance of in-context learning with them.

Smeared keys hold a share of the previous token's key, so that one layer suffices. Published one-layer models gain the
change, and two-layer models have it earlier. Beside them stands a control whose shares are fixed at one half: what
helps should be that keys can hold the previous token, not that the share is learned. A model whose first layer attends
to the previous token from the start has half of the circuit, and should have the rest earlier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_above
from onset.validate.claims.induction.readings import formed, of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.inspection.formation import halfway
from onset.validate.store.jobs import Observation

__all__ = ["CLAIM"]

PLAIN, ONE = "two layers", "one layer"

EARLIER = {
    "one layer, smeared keys": segments(1, smeared=True),
    "two layers, smeared keys": segments(2, smeared=True),
    "two layers, the first on the previous token": segments(2, previous=True),
}
"""Models that should learn in context earlier than two plain layers."""

EVEN = "one layer, shares fixed at one half"


def needs(size: str) -> Mapping[str, Need]:
    seeds = SEEDS[size]
    plain = {PLAIN: Need(segments(), seeds), ONE: Need(segments(1), seeds)}
    return plain | {n: Need(s, seeds) for n, s in (EARLIER | {EVEN: segments(1, smeared=True, even=True)}).items()}


def judge(runs: Runs) -> list[Finding]:
    plain, findings = _halves(runs[PLAIN]), []
    for name in EARLIER:
        sooner = np.log(plain / _halves(runs[name]))
        findings.append(
            is_above(f"{name}: how much earlier the score has made half of its way, ln of steps", "1", sooner)
        )
        findings.append(_forms(name, runs[name]))
    even, plain_gains = ([-float(run.in_context_scores[-1]) for run in of_seeds(runs[name])] for name in (EVEN, PLAIN))
    gains = [gain - sum(plain_gains) / len(plain_gains) / 2 for gain in even]
    return [
        *findings,
        is_above(f"{EVEN}: in-context learning above half of that of two plain layers", "nats", gains),
        _forms(EVEN, runs[EVEN]),
        holds_in_all(
            f"{ONE}, control: no induction head",
            [formed(trained.setting, trained.curve) is None for trained in of_seeds(runs[ONE])],
            "seeds have none",
            control=True,
        ),
    ]


def _halves(observed: Observation) -> np.ndarray:
    return np.array([halfway(run.curve.steps, run.in_context_scores) for run in of_seeds(observed)])


def _forms(name: str, observed: Observation) -> Finding:
    steps: Sequence[float | None] = [formed(trained.setting, trained.curve) for trained in of_seeds(observed)]
    return holds_in_all(f"{name}: an induction head forms", [step is not None for step in steps], "seeds have one")


CLAIM = Claim(
    id="co-perturbation",
    title="What makes induction heads easier makes in-context learning earlier",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 2",
    needs=needs,
    judge=judge,
    untested="Shares that are learned against shares that are shuffled between heads.",
    sizes=("heads",),
)

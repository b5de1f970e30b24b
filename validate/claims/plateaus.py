"""Our own: the plateaus' heights are the exact ideal losses."""

from __future__ import annotations

from collections.abc import Mapping

from validate.claims.claim import Claim, Finding, Need, Runs
from validate.claims.trained import SEEDS, losses, published

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    states = (2,) if size == "quick" else (2, 3)
    return {f"k={k}": Need(published(k), SEEDS[size]) for k in states}


def judge(runs: Runs) -> list[Finding]:
    return [
        Finding(f"{name}: {quantity}", "nats", exact, seen, verdict)
        for name, observed in runs.items()
        for quantity, _, exact, seen, verdict in losses(observed.setting, observed.trajectories)
    ]


CLAIM = Claim(
    id="plateaus",
    title="Plateaus at the ideal losses",
    statement="The unigram plateau of a trained transformer lies at the exact expected loss of the unigram strategy at its context, its end at that of the bigram strategy.",
    source="derived here: derivation ideal-finite-losses",
    needs=needs,
    judge=judge,
    untested="Contexts other than T = 100.",
)

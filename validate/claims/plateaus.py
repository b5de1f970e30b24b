"""Our own: the plateaus' heights are the exact ideal losses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.theory.markov.ideal import finite_loss
from onset.validate.claims.claim import Claim, Finding, Need, Runs, mean
from onset.validate.claims.trained import PART, SEEDS, losses, published
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Tolerance
from onset.validate.judging.verdicts import judge as judge_number
from onset.validate.store.jobs import Observation

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    states = (2,) if size == "quick" else (2, 3)
    return {f"k={k}": Need(published(k), SEEDS[size]) for k in states}


def judge(runs: Runs) -> list[Finding]:
    found = []
    for name, observed in runs.items():
        found += [
            Finding(f"{name}: {quantity}", "nats", exact, seen, verdict)
            for quantity, _, exact, seen, verdict in losses(observed.setting, observed.trajectories)
        ]
        found.append(_untrained(name, observed))
    return found


def _untrained(name: str, observed: Observation) -> Finding:
    """Control: before training the loss is the uniform strategy's."""
    setting, uniform = observed.setting, float(np.log(observed.setting.task.states))
    gap = uniform - finite_loss(setting.task.prior, "unigram", setting.task.context).value
    exact, start = Interval(uniform, uniform, uniform), mean([float(one.loss[0]) for one in observed.trajectories])
    tolerance = Tolerance(PART * gap / uniform, f"{PART:g} of the gap between the ideal uniform and unigram losses")
    verdict = judge_number(exact, start, tolerance, seeds=len(observed.seeds))
    return Finding(f"{name}, control: untrained loss", "nats", exact, start, verdict, control=True)


CLAIM = Claim(
    id="plateaus",
    title="Plateaus at the ideal losses",
    statement="The unigram plateau of a trained transformer lies at the exact expected loss of the unigram strategy at its context, its end at that of the bigram strategy.",
    source="derived here: derivation ideal-finite-losses",
    needs=needs,
    judge=judge,
    untested="Contexts other than T = 100. Whether more steps or training without dropout would close a gap at the end: the published run ends above the ideal too, at KL(true ‖ model) = .050 on the last token beside .026, k = 3.",
)

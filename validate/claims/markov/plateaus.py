"""The unigram plateau of a trained transformer lies at the exact expected loss of the unigram strategy at its context,
its end at that of the bigram strategy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph
from onset.validate.claims.markov.published import SEEDS, published
from onset.validate.judging import verdicts
from onset.validate.judging.intervals import Interval, mean_interval
from onset.validate.judging.trained import GAP_TOLERANCE, ideal_losses
from onset.validate.judging.verdicts import Tolerance
from onset.validate.store.jobs import Observation

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    states = (2,) if size == "quick" else (2, 3)
    return {f"k={k}": Need(published(k), SEEDS[size]) for k in states}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name, observed in runs.items():
        findings += [
            Finding(f"{name}: {quantity}", "nats", ideal, loss, verdict)
            for quantity, _, ideal, loss, verdict in ideal_losses(observed.setting, observed.trajectories)
        ]
        findings.append(_untrained(name, observed))
    return findings


def _untrained(name: str, observed: Observation) -> Finding:
    """Control: before training the loss is the uniform strategy's."""
    task, uniform = observed.setting.task, float(np.log(observed.setting.task.vocabulary))
    gap = uniform - task.expected_loss("unigram").value
    ideal = Interval.exact(uniform)
    start = mean_interval([float(run.loss[0]) for run in observed.trajectories])
    source = f"{GAP_TOLERANCE:g} of the gap between the ideal uniform and unigram losses"
    verdict = verdicts.judge(ideal, start, Tolerance(GAP_TOLERANCE * gap / uniform, source), seeds=len(observed.seeds))
    return Finding(f"{name}, control: untrained loss", "nats", ideal, start, verdict, control=True)


CLAIM = Claim(
    id="plateaus",
    title="Plateaus at the ideal losses",
    statement=first_paragraph(__doc__),
    source="derived here: derivation ideal-finite-losses",
    needs=needs,
    judge=judge,
    untested=(
        "Contexts other than T = 100. Whether more steps or training without dropout would close a gap at the end: the "
        "published run ends above the ideal too, at KL(true ‖ model) = .050 on the last token beside .026, k = 3."
    ),
    sizes=tuple(SEEDS),
)

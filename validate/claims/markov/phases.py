"""Trained on in-context Markov chains, a two-layer attention-only transformer predicts first uniformly, then by unigram
and then, abruptly, by bigram statistics.
"""

from __future__ import annotations

from collections.abc import Mapping

from onset.validate.claims.claim import Claim, Finding, Need, Runs, compare_published, first_paragraph, holds_in_all
from onset.validate.claims.markov.published import EDELMAN, SEEDS, memoryless, published
from onset.validate.claims.markov.readings import no_repeats, probe_curve, transition, untrained, value_at
from onset.validate.judging.trained import takes_in_order
from onset.validate.store.jobs import Observation

__all__ = ["CLAIM", "PUBLISHED"]

PUBLISHED = {"k=2": (1080.0, 1280.0), "k=3": (1590.0,)}
"""Steps of the transition to bigram in published runs."""

PLATEAU = {0: 0.293, 600: 0.174, 1000: 0.173}
"""Published KL(true ‖ model) on the last token at steps of the plateau, k = 3."""

DISTANCES = {"uniform": (0.10, 5e-3), "unigram": (0.019, 5e-4), "bigram": (0.146, 5e-4)}
"""Published KL(strategy ‖ model) on the last token at step 800, k = 3, and half of the last digit."""

UNIGRAM_CHAINS = "unigram chains"
"""Name of the control's runs."""


def needs(size: str) -> Mapping[str, Need]:
    k2 = {"k=2": Need(published(2), SEEDS[size])}
    if size == "quick":
        return k2
    return k2 | {"k=3": Need(published(3), SEEDS[size]), UNIGRAM_CHAINS: Need(memoryless(3), 2)}


def judge(runs: Runs) -> list[Finding]:
    findings: list[Finding] = []
    for name, observed in runs.items():
        trajectories, grid = observed.trajectories, float(observed.setting.training.record_every)
        if name == UNIGRAM_CHAINS:
            nearer = [bool(run.distances["bigram"][-1] > run.distances["unigram"][-1]) for run in trajectories]
            what = "seeds end nearer to unigram"
            findings.append(holds_in_all(f"control: on {UNIGRAM_CHAINS}", nearer, what, control=True))
            continue
        order = f"{name}: order {' → '.join(observed.setting.task.strategies)}"
        steps = [transition(run, "unigram", "bigram").step for run in trajectories]
        findings += [
            holds_in_all(order, [takes_in_order(run) for run in trajectories], "seeds take them in order"),
            untrained(name, trajectories),
            no_repeats(name, observed),
            compare_published(
                f"{name}: unigram → bigram", "steps", (PUBLISHED[name][0], PUBLISHED[name][-1]), steps, resolution=grid
            ),
        ]
        if name == "k=3":
            findings += _plateau(observed, grid)
    return findings


def _plateau(observed: Observation, grid: float) -> list[Finding]:
    """The published numbers on the way, k = 3."""
    setting, trajectories = observed.setting, observed.trajectories

    def at(law: str, step: float) -> list[float]:
        return [float(value_at(run, probe_curve(setting, run, "last", law), step)) for run in trajectories]

    first = [transition(run, "uniform", "unigram").step for run in trajectories]
    return [
        compare_published("k=3: uniform → unigram", "steps", 60.0, first, resolution=grid),
        *(
            compare_published(f"k=3: KL(true ‖ model) at step {step}", "nats", kl, at("true", step), resolution=5e-4)
            for step, kl in PLATEAU.items()
        ),
        *(
            compare_published(f"k=3: KL({law} ‖ model) at step 800", "nats", kl, at(law, 800), resolution=digits)
            for law, (kl, digits) in DISTANCES.items()
        ),
    ]


CLAIM = Claim(
    id="phases",
    title="Phases, in order, at the published steps",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN}: figure and text, k = 3, and the released notebook, k = 2",
    needs=needs,
    judge=judge,
    untested=(
        "The published numbers are of one run each (two for k = 2), on chains whose first token was drawn uniformly: "
        "the released stationary law averages over the wrong axis. Ours start from the stationary law."
    ),
    sizes=tuple(SEEDS),
)

"""Claim 1: uniform, then unigram, then, abruptly, bigram."""

from __future__ import annotations

from collections.abc import Mapping

from onset.theory.markov.task import STRATEGIES
from onset.validate.claims.claim import Claim, Finding, Need, Runs, one_more, share
from onset.validate.claims.trained import (
    EDELMAN,
    SEEDS,
    at,
    in_order,
    memoryless,
    no_repeats,
    passage,
    published,
    seen,
    untrained,
)

__all__ = ["CLAIM", "PUBLISHED"]

PUBLISHED = {"k=2": (1080.0, 1280.0), "k=3": (1590.0,)}
"""Steps of the passage to bigram in published runs."""

PLATEAU = {0: 0.293, 600: 0.174, 1000: 0.173}
"""Published KL(true ‖ model) on the last token at steps of the plateau, k = 3."""

DISTANCES = {"uniform": 0.10, "unigram": 0.019, "bigram": 0.146}
"""Published KL(strategy ‖ model) on the last token at step 800, k = 3."""


def needs(size: str) -> Mapping[str, Need]:
    found = {"k=2": Need(published(2), SEEDS[size])}
    if size != "quick":
        found |= {"k=3": Need(published(3), SEEDS[size]), "unigram chains": Need(memoryless(3), 2)}
    return found


def judge(runs: Runs) -> list[Finding]:
    found: list[Finding] = []
    for name, observed in runs.items():
        each = observed.trajectories
        if name == "unigram chains":
            never = [float(one.distances["bigram"][-1] - one.distances["unigram"][-1]) > 0 for one in each]
            found.append(share("control: on unigram chains", never, "seeds end nearer to unigram", control=True))
            continue
        held = [in_order([t.step for t in one.transitions()[0]]) for one in each]
        found.append(share(f"{name}: order {' → '.join(STRATEGIES)}", held, "seeds take them in order"))
        found += [untrained(name, each), no_repeats(name, observed)]
        steps = [passage(one, "unigram", "bigram").step for one in each]
        grid = float(observed.setting.training.record_every)
        found.append(
            one_more(
                f"{name}: unigram → bigram", "steps", (min(PUBLISHED[name]), max(PUBLISHED[name])), steps, steps=grid
            )
        )
        if name == "k=3":
            first = [passage(one, "uniform", "unigram").step for one in each]
            found.append(one_more("k=3: uniform → unigram", "steps", 60.0, first, steps=grid))
            true = [seen(observed.setting, one, "last", "true") for one in each]
            for step, value in PLATEAU.items():
                ours = [float(at(one, curve, step)) for one, curve in zip(each, true, strict=True)]
                # Three digits are published.
                found.append(one_more(f"k=3: KL(true ‖ model) at step {step}", "nats", value, ours, steps=5e-4))
            for law, value in DISTANCES.items():
                ours = [float(at(one, seen(observed.setting, one, "last", law), 800)) for one in each]
                digits = 5e-3 if value == 0.10 else 5e-4
                found.append(one_more(f"k=3: KL({law} ‖ model) at step 800", "nats", value, ours, steps=digits))
    return found


CLAIM = Claim(
    id="phases",
    title="Phases, in order, at the published steps",
    statement="Trained on in-context Markov chains, a two-layer attention-only transformer predicts first uniformly, then by unigram and then, abruptly, by bigram statistics.",
    source=f"{EDELMAN}: figure and text, k = 3, and the released notebook, k = 2",
    needs=needs,
    judge=judge,
    untested="The published numbers are of one run each (two for k = 2), on chains whose first token was drawn uniformly: the released stationary law averages over the wrong axis. Ours start from the stationary law.",
)

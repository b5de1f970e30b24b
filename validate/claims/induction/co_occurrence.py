"""Induction heads form in the same short stage of training in which in-context learning appears and the loss falls.

On repeated random segments three steps are read from each run: when the first induction head forms, when the
in-context-learning score (the loss at the last position less that at a tenth of it) has made half of its way, and when
the loss has. Published models make the change within a factor of two of training time (2.5 to 5 billion tokens).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_positive
from onset.validate.claims.induction.readings import best_scores, formed, halfway, in_context_scores, of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.claims.markov.published import published

__all__ = ["CLAIM"]

WINDOW = 2.0
"""Published ratio of the end of the stage to its start."""

LEAST_GAIN = 4.0
"""How many times more two layers learn in context than one, whose heads see no earlier token's predecessor."""


def needs(size: str) -> Mapping[str, Need]:
    runs = {"two layers": Need(segments(), SEEDS[size])}
    if size == "quick":
        return runs
    chains = published(3, steps=2000, record_every=20)
    return runs | {"one layer": Need(segments(1), SEEDS[size]), "chains": Need(chains, 3)}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name in ("two layers", "chains"):
        if name not in runs:
            continue
        inside, order = [], []
        for trained in of_seeds(runs[name]):
            run, step = trained.run, formed(trained.setting, trained.run)
            others = [halfway(run.steps, in_context_scores(run)), halfway(run.steps, run.loss)]
            inside.append(step is not None and max(step, *others) <= WINDOW * min(step, *others))
            order.append(np.nan if step is None else np.log(others[0] / step))
        findings.append(holds_in_all(f"{name}: formation, score and loss within a factor of two", inside, "seeds do"))
        if np.isfinite(order).all() and len(order) > 1:
            findings.append(is_positive(f"{name}: ln step of the score's half after that of formation", "1", order))
    if "one layer" in runs:
        findings += _control(runs)
    return findings


def _control(runs: Runs) -> list[Finding]:
    """One layer has no induction head, and learns little from context."""
    never = [formed(trained.setting, trained.run) is None for trained in of_seeds(runs["one layer"])]
    gains = {
        name: [-in_context_scores(run)[-1] for run in runs[name].trajectories] for name in ("one layer", "two layers")
    }
    more = np.mean(gains["two layers"]) - LEAST_GAIN * np.array(gains["one layer"])
    start = [float(best_scores(run)[0]) < 0.05 for run in runs["two layers"].trajectories]
    return [
        holds_in_all("one layer, control: no induction head", never, "seeds have none", control=True),
        is_positive(
            f"in-context learning of two layers above {LEAST_GAIN:g} times that of one", "nats", more, control=True
        ),
        holds_in_all("two layers, control: no head before training", start, "seeds have none", control=True),
    ]


CLAIM = Claim(
    id="co-occurrence",
    title="Induction heads form as in-context learning appears",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 1",
    needs=needs,
    judge=judge,
    untested="Large models, and natural text.",
    sizes=tuple(SEEDS),
)

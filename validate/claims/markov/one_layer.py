"""One-layer transformers do not beat the unigram strategy, however long they train."""

from __future__ import annotations

from collections.abc import Mapping

from onset.theory.architecture import PRESETS
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_above
from onset.validate.claims.markov.published import EDELMAN, FEWER, SEEDS, published
from onset.validate.claims.markov.readings import transition, untrained

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    steps = {"standard": 3000, "full": 20000}[size]
    setting = published(3, steps=steps, record_every=50, architecture=PRESETS["one-layer"](1))
    return {"one layer": Need(setting, FEWER[size]), "two layers": Need(published(3), SEEDS[size])}


def judge(runs: Runs) -> list[Finding]:
    single, double = runs["one layer"].trajectories, runs["two layers"].trajectories
    steps = [[t.step for t in run.transitions()[0]] for run in single]
    excess = [float(run.excess["bigram"][-1, 0]) for run in single]
    passes = [transition(run, "unigram", "bigram").step is not None for run in double]
    return [
        holds_in_all("no passage to bigram", [last is None for *_, last in steps], "seeds never pass"),
        holds_in_all("passage to unigram", [first is not None for first, *_ in steps], "seeds pass"),
        is_above("last loss above the ideal bigram loss", "nats", excess),
        holds_in_all("control: two layers pass to bigram", passes, "seeds pass", control=True),
        untrained("one layer", single),
    ]


CLAIM = Claim(
    id="one-layer",
    title="One layer stays at unigram",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN} (as cited by others)",
    needs=needs,
    judge=judge,
    untested="Longer training than the stated steps, and widths other than the published one.",
)

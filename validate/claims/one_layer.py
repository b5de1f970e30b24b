"""Claim 6: one layer stays at unigram statistics."""

from __future__ import annotations

from collections.abc import Mapping

from onset.theory.architecture import PRESETS
from onset.validate.claims.claim import Claim, Finding, Need, Runs, positive, share
from onset.validate.claims.trained import EDELMAN, FEWER, SEEDS, passage, published, untrained

__all__ = ["CLAIM"]


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    steps = {"standard": 3000, "full": 20000}[size]
    setting = published(3, steps=steps, record_every=50, architecture=PRESETS["one-layer"](1))
    return {"one layer": Need(setting, FEWER[size]), "two layers": Need(published(3), SEEDS[size])}


def judge(runs: Runs) -> list[Finding]:
    each = runs["one layer"].trajectories
    stays = [one.transitions()[0][-1].step is None for one in each]
    first = [one.transitions()[0][0].step is not None for one in each]
    above = [float(one.excess["bigram"][-1, 0]) for one in each]
    passes = [passage(one, "unigram", "bigram").step is not None for one in runs["two layers"].trajectories]
    return [
        share("no passage to bigram", stays, "seeds never pass"),
        share("passage to unigram", first, "seeds pass"),
        positive("last loss above the ideal bigram loss", "nats", above),
        share("control: two layers pass to bigram", passes, "seeds pass", control=True),
        untrained("one layer", each),
    ]


CLAIM = Claim(
    id="one-layer",
    title="One layer stays at unigram",
    statement="One-layer transformers do not beat the unigram strategy, however long they train.",
    source=f"{EDELMAN} (as cited by others)",
    needs=needs,
    judge=judge,
    untested="Longer training than the stated steps, and widths other than the published one.",
)

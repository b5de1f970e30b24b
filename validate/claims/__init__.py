"""Claims: what the literature and our own theory say of trained transformers, each as an executable check.

One module holds one claim; `CLAIMS` is the one place where it is registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from onset.theory import arguments
from onset.validate.claims import (
    alternation,
    delay,
    long_context,
    ngrams,
    one_layer,
    out_of_distribution,
    phases,
    plateaus,
    scaling,
    second_layer_first,
    toy_delay,
)
from onset.validate.claims.claim import Claim, Finding, Need, Told
from onset.validate.claims.trained import SEEDS
from onset.validate.store.jobs import TRAIN, Job, Refused, observation, prediction
from onset.validate.store.runs import Store

__all__ = ["CLAIMS", "Claim", "Finding", "Need", "Told", "chosen", "jobs", "needs", "tell"]

CLAIMS: dict[str, Claim] = {
    module.CLAIM.id: module.CLAIM
    for module in (
        phases,
        second_layer_first,
        alternation,
        delay,
        ngrams,
        one_layer,
        out_of_distribution,
        long_context,
        plateaus,
        toy_delay,
        scaling,
    )
}
"""The one place where a claim is registered."""


def chosen(ids: Sequence[str] = ()) -> list[Claim]:
    """The claims called `ids`, or all; a ``ValueError`` names an unknown one."""
    return [CLAIMS[arguments.one_of("claim", one, CLAIMS)] for one in ids] or list(CLAIMS.values())


def needs(claim: Claim, size: str, seeds: int | None = None) -> dict[str, Need]:
    """What a claim has trained and predicted in a suite of this size, with at most `seeds` seeds; nothing if the suite leaves it out or has no claims."""
    found = claim.needs(size) if size in SEEDS else {}
    return {
        name: need if seeds is None else replace(need, seeds=min(seeds, need.seeds)) for name, need in found.items()
    }


def jobs(claims: Iterable[Claim], size: str, seeds: int | None = None) -> list[Job]:
    """What has to be computed for the claims in a suite of this size, each once."""
    wanted = (need for claim in claims for need in needs(claim, size, seeds).values())
    return list(dict.fromkeys(job for need in wanted for job in need.jobs()))


def tell(claim: Claim, size: str, store: Store, seeds: int | None = None) -> Told | None:
    """The claim as far as `store` holds its runs; None if a suite of this size leaves it out."""
    wanted = needs(claim, size, seeds)
    if not wanted:
        return None
    lacking = [job.label for need in wanted.values() for job in need.jobs() if job not in store]
    if lacking:
        return Told(claim, wanted, (), tuple(lacking))
    runs = {}
    for name, need in wanted.items():
        with suppress(Refused):
            runs[name] = (
                observation(need.setting, range(need.seeds), store)
                if need.kind == TRAIN
                else prediction(need.setting, need.kind, store)
            )
    return Told(claim, wanted, tuple(claim.judge(runs)), runs=runs)

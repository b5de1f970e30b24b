"""Claims: statements of the literature and of our own theory about trained models, each as an executable check.

One module holds one claim, in a folder for each line of work; `CLAIMS` registers them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from onset.theory import arguments
from onset.validate.claims import induction, markov, pruning
from onset.validate.claims.claim import Claim, ClaimResult, Finding, Need
from onset.validate.store.jobs import TRAIN, Job, Refused, measured, observation, prediction
from onset.validate.store.runs import Store

__all__ = ["CLAIMS", "Claim", "ClaimResult", "Finding", "Need", "evaluate", "jobs", "needs", "select"]

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*markov.CLAIMS, *induction.CLAIMS, *pruning.CLAIMS)}
"""Claims by id. A line of work adds its own here."""


def select(ids: Sequence[str] = ()) -> list[Claim]:
    """The claims called `ids`, or all; a ``ValueError`` names an unknown one."""
    return [CLAIMS[arguments.one_of("claim", name, CLAIMS)] for name in ids] or list(CLAIMS.values())


def needs(claim: Claim, size: str, seeds: int | None = None) -> dict[str, Need]:
    """Runs that a claim needs in a suite of this size, with at most `seeds` seeds; none if the suite leaves it out."""
    named = claim.needs(size) if size in claim.sizes else {}
    if seeds is None:
        return dict(named)
    most = arguments.seed_count("seeds", seeds)
    return {name: replace(need, seeds=min(most, need.seeds)) for name, need in named.items()}


def jobs(claims: Iterable[Claim], size: str, seeds: int | None = None) -> list[Job]:
    """The jobs that the claims need in a suite of this size, each once."""
    needed = (need for claim in claims for need in needs(claim, size, seeds).values() if not need.problem)
    return list(dict.fromkeys(job for need in needed for job in need.jobs()))


def evaluate(claim: Claim, size: str, store: Store, seeds: int | None = None) -> ClaimResult | None:
    """Findings of a claim from the runs in `store`; None if a suite of this size leaves the claim out."""
    needed = needs(claim, size, seeds)
    if not needed:
        return None
    lacking = {name: [job.label for job in need.jobs() if job not in store] for name, need in needed.items()}
    absent = tuple(dict.fromkeys(needed[name].problem for name in needed if lacking[name] and needed[name].problem))
    missing = tuple(label for name in needed if not needed[name].problem for label in lacking[name])
    if missing or not any(not labels for labels in lacking.values()):
        return ClaimResult(claim, needed, (), missing, absent=absent)
    runs = {}
    for name, need in needed.items():
        if not lacking[name]:
            with suppress(Refused):
                runs[name] = _read(need, store)
    return ClaimResult.of(claim, needed, runs, absent)


def _read(need: Need, store: Store) -> Any:
    """What a claim's judge is given."""
    if need.measures:
        return measured(need.subject, need.kind, range(need.seeds), store)
    if need.kind == TRAIN:
        return observation(need.setting, range(need.seeds), store)
    return prediction(need.setting, need.kind, store)

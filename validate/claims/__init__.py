"""Claims: what the literature and our own theory say of trained transformers, each as an executable check.

One module holds one claim; `CLAIMS` is the one place where it is registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from theory import arguments
from validate.claims import alternation, one_layer, out_of_distribution, phases, plateaus, second_layer_first
from validate.claims.claim import Claim, Finding, Need, Told
from validate.observed import Task, observation
from validate.runs import Store

__all__ = ["CLAIMS", "Claim", "Finding", "Need", "Told", "chosen", "tasks", "tell"]

CLAIMS: dict[str, Claim] = {
    module.CLAIM.id: module.CLAIM
    for module in (phases, second_layer_first, alternation, one_layer, out_of_distribution, plateaus)
}
"""The one place where a claim is registered."""


def chosen(ids: Sequence[str] = ()) -> list[Claim]:
    """The claims called `ids`, or all; a ``ValueError`` names an unknown one."""
    return [CLAIMS[arguments.one_of("claim", one, CLAIMS)] for one in ids] or list(CLAIMS.values())


def tasks(claims: Iterable[Claim], size: str) -> list[Task]:
    """What has to be trained for the claims in a suite of this size, each once."""
    return list(dict.fromkeys(task for claim in claims for need in claim.needs(size).values() for task in need.tasks()))


def tell(claim: Claim, size: str, store: Store) -> Told | None:
    """The claim as far as `store` holds its runs; None if a suite of this size leaves it out."""
    needs = claim.needs(size)
    if not needs:
        return None
    lacking = [task.label for need in needs.values() for task in need.tasks() if task not in store]
    if lacking:
        return Told(claim, needs, (), tuple(lacking))
    runs = {name: observation(need.setting, range(need.seeds), store) for name, need in needs.items()}
    return Told(claim, needs, tuple(claim.judge(runs)))

"""Computing what a suite lacks: its jobs, and which of them come first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from onset.theory import arguments
from onset.validate import claims
from onset.validate.execution import Tally, compute, cost
from onset.validate.store.jobs import BASIN, KINDS, TRAIN, Job
from onset.validate.store.runs import Store
from onset.validate.suite.settings import Case, cases

__all__ = ["jobs", "run_jobs", "seeds_of", "wanted"]


def seeds_of(case: Case, seeds: int | None) -> range:
    """The seeds of a case, or the first `seeds`."""
    return range(case.seeds if seeds is None else arguments.integer("seeds", seeds, least=1))


def jobs(chosen: Iterable[Case], *, seeds: int | None = None, kinds: Sequence[str] = ()) -> list[Job]:
    """All jobs of the cases, or those of the named kinds; the cheapest cases first, each with all that it needs."""
    wanted = [arguments.one_of("method", kind, KINDS) for kind in kinds] or KINDS
    groups = []
    for case in chosen:
        own = [Job(case.setting, TRAIN, seed) for seed in seeds_of(case, seeds)]
        own += [Job(*told) for told in case.predicted().values()]
        own += [Job(case.setting, BASIN)] if case.toy and case.setting.task.order == 2 else []
        groups.append([job for job in own if job.kind in wanted])
    groups.sort(key=lambda group: sum(map(cost, group)))
    return [job for group in groups for job in group]


def wanted(name: str, *, seeds: int | None = None, kinds: Sequence[str] = (), claimed: Sequence[str] = ()) -> list[Job]:
    """What a suite consists of, or of it the named kinds, or what the named claims need of it; each job once, its claims' last."""
    found = [] if claimed else jobs(cases(name), seeds=seeds, kinds=kinds)
    found += [
        job for job in claims.jobs(claims.chosen(claimed), name, seeds) if claimed or not kinds or job.kind in kinds
    ]
    return list(dict.fromkeys(found))


def run_jobs(
    name: str,
    store: Store,
    *,
    seeds: int | None = None,
    kinds: Sequence[str] = (),
    claimed: Sequence[str] = (),
    **how: Any,
) -> Tally:
    """Compute what `store` lacks of a suite; `onset.validate.suite.collect` then tells what it found.

    Parameters
    ----------
    name : str
        Of `SUITES`.
    store : Store
    seeds : int, optional
        Trained models per setting; by default the suite's own.
    kinds : sequence of str
        Compute only these, of `KINDS`; by default all. What else the store holds enters the results as it is.
    claimed : sequence of str
        Compute only what these claims need, of `onset.validate.claims.CLAIMS`.
    **how
        Where and how, as `onset.validate.execution.compute` takes it.
    """
    return compute(wanted(name, seeds=seeds, kinds=kinds, claimed=claimed), store, **how)

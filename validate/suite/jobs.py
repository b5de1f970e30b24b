"""Jobs of a suite, and running those that a store lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from onset.theory import arguments
from onset.theory.laws import basins
from onset.validate import claims
from onset.validate.execution import Tally, compute, cost
from onset.validate.store.jobs import BASIN, KINDS, TRAIN, Job
from onset.validate.store.runs import Store
from onset.validate.suite.settings import Case, cases

__all__ = ["jobs", "run_jobs", "seeds_of", "suite_jobs"]


def seeds_of(case: Case, seeds: int | None) -> range:
    """The seeds of a case, or the first `seeds`."""
    return range(case.seeds if seeds is None else arguments.seed_count("seeds", seeds))


def jobs(selected: Iterable[Case], *, seeds: int | None = None, kinds: Sequence[str] = ()) -> list[Job]:
    """Jobs of the cases, all or those of some kinds; the jobs of a case stand together, the cheapest cases first."""
    kinds = [arguments.one_of("method", kind, KINDS) for kind in kinds] or KINDS
    groups = []
    for case in selected:
        group = [Job(case.setting, TRAIN, seed) for seed in seeds_of(case, seeds)]
        group += [Job(setting, method) for setting, method in case.predictors().values()]
        compared = case.toy and seeds_of(case, seeds) and basins.supports(case.setting)
        group += [Job(case.setting, BASIN)] if compared else []
        groups.append([job for job in group if job.kind in kinds])
    return [job for group in sorted(groups, key=lambda group: sum(map(cost, group))) for job in group]


def suite_jobs(
    name: str, *, seeds: int | None = None, kinds: Sequence[str] = (), claimed: Sequence[str] = ()
) -> list[Job]:
    """Jobs of a suite, or those of some kinds, or those that some claims need; each once, those of claims last."""
    of_cases = [] if claimed else jobs(cases(name), seeds=seeds, kinds=kinds)
    of_claims = claims.jobs(claims.select(claimed), name, seeds)
    of_claims = [job for job in of_claims if claimed or not kinds or job.kind in kinds]
    return list(dict.fromkeys([*of_cases, *of_claims]))


def run_jobs(
    name: str,
    store: Store,
    *,
    seeds: int | None = None,
    kinds: Sequence[str] = (),
    claimed: Sequence[str] = (),
    **options: Any,
) -> Tally:
    """Compute the jobs of a suite that `store` lacks; `onset.validate.suite.collect` then reads the results.

    Parameters
    ----------
    name : str
        Name in `SUITES`.
    store : Store
    seeds : int, optional
        Trained models per setting; by default the suite's own number.
    kinds : sequence of str
        Compute only these, of `KINDS`; by default all. Other runs in the store enter the results as they are.
    claimed : sequence of str
        Compute only what these claims need, of `onset.validate.claims.CLAIMS`.
    **options
        Where and how, as in `onset.validate.execution.compute`.
    """
    return compute(suite_jobs(name, seeds=seeds, kinds=kinds, claimed=claimed), store, **options)

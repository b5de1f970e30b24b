"""Suites: settings whose predictions are set beside trained models, and what is found.

`settings` says what is run, `running` runs it, `tolerances` what is compared and promised, `verdicts` how it is judged; `comparisons` (and
`transformer`) judge setting by setting, `errors`, `exponents` and `basins` over several; `results` holds it all.
"""

from __future__ import annotations

from collections.abc import Sequence

from validate.intervals import Interval
from validate.runs import Store
from validate.suite.comparisons import Comparison, Judged, Outcome
from validate.suite.results import Results, collect
from validate.suite.running import KINDS, Finished, run_tasks
from validate.suite.settings import METHODS, SUITES, SURROGATE, Case
from validate.suite.tolerances import TOLERANCE, TRAINED
from validate.verdicts import Verdict, judge

__all__ = [
    "KINDS",
    "METHODS",
    "SUITES",
    "SURROGATE",
    "TOLERANCE",
    "TRAINED",
    "Case",
    "Comparison",
    "Finished",
    "Interval",
    "Judged",
    "Outcome",
    "Results",
    "Verdict",
    "collect",
    "judge",
    "run",
]


def run(
    name: str,
    store: Store,
    *,
    seeds: int | None = None,
    kinds: Sequence[str] = (),
    claimed: Sequence[str] = (),
    device: str = "auto",
    fresh: bool = False,
    workers: int | None = None,
    finished: Finished = lambda task, done, total, left: None,
) -> Results:
    """Compute what `store` lacks of suite `name`, and compare.

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
        Compute only what these claims need, of `validate.claims.CLAIMS`.
    device : str
        Where models train.
    fresh : bool
        Compute even what the store holds.
    workers : int, optional
        Processes side by side; by default one per core.
    finished : callable
        Told of every task done.
    """
    run_tasks(
        name,
        store,
        seeds=seeds,
        kinds=kinds,
        claimed=claimed,
        device=device,
        fresh=fresh,
        workers=workers,
        finished=finished,
    )
    return collect(name, store, seeds=seeds)

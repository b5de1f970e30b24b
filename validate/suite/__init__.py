"""Suites: settings whose predictions are set beside trained models, and what is found.

`settings` says what is run, `running` runs it, `tolerances` what is compared and promised, `verdicts` how it is judged; `comparisons` (and
`transformer`) judge setting by setting, `errors`, `exponents` and `basins` over several; `results` holds it all.
"""

from __future__ import annotations

from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Verdict, judge
from onset.validate.suite.comparisons import Comparison, Judged, Outcome
from onset.validate.suite.jobs import run_jobs, wanted
from onset.validate.suite.results import Results, collect
from onset.validate.suite.settings import METHODS, SUITES, SURROGATE, Case
from onset.validate.suite.tolerances import TOLERANCE, TRAINED

__all__ = [
    "METHODS",
    "SUITES",
    "SURROGATE",
    "TOLERANCE",
    "TRAINED",
    "Case",
    "Comparison",
    "Interval",
    "Judged",
    "Outcome",
    "Results",
    "Verdict",
    "collect",
    "judge",
    "run_jobs",
    "wanted",
]

"""Suites: settings whose predictions are compared with trained models.

`settings` lists them, `jobs` runs them, `tolerances` says what is compared and promised; `comparisons` judges setting
by setting, `errors`, `exponents` and `basins` over several; `results` collects it all.
"""

from __future__ import annotations

from onset.validate.suite.comparisons import CaseResult, Comparison, PairVerdict
from onset.validate.suite.jobs import run_jobs, suite_jobs
from onset.validate.suite.results import Results, collect
from onset.validate.suite.settings import SUITES, Case
from onset.validate.suite.tolerances import TRAINED

__all__ = ["SUITES", "TRAINED", "Case", "CaseResult", "Comparison", "PairVerdict", "Results"]
__all__ += ["collect", "run_jobs", "suite_jobs"]

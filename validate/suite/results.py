"""Results of a suite: cases, comparisons and findings; and all of it as plain data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from onset.theory.laws.basins import Basin
from onset.theory.plain_data import plain, restored, without
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.validate import claims
from onset.validate.claims import ClaimResult
from onset.validate.inspection.formation import HeadFormation, head_formations
from onset.validate.judging.rules import CURRENT, DISAGREES
from onset.validate.judging.verdicts import holm
from onset.validate.store.jobs import BASIN, TRAIN, Job, Observation, Refused, basin, observation, prediction
from onset.validate.store.runs import Store
from onset.validate.suite.basins import BasinFinding, basins
from onset.validate.suite.comparisons import CaseResult, Comparison, compare
from onset.validate.suite.errors import ErrorSummary, Promise, error_summaries, promises
from onset.validate.suite.exponents import Exponent, exponents
from onset.validate.suite.jobs import seeds_of, suite_jobs
from onset.validate.suite.sentences import disagreements
from onset.validate.suite.settings import SUITES, Case, cases
from onset.validate.suite.tolerances import PAIRS

__all__ = ["FORMAT", "Results", "collect"]

Answer = TypeVar("Answer")

FORMAT = 4
"""Version of `Results.to_dict`."""


@dataclass(frozen=True)
class TransformerHeads:
    """When heads form in a transformer trained from `seeds` seeds, with its label and id."""

    label: str
    id: str
    seeds: int
    formed: tuple[HeadFormation, ...]


@dataclass(frozen=True)
class Results:
    """Results of all cases of a suite, comparisons drawn from them, and findings over several settings.

    Attributes
    ----------
    suite : str
    cases : tuple of CaseResult
        With predictions and trained models, unless the results were read from a file.
    comparisons, promises, basins, exponents, claims : tuple
    heads : tuple of TransformerHeads
        Of every trained transformer; where claims share a setting, of the run with most seeds.
    assumptions : mapping of method to mapping of str to int
        Assumptions of each method, and the number of settings with each.
    missing : tuple of str
        Labels of runs that were not there.
    """

    suite: str
    cases: tuple[CaseResult, ...]
    comparisons: tuple[Comparison, ...]
    promises: tuple[Promise, ...]
    basins: tuple[BasinFinding, ...]
    exponents: tuple[Exponent, ...]
    claims: tuple[ClaimResult, ...] = ()
    heads: tuple[TransformerHeads, ...] = ()
    assumptions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all runs are there and nothing that the suite promises fails, comparisons judged as one family."""
        promised = [pair.verdict for c in self.comparisons for pair in c.judged if pair.promised]
        refuted = any(verdict.kind == DISAGREES for verdict in holm(promised))
        return not (self.missing or refuted) and all(promise.holds for promise in self.promises)

    @cached_property
    def error_summaries(self) -> tuple[ErrorSummary, ...]:
        return tuple(error_summaries(self.comparisons, {case.setting.label: case.setting for case in self.cases}))

    @cached_property
    def disagreements(self) -> tuple[str, ...]:
        return tuple(disagreements(self.comparisons, self.promises, self.basins, self.exponents))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: settings with all predictions and trained models, comparisons with verdicts, findings."""
        data = {
            "format": FORMAT,
            "suite": self.suite,
            "rule": CURRENT,
            "holds": self.holds,
            "missing": list(self.missing),
            "pairs": [{"lower": p.lower, "upper": p.upper, "next_rung": p.next_rung} for p in PAIRS],
            "assumptions": self.assumptions,
            "claims": [result.to_dict() for result in self.claims],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "findings": {
                "errors": [asdict(summary) for summary in self.error_summaries],
                "promises": [promise.to_dict() for promise in self.promises],
                "exponents": [asdict(exponent) for exponent in self.exponents],
                "basins": [asdict(finding) for finding in self.basins],
                "disagreements": list(self.disagreements),
            },
            "heads": [asdict(heads) for heads in self.heads],
            "settings": [_setting(case) for case in self.cases],
        }
        return plain(data)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Results:
        """The results that `to_dict` wrote, without the curves of predictions and trained models.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the data are of another kind.
        """
        known = {case.setting.id: case for case in cases(data["suite"])} if data["suite"] in SUITES else {}
        results = []
        for entry in data["settings"]:
            setting = Setting.from_dict(without(entry["setting"], "id"))
            case = known.get(setting.id) or Case(setting, group=entry["group"])
            results.append(CaseResult(case, {}, None))
        findings = data["findings"]
        return cls(
            data["suite"],
            tuple(results),
            restored(tuple[Comparison, ...], data["comparisons"]),
            restored(tuple[Promise, ...], findings["promises"]),
            restored(tuple[BasinFinding, ...], findings["basins"]),
            restored(tuple[Exponent, ...], findings["exponents"]),
            tuple(map(ClaimResult.from_dict, data["claims"])),
            restored(tuple[TransformerHeads, ...], data["heads"]),
            restored(dict[str, dict[str, int]], data["assumptions"]),
            tuple(data["missing"]),
        )


def collect(name: str, store: Store, *, seeds: int | None = None) -> Results:
    """Results of a suite from the runs in `store`; runs that it lacks are named in `missing`."""
    results = [_result(case, store, seeds_of(case, seeds)) for case in cases(name)]
    comparisons = tuple(comparison for result in results for comparison in compare(result))
    settings = {result.setting.label: result.setting for result in results}
    evaluated = (claims.evaluate(claim, name, store, seeds) for claim in claims.select())
    claimed = tuple(result for result in evaluated if result is not None)
    return Results(
        name,
        tuple(results),
        comparisons,
        tuple(promises(comparisons, settings)),
        tuple(basins(results)),
        tuple(exponents(comparisons, settings)),
        claimed,
        tuple(_heads([*(case.observed for case in results), *(run for c in claimed for run in c.runs.values())])),
        _assumptions(results),
        tuple(job.label for job in suite_jobs(name, seeds=seeds) if job not in store),
    )


def _heads(runs: Iterable[Any]) -> Iterator[TransformerHeads]:
    most: dict[Setting, Observation] = {}
    for run in runs:
        if isinstance(run, Observation) and run.setting.model.architecture:
            other = most.setdefault(run.setting, run)
            most[run.setting] = max(other, run, key=lambda observed: len(observed.seeds))
    for run in most.values():
        if run.seeds:
            yield TransformerHeads(run.setting.label, run.setting.id, len(run.seeds), tuple(head_formations(run)))


def _assumptions(results: Iterable[CaseResult]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for case in results:
        for answer in case.answers.values():
            counts[answer.method]["; ".join(answer.assumptions)] += 1
    return {method: dict(texts) for method, texts in counts.items()}


def _result(case: Case, store: Store, seeds: Sequence[int]) -> CaseResult:
    """What `store` holds of a case."""
    setting = case.setting
    predictions: dict[str, Prediction | str] = {}
    for name, (predictor, method) in case.predictors().items():
        if Job(predictor, method) in store:
            predictions[name] = _or_reason(prediction, predictor, method, store)
    trained = [seed for seed in seeds if Job(setting, TRAIN, seed) in store]
    leads_to: Basin | str | None = None
    if case.toy and Job(setting, BASIN) in store:
        leads_to = _or_reason(basin, setting, store)
    return CaseResult(case, predictions, observation(setting, trained, store) if trained else None, leads_to)


def _or_reason(read: Callable[..., Answer], *arguments: Any) -> Answer | str:
    """What `read` returns, or the reason why the theory does not answer."""
    try:
        return read(*arguments)
    except Refused as problem:
        return str(problem)


def _setting(case: CaseResult) -> dict[str, Any]:
    """Plain data of one case; the setting stands here once, and assumptions once for all settings."""
    setting, observed, leads_to = case.setting, None, case.basin
    if case.observed is not None:
        observed = without(case.observed.to_dict(), "setting", "method")
        observed["seconds"] = [notes.get("seconds") for notes in case.observed.notes]
    if isinstance(leads_to, Basin):
        leads_to = {name: getattr(leads_to, name) for name in ("sign", "size", "error", "lags")}
    return {
        "label": setting.label,
        "group": case.case.group,
        "setting": setting.to_dict() | {"id": setting.id},
        "observed": observed,
        "predicted": {
            name: {"refused": answer}
            if isinstance(answer, str)
            else without(answer.to_dict(), "setting", "assumptions")
            for name, answer in case.predictions.items()
        },
        "basin": leads_to,
    }

"""What a suite found: outcomes, comparisons, findings; and all of it as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onset.theory.laws.basins import Basin
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.validate import claims
from onset.validate.claims import Told
from onset.validate.inspection.formation import HeadFormation, head_formations
from onset.validate.store.jobs import BASIN, TRAIN, Job, Observation, Refused, basin, observation, prediction
from onset.validate.store.json_data import finite, without
from onset.validate.store.runs import Store
from onset.validate.suite.basins import BasinFinding, basins
from onset.validate.suite.comparisons import Comparison, Outcome, compare
from onset.validate.suite.errors import Promise, Spread, promises, spreads
from onset.validate.suite.exponents import Exponent, exponents
from onset.validate.suite.jobs import seeds_of
from onset.validate.suite.sentences import disagreements
from onset.validate.suite.settings import Case, cases
from onset.validate.suite.tolerances import PAIRS
from onset.validate.suite.transformer import compare_transformer

__all__ = ["FORMAT", "Results", "collect"]

FORMAT = 3
"""Of `Results.to_dict`."""


@dataclass(frozen=True)
class Results:
    """All outcomes of a suite, the comparisons drawn from them, and what is seen only over several settings."""

    suite: str
    outcomes: tuple[Outcome, ...]
    comparisons: tuple[Comparison, ...]
    promises: tuple[Promise, ...]
    basins: tuple[BasinFinding, ...]
    exponents: tuple[Exponent, ...]
    claims: tuple[Told, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing that the suite promises fails."""
        return all(one.holds for one in (*self.comparisons, *self.promises))

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        return tuple(spreads(self.comparisons, {o.setting.label: o.setting for o in self.outcomes}))

    @cached_property
    def disagreements(self) -> tuple[str, ...]:
        return tuple(disagreements(self.comparisons, self.promises, self.basins, self.exponents))

    @cached_property
    def heads(self) -> tuple[tuple[Observation, list[HeadFormation]], ...]:
        """When heads form in every transformer that the suite or its claims trained; of a setting that several ask for, by most seeds."""
        suite = [outcome.observed for outcome in self.outcomes]
        claimed = [run for told in self.claims for run in told.runs.values() if isinstance(run, Observation)]
        most: dict[Setting, Observation] = {}
        for one in (*suite, *claimed):
            if (
                one is not None
                and one.setting.model.architecture
                and len(one.seeds) > len(getattr(most.get(one.setting), "seeds", ()))
            ):
                most[one.setting] = one
        return tuple((one, head_formations(one)) for one in most.values())

    @cached_property
    def assumptions(self) -> dict[str, dict[str, int]]:
        """What each method assumes, and for how many settings."""
        found: dict[str, dict[str, int]] = {}
        for told in (told for outcome in self.outcomes for told in outcome.answers.values()):
            texts, text = found.setdefault(told.method, {}), "; ".join(told.assumptions)
            texts[text] = texts.get(text, 0) + 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data: settings with what each method and the trained models say, comparisons with verdicts, findings."""
        data = {
            "format": FORMAT,
            "suite": self.suite,
            "holds": self.holds,
            "missing": list(self.missing),
            "pairs": [{"lower": p.lower, "upper": p.upper, "next_rung": p.next_rung} for p in PAIRS],
            "assumptions": self.assumptions,
            "claims": [one.to_dict() for one in self.claims],
            "comparisons": [c.to_dict() for c in self.comparisons],
            "findings": {
                "errors": [one.to_dict() for one in self.spreads],
                "promises": [one.to_dict() for one in self.promises],
                "exponents": [one.to_dict() for one in self.exponents],
                "basins": [one.to_dict() for one in self.basins],
                "disagreements": list(self.disagreements),
            },
            "heads": [
                {
                    "label": observed.setting.label,
                    "id": observed.setting.id,
                    "seeds": len(observed.seeds),
                    "formed": [one.to_dict() for one in found],
                }
                for observed, found in self.heads
            ],
            "settings": [_setting(outcome) for outcome in self.outcomes],
        }
        return finite(data)


def collect(name: str, store: Store, *, seeds: int | None = None) -> Results:
    """The results of a suite as far as `store` holds its runs; what it lacks is named in `missing`."""
    found, missing = [], []
    for case in cases(name):
        outcome, lacks = _outcome(case, store, seeds_of(case, seeds))
        found.append(outcome)
        missing += lacks
    comparisons = [c for o in found for c in (compare(o) if o.case.toy else compare_transformer(o))]
    settings = {o.setting.label: o.setting for o in found}
    told = tuple(one for claim in claims.chosen() if (one := claims.tell(claim, name, store, seeds)) is not None)
    return Results(
        name,
        tuple(found),
        tuple(comparisons),
        tuple(promises(comparisons, settings)),
        tuple(basins(found)),
        tuple(exponents(comparisons, settings)),
        told,
        tuple(dict.fromkeys([*missing, *(lack for one in told for lack in one.missing)])),
    )


def _outcome(case: Case, store: Store, seeds: Sequence[int]) -> tuple[Outcome, list[str]]:
    setting, lacks = case.setting, []
    told: dict[str, Prediction | str] = {}
    for name, (predicted, method) in case.predicted().items():
        job = Job(predicted, method)
        if job not in store:
            lacks.append(job.label)
            continue
        try:
            told[name] = prediction(predicted, method, store)
        except Refused as problem:
            told[name] = str(problem)
    here = [seed for seed in seeds if Job(setting, TRAIN, seed) in store]
    lacks += [Job(setting, TRAIN, seed).label for seed in seeds if seed not in here]
    observed = observation(setting, here, store) if here else None
    leads: Basin | str | None = None
    if case.toy and Job(setting, BASIN) in store:
        try:
            leads = basin(setting, store)
        except Refused as problem:
            leads = str(problem)
    return Outcome(case, told, observed, leads), lacks


def _setting(outcome: Outcome) -> dict[str, Any]:
    seen, leads, setting = outcome.observed, outcome.basin, outcome.setting
    # The setting stands here once, and what methods assume once for all settings.
    observed = None if seen is None else without(seen.to_dict(), "setting", "method")
    if seen is not None and observed is not None:
        observed["seconds"] = [notes.get("seconds") for notes in seen.notes]
    return {
        "label": setting.label,
        "group": outcome.case.group,
        "setting": setting.to_dict() | {"id": setting.id},
        "observed": observed,
        "predicted": {
            name: {"refused": told} if isinstance(told, str) else without(told.to_dict(), "setting", "assumptions")
            for name, told in outcome.predictions.items()
        },
        "basin": {"sign": leads.sign, "size": leads.size, "error": leads.error, "lags": list(leads.lags)}
        if isinstance(leads, Basin)
        else leads,
    }

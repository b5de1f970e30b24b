"""Comparisons: one quantity of one setting by every rung and as trained, and the verdict of every pair of rungs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from onset.theory.laws.basins import Basin
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource
from onset.validate.judging.intervals import Interval, relative_error
from onset.validate.judging.verdicts import DISAGREES, Verdict, judge
from onset.validate.store.jobs import Observation
from onset.validate.suite.settings import Case
from onset.validate.suite.tolerances import PAIRS, TRAINED

__all__ = ["Comparison", "Judged", "Outcome", "compare"]


@dataclass(frozen=True)
class Outcome:
    """A case with what predicts it, by name, its trained models and its basin; a text in place of a prediction is the reason why there is none."""

    case: Case
    predictions: Mapping[str, Prediction | str]
    observed: Observation | None
    basin: Basin | str | None = None

    @property
    def setting(self) -> Setting:
        return self.case.setting

    @property
    def answers(self) -> dict[str, Prediction]:
        """The predictions that there are."""
        return {name: told for name, told in self.predictions.items() if isinstance(told, Prediction)}


@dataclass(frozen=True)
class Judged:
    """A verdict on a pair of rungs."""

    lower: str
    upper: str
    verdict: Verdict
    promised: bool
    next_rung: bool = True

    @property
    def holds(self) -> bool:
        return not self.promised or self.verdict.kind != DISAGREES


@dataclass(frozen=True)
class Comparison:
    """One quantity of one setting.

    Attributes
    ----------
    setting, group, quantity, unit : str
    predicted : dict of rung to Interval
        What each rung says; refusals with their reason.
    observed : Interval
        Of the trained models.
    judged : tuple of Judged
        Of the pairs of rungs that both have an answer.
    """

    setting: str
    group: str
    quantity: str
    unit: str
    predicted: dict[str, Interval]
    observed: Interval
    judged: tuple[Judged, ...]

    @property
    def errors(self) -> dict[str, float | None]:
        """Relative to the observed value, by rung."""
        return {rung: relative_error(interval, self.observed) for rung, interval in self.predicted.items()}

    @property
    def verdict(self) -> Judged | None:
        """The one on the highest rung below the trained models."""
        return next((one for one in reversed(self.judged) if one.upper == TRAINED and one.next_rung), None)

    @property
    def holds(self) -> bool:
        return all(one.holds for one in self.judged)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"errors": self.errors, "holds": self.holds}


def compare(outcome: Outcome) -> Iterator[Comparison]:
    """The steps of every passage to a strategy that takes a head, and of every head's formation."""
    case, setting = outcome.case, outcome.setting
    answers = {name: _read(told) for name, told in outcome.answers.items()}
    seen = {} if outcome.observed is None else _read(outcome.observed)
    refused = {
        name: Interval(None, reason=told, refused=True)
        for name, told in outcome.predictions.items()
        if isinstance(told, str)
    }
    for quantity in seen or next(iter(answers.values()), {}):
        observed = seen.get(quantity, Interval(None, reason="not trained yet", refused=True))
        # The law and others for plain chains do not tell of a second head.
        predicted = {name: told[quantity] for name, told in answers.items() if quantity in told} | refused
        predicted = {name: predicted[name] for name in outcome.predictions if name in predicted}
        sides = predicted | {TRAINED: observed}
        seeds = None if outcome.observed is None else len(outcome.observed.seeds)
        judged = tuple(
            Judged(
                pair.lower,
                pair.upper,
                judge(
                    sides[pair.lower],
                    sides[pair.upper],
                    pair.tolerance(setting),
                    seeds=seeds if pair.upper == TRAINED else None,
                ),
                pair.promised(setting) and case.toy,
                pair.next_rung,
            )
            for pair in PAIRS
            if pair.applies(setting)
            and all(side in sides and not sides[side].refused for side in (pair.lower, pair.upper))
        )
        yield Comparison(setting.label, case.group, quantity, "steps", predicted, observed, judged)


def _read(read_off: Prediction | Observation) -> dict[str, Interval]:
    """Quantity → step, in the order in which they are expected."""
    curves = read_off.trajectories
    # Those that pass end earlier than those that do not.
    limit = max(float(one.steps[-1]) for one in curves)
    each = [_named(one) for one in curves]
    return {
        name: Interval.of(found, limit, [own[name].step is not None for own in each])
        for name, found in _named(read_off).items()
    }


def _named(read_off: TransitionSource) -> dict[str, Transition]:
    passages, formations = read_off.read(FORMATION_LEVEL)
    names = ["formation", *(f"formation of lag {lag}" for lag in range(2, len(formations) + 1))]
    return {f"{t.source} → {t.target}": t for t in passages[1:]} | dict(zip(names, formations, strict=True))

"""Comparisons: one quantity of one setting by every method and as trained, with a verdict for each pair of rungs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from onset.theory.laws.basins import Basin
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL, Transition, TransitionSource
from onset.validate.judging.intervals import Interval, relative_error
from onset.validate.judging.trained import ideal_losses, takes_in_order
from onset.validate.judging.verdicts import DISAGREES, Verdict, judge, of_share
from onset.validate.store.jobs import Observation
from onset.validate.suite.settings import Case
from onset.validate.suite.tolerances import PAIRS, TRAINED

__all__ = ["CaseResult", "Comparison", "PairVerdict", "compare"]


@dataclass(frozen=True)
class CaseResult:
    """A case with its predictions by name, its trained models and its basin; a text is the reason why there is none."""

    case: Case
    predictions: Mapping[str, Prediction | str]
    observed: Observation | None
    basin: Basin | str | None = None

    @property
    def setting(self) -> Setting:
        return self.case.setting

    @property
    def answers(self) -> dict[str, Prediction]:
        """Predictions that were not refused."""
        return {name: answer for name, answer in self.predictions.items() if isinstance(answer, Prediction)}


@dataclass(frozen=True)
class PairVerdict:
    """Verdict on the lower rung of a pair, judged by the upper one."""

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
        Refusals hold their reason.
    observed : Interval
        Trained models.
    judged : tuple of PairVerdict
        Pairs of rungs that both have an answer.
    """

    setting: str
    group: str
    quantity: str
    unit: str
    predicted: dict[str, Interval]
    observed: Interval
    judged: tuple[PairVerdict, ...]

    @property
    def errors(self) -> dict[str, float | None]:
        """Error relative to the observed value, by rung."""
        return {rung: relative_error(interval, self.observed) for rung, interval in self.predicted.items()}

    @property
    def highest_pair(self) -> PairVerdict | None:
        """Verdict on the highest rung below the trained models."""
        return next((pair for pair in reversed(self.judged) if pair.upper == TRAINED and pair.next_rung), None)

    @property
    def holds(self) -> bool:
        return all(pair.holds for pair in self.judged)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"errors": self.errors, "holds": self.holds}


def compare(result: CaseResult) -> Iterator[Comparison]:
    """Steps of all quantities; for a setting without a theory of its own also losses, and transitions in order."""
    yield from _steps(result)
    if result.case.toy or result.observed is None:
        return
    runs = result.observed.trajectories
    for quantity, strategy, exact, observed, verdict in ideal_losses(result.setting, runs):
        judged = PairVerdict(f"ideal {strategy}", TRAINED, verdict, promised=False)
        yield _comparison(result, quantity, "nats", {judged.lower: exact}, observed, judged)
    ordered = sum(map(takes_in_order, runs))
    verdict = of_share(ordered, len(runs), "seeds take them in order")
    judged = PairVerdict("theory", TRAINED, verdict, promised=True)
    quantity = f"seeds in order {' → '.join(result.setting.task.strategies)}"
    yield _comparison(result, quantity, "share", {"theory": Interval(1.0)}, Interval(ordered / len(runs)), judged)


def _comparison(
    result: CaseResult,
    quantity: str,
    unit: str,
    predicted: dict[str, Interval],
    observed: Interval,
    *judged: PairVerdict,
) -> Comparison:
    return Comparison(result.setting.label, result.case.group, quantity, unit, predicted, observed, judged)


def _steps(result: CaseResult) -> Iterator[Comparison]:
    """Steps of each transition to a strategy that needs a head, and of each head's formation."""
    lags = result.setting.task.lags
    predicted = {name: _intervals(answer, lags) for name, answer in result.answers.items()}
    trained = {} if result.observed is None else _intervals(result.observed, lags)
    for quantity in trained or next(iter(predicted.values()), {}):
        sides: dict[str, Interval] = {}
        for name, answer in result.predictions.items():
            if isinstance(answer, str):
                sides[name] = Interval(None, reason=answer, refused=True)
            elif quantity in predicted[name]:  # laws of order 2 do not predict a second head
                sides[name] = predicted[name][quantity]
        observed = trained.get(quantity, Interval(None, reason="not trained yet", refused=True))
        judged = _judged(sides | {TRAINED: observed}, result)
        yield _comparison(result, quantity, "steps", sides, observed, *judged)


def _judged(sides: Mapping[str, Interval], result: CaseResult) -> Iterator[PairVerdict]:
    """Verdicts on the pairs of rungs that both answer."""
    setting, seeds = result.setting, None if result.observed is None else len(result.observed.seeds)
    for pair in PAIRS:
        lower, upper = sides.get(pair.lower), sides.get(pair.upper)
        if lower is None or upper is None or lower.refused or upper.refused or not pair.applies(setting):
            continue
        verdict = judge(lower, upper, pair.tolerance(setting), seeds=seeds if pair.upper == TRAINED else None)
        promised = pair.promised(setting) and result.case.toy
        yield PairVerdict(pair.lower, pair.upper, verdict, promised, pair.next_rung)


def _intervals(source: Prediction | Observation, lags: tuple[int, ...]) -> dict[str, Interval]:
    """Interval of each quantity, in the order in which they are expected."""
    curves = source.trajectories
    # Curves that make their transition end earlier than those that do not.
    limit = max(float(curve.steps[-1]) for curve in curves)
    by_curve = [_transitions(curve, lags) for curve in curves]
    return {
        name: Interval.of(transition, limit, [own[name].step is not None for own in by_curve])
        for name, transition in _transitions(source, lags).items()
    }


def _transitions(source: TransitionSource, lags: tuple[int, ...]) -> dict[str, Transition]:
    """Transitions to strategies that need a head (to all, if the task needs none), and formations of heads."""
    between, formations = source.read(FORMATION_LEVEL)
    heads = {
        "formation" if lag == lags[0] else f"formation of lag {lag}": t for lag, t in zip(lags, formations, strict=True)
    }
    return {f"{t.source} → {t.target}": t for t in between[-len(lags) :]} | heads

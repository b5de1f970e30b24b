"""Suites: settings whose predictions are set beside trained models, and the verdicts.

A verdict compares one quantity: *agrees* within the tolerance fixed here beforehand, *inconclusive* if it does not but the
intervals overlap (more seeds would decide), *disagrees* otherwise. A suite declares which verdicts it expects to
agree; the others are reported as they come.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from theory import arguments
from theory.ideal import finite_loss
from theory.predict import Prediction
from theory.priors import Dirichlet, DoublyStochastic
from theory.setting import Setting
from theory.transitions import STRATEGIES, Transition
from validate.observed import TRAIN, Observation, Task, compute, observation, prediction
from validate.runs import Store

__all__ = ["SUITES", "Case", "Comparison", "Results", "collect", "run"]

TOLERANCE = 0.05
"""Relative error within which finite context must agree with trained toy models, for each quantity."""
MEDIAN_TOLERANCE = 0.03
"""The same for the median over all of them."""
Z = 1.96
RUNGS = ("mean-field", "finite-context")


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval; None with a reason if there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, transition: Transition) -> Interval:
        return cls(transition.step, transition.low, transition.high, transition.reason)

    def overlaps(self, other: Interval) -> bool:
        if None in (self.low, self.high, other.low, other.high):
            return False
        return bool(self.low <= other.high and other.low <= self.high)  # type: ignore[operator]


@dataclass(frozen=True)
class Comparison:
    """One quantity of one setting: what each rung predicts, what was observed, and the verdict on `judged`.

    `errors` are relative to the observed value. `expected` says whether the suite counts on agreement.
    """

    setting: str
    quantity: str
    unit: str
    predicted: dict[str, Interval]
    observed: Interval
    judged: str | None
    verdict: str
    expected: bool

    @property
    def errors(self) -> dict[str, float | None]:
        return {rung: relative_error(interval, self.observed) for rung, interval in self.predicted.items()}

    @property
    def holds(self) -> bool:
        return not self.expected or self.verdict != "disagrees"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"errors": self.errors, "holds": self.holds}


@dataclass(frozen=True)
class Case:
    """A setting of a suite, and how many seeds of it are trained by default.

    `surrogate` is the toy setting that predicts a family without a theory of its own.
    """

    setting: Setting
    seeds: int
    surrogate: Setting | None = None

    def predictions(self) -> dict[str, Task]:
        if self.surrogate is not None:
            return {"softmax toy": Task(self.surrogate, "mean-field")}
        return {rung: Task(self.setting, rung) for rung in RUNGS}


@dataclass(frozen=True)
class Outcome:
    """A case with its predictions and its trained models."""

    case: Case
    predictions: dict[str, Prediction]
    observed: Observation


@dataclass(frozen=True)
class Results:
    """All outcomes of a suite and the comparisons drawn from them."""

    suite: str
    outcomes: tuple[Outcome, ...]
    comparisons: tuple[Comparison, ...]
    findings: tuple[Comparison, ...]

    @property
    def holds(self) -> bool:
        return all(c.holds for c in (*self.comparisons, *self.findings))


def _transformer(states: int) -> Case:
    setting = Setting.of("transformer", states=states, context=100)
    rate = setting.optimizer.learning_rate["weights"]
    surrogate = Setting.of(
        "softmax",
        states=states,
        context=100,
        optimizer="adam",
        learning_rate=rate,
        betas=setting.optimizer.betas,
        steps=8000,
        record_every=40,
    )
    return Case(setting, 2, surrogate)


def _quick() -> tuple[Case, ...]:
    linear = [Setting.of("linear", states=k, context=t) for k, t in ((2, 50), (2, 100), (2, 200), (3, 100), (4, 100))]
    linear += [Setting.of("linear", prior=prior, context=100) for prior in (DoublyStochastic(3), Dirichlet(3, 0.3))]
    softmax = [
        Setting.of("softmax", states=3, context=t, optimizer=name) for name in ("sgd", "adam") for t in (25, 50, 100)
    ]
    return (*(Case(setting, 4) for setting in (*linear, *softmax)), _transformer(2))


SUITES: dict[str, Callable[[], tuple[Case, ...]]] = {"quick": _quick}
"""The one place where a suite is registered."""


def run(
    name: str,
    store: Store,
    *,
    seeds: int | None = None,
    device: str = "auto",
    fresh: bool = False,
    workers: int | None = None,
    finished: Callable[[Task, int, int], None] = lambda task, done, total: None,
) -> Results:
    """Compute what `store` lacks of suite `name`, with `seeds` seeds per setting (default: the suite's own), and compare."""
    cases = _cases(name)
    tasks = [Task(case.setting, TRAIN, seed) for case in reversed(cases) for seed in _seeds(case, seeds)]
    tasks += [task for case in reversed(cases) for task in case.predictions().values()]
    tasks.sort(key=lambda task: task.setting.family != "transformer")  # the longest first
    compute(tasks, store, device=device, fresh=fresh, workers=workers, finished=finished)
    return collect(name, store, seeds=seeds)


def collect(name: str, store: Store, *, seeds: int | None = None) -> Results:
    """The results of a suite whose runs `store` holds."""
    outcomes = []
    for case in _cases(name):
        predictions = {rung: prediction(task.setting, task.kind, store) for rung, task in case.predictions().items()}
        outcomes.append(Outcome(case, predictions, observation(case.setting, _seeds(case, seeds), store)))
    comparisons = [
        c
        for outcome in outcomes
        for c in (_compare_toy(outcome) if outcome.case.surrogate is None else _compare_transformer(outcome))
    ]
    return Results(name, tuple(outcomes), tuple(comparisons), tuple(_findings(outcomes, comparisons)))


def _cases(name: str) -> tuple[Case, ...]:
    return SUITES[arguments.one_of("suite", name, SUITES)]()


def _seeds(case: Case, seeds: int | None) -> range:
    return range(case.seeds if seeds is None else arguments.integer("seeds", seeds, least=1))


def relative_error(predicted: Interval, observed: Interval) -> float | None:
    """(predicted - observed) / observed, or None if either is missing."""
    if predicted.value is None or not observed.value:
        return None
    return (predicted.value - observed.value) / observed.value


def judge(predicted: Interval, observed: Interval, tolerance: float) -> str:
    """Verdict on a prediction with a relative tolerance."""
    error = relative_error(predicted, observed)
    if error is None:
        return "agrees" if predicted.value is None and observed.value is None else "disagrees"
    if abs(error) <= tolerance:
        return "agrees"
    return "inconclusive" if predicted.overlaps(observed) else "disagrees"


def _steps(outcome: Outcome) -> Iterable[tuple[str, dict[str, Interval], Interval]]:
    """The quantities in steps that every case has: unigram → bigram and formation."""
    passages, formation = outcome.observed.transitions()
    predicted = {rung: p.transitions() for rung, p in outcome.predictions.items()}
    yield (
        "unigram → bigram",
        {rung: Interval.of(p[-1]) for rung, (p, _) in predicted.items()},
        Interval.of(passages[-1]),
    )
    yield "formation", {rung: Interval.of(f) for rung, (_, f) in predicted.items()}, Interval.of(formation)


def _compare_toy(outcome: Outcome) -> Iterable[Comparison]:
    for quantity, predicted, observed in _steps(outcome):
        verdict = judge(predicted["finite-context"], observed, TOLERANCE)
        yield Comparison(
            outcome.case.setting.label, quantity, "steps", predicted, observed, "finite-context", verdict, True
        )


def _compare_transformer(outcome: Outcome) -> Iterable[Comparison]:
    label = outcome.case.setting.label
    for quantity, predicted, observed in _steps(outcome):
        verdict = judge(predicted["softmax toy"], observed, TOLERANCE)
        yield Comparison(label, quantity, "steps", predicted, observed, "softmax toy", verdict, False)
    setting = outcome.case.setting
    for quantity, strategy, where in (
        ("plateau loss", "unigram", _nearest_unigram),
        ("final loss", "bigram", lambda one: -1),
    ):
        ideal = finite_loss(setting.prior, strategy, setting.context).value
        above, error = np.mean([one.excess[strategy][where(one)] for one in outcome.observed.trajectories], axis=0)
        # Seeds are measured on sequences of their own, so their errors are independent.
        half = Z * float(error / np.sqrt(len(outcome.observed.trajectories)))
        loss = ideal + float(above)
        observed = Interval(loss, loss - half, loss + half)
        verdict = "agrees" if abs(above) <= half else "disagrees"
        yield Comparison(
            label,
            quantity,
            "nats",
            {f"ideal {strategy}": Interval(ideal, ideal, ideal)},
            observed,
            f"ideal {strategy}",
            verdict,
            False,
        )
    order = [[t.step for t in one.transitions()[0]] for one in outcome.observed.trajectories]
    in_order = [None not in steps and steps == sorted(steps) for steps in order]  # type: ignore[type-var]
    share = Interval(float(np.mean(in_order)))
    yield Comparison(
        label,
        f"seeds in order {' → '.join(STRATEGIES)}",
        "share",
        {"theory": Interval(1.0)},
        share,
        "theory",
        "agrees" if all(in_order) else "disagrees",
        True,
    )


def _nearest_unigram(one: Any) -> int:
    return int(np.argmin(one.distances["unigram"]))


def _findings(outcomes: Sequence[Outcome], comparisons: Sequence[Comparison]) -> Iterable[Comparison]:
    """What is seen only over several settings."""
    errors = [abs(e) for c in comparisons if (e := c.errors.get("finite-context")) is not None]
    if errors:
        median = statistics.median(errors)
        verdict = "agrees" if median <= MEDIAN_TOLERANCE else "disagrees"
        yield Comparison(
            "all toy settings",
            "median |error| of finite context",
            "share",
            {"limit": Interval(MEDIAN_TOLERANCE)},
            Interval(median),
            "limit",
            verdict,
            True,
        )
    by_label = {outcome.case.setting.label: outcome.case.setting for outcome in outcomes}
    series: dict[tuple[Setting, str], list[tuple[int, float]]] = {}
    for c in comparisons:
        error = c.errors.get("mean-field")
        if error is not None:
            setting = by_label[c.setting]
            key = (
                Setting.of(setting.family, prior=setting.prior, optimizer=setting.optimizer.name, context=2),
                c.quantity,
            )
            series.setdefault(key, []).append((setting.context, abs(error)))
    for (setting, quantity), points in series.items():
        if len(points) > 1:
            (first, start), *_, (last, end) = sorted(points)
            name = replace(setting, context=last).label.replace(f" T={last}", f" T={first}…{last}")
            verdict = "agrees" if end < start else "disagrees"
            yield Comparison(
                name,
                f"mean-field |error| of {quantity} falls",
                "share",
                {f"T={first}": Interval(start)},
                Interval(end),
                f"T={first}",
                verdict,
                setting.family == "linear",
            )

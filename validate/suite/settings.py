"""The suites: the settings of each, in groups, with their seeds and the methods that predict them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from onset.simulate import predict as predictions
from onset.theory import arguments
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.setting import Setting
from onset.validate.claims.markov.published import SEEDS as PUBLISHED_SEEDS
from onset.validate.claims.markov.published import mixture, published

__all__ = ["METHODS", "PLATEAU_RATES", "SUITES", "SURROGATE", "Case", "cases", "plateau_setting"]

SURROGATE = "softmax toy"
"""Name under which the toy model's prediction stands for a family without a theory of its own."""

METHODS = tuple(predictions.METHODS)
"""Methods of prediction: the rungs below the trained models, the lowest first."""

QUICK = ("law", "mean-field", "finite-context")
"""Methods that take seconds."""

CORRECTED = ("law-corrected", "mean-field-corrected", "finite-context")
"""Methods that are corrected for finite context, and finite context itself."""

SEEDS = 4
"""Seeds of a toy model by default."""

SHORT_CONTEXT, SEEDS_OF_SHORT = 100, 8
"""Contexts up to which a toy trains in seconds, and its seeds then in the standard suite: with 8 the 95% interval of a
mean is half as wide as with 4, by Student's quantiles and the number of seeds."""


PLATEAU_RATES = {2: 100.0, 3: 200.0, 4: 400.0}
"""Learning rate of the match times T² in the suite plateau-law: large enough for the law, and stable under descent."""


CALIBRATION = 320
"""Settings of the suite calibration; the law refuses about a third."""

CONCENTRATIONS = (0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0)
"""Concentrations there; few, as matrices that stand for a prior are chosen once for all settings with it."""

CALIBRATED = ((30.0, 1e5), (0.2, 5.0))
"""Ranges there, on a logarithmic scale: of the context, and of the match's rate relative to 50 k/T²."""


@dataclass(frozen=True)
class Case:
    """A setting of a suite.

    Attributes
    ----------
    setting : Setting
    seeds : int
        Models that are trained by default.
    surrogate : Setting or None
        Toy setting that predicts a family without a theory of its own.
    group : str
        Table in which it is shown.
    methods : tuple of str
        Methods that predict it.
    """

    setting: Setting
    seeds: int = SEEDS
    surrogate: Setting | None = None
    group: str = "toy models"
    methods: tuple[str, ...] = field(default=METHODS)

    @property
    def toy(self) -> bool:
        return self.surrogate is None

    def predictors(self) -> dict[str, tuple[Setting, str]]:
        """Setting and method of each prediction, by its name."""
        if self.surrogate is not None:
            return {SURROGATE: (self.surrogate, "mean-field")}
        return {method: (self.setting, method) for method in self.methods}


def cases(name: str) -> tuple[Case, ...]:
    """The cases of the suite called `name`; a ``ValueError`` if there is none."""
    return SUITES[arguments.one_of("suite", name, SUITES)]()


def _transformer(states: int, size: str) -> Case:
    """The published transformer, with the seeds that claims train in a suite of this size."""
    setting = published(states)
    rate = setting.training.optimizer.learning_rate["weights"]
    surrogate = Setting.of(
        "softmax",
        states=states,
        context=100,
        optimizer="adam",
        learning_rate=rate,
        betas=setting.training.optimizer.betas,
        steps=8000,
        record_every=40,
    )
    return Case(setting, PUBLISHED_SEEDS[size], surrogate, "transformer")


def _quick() -> tuple[Case, ...]:
    """Five minutes on two cores: toys whose predictions take seconds, and the published transformer."""
    linear = [Setting.of("linear", states=k, context=t) for k, t in ((2, 50), (2, 100), (2, 200), (3, 100), (4, 100))]
    linear += [Setting.of("linear", prior=prior, context=100) for prior in (DoublyStochastic(3), Dirichlet(3, 0.3))]
    softmax = [
        Setting.of("softmax", states=3, context=t, optimizer=name) for name in ("sgd", "adam") for t in (25, 50, 100)
    ]
    return (*(Case(setting, methods=QUICK) for setting in (*linear, *softmax)), _transformer(2, "quick"))


def _smoke() -> tuple[Case, ...]:
    """A minute on two cores, most of it compilation: a toy of each family, to see that everything is installed."""
    linear = Setting.of("linear", states=2, context=50)
    softmax = Setting.of("softmax", states=3, context=25, optimizer="adam")
    return Case(linear, 2, methods=QUICK), Case(softmax, 2, methods=QUICK)


def _standard() -> tuple[Case, ...]:
    """About an hour and a half on two cores: toys of every kind by every method, and all claims."""
    lengths = (25, 50, 100, 200, 400)
    # With more states the match has more entries, each moved by fewer tokens: eight need a higher rate.
    eight = [{"states": 8, "context": t, "learning_rate": {"match": 1600 / t**2}} for t in (50, 100, 200)]
    linear = [
        *_of("linear, SGD, flat rows", _flat(*((k, t) for k in (2, 3) for t in lengths))),
        *_of("linear, SGD, flat rows", _flat(*((4, t) for t in lengths[1:]), (8, 100))),
        *_of("linear, SGD, ratio of the rates", [*_match(0.0025, 0.04), *eight]),
        *_of("linear, SGD, concentration", _rows(*((3, c, t) for c in (0.3, 3) for t in (50, 100, 200)))),
        # A slow layer 1 lets the match settle first: by the theory of basins these never form a head.
        *_of("linear, SGD, concentration", _rows((2, 0.1, 16), (2, 0.1, 25)), learning_rate={"lag_logits": 0.1}),
        *_of("linear, SGD, doubly stochastic and mixtures", _doubly((2, 100), (3, 50), (3, 100), (3, 200))),
        *_of("linear, SGD, doubly stochastic and mixtures", [{"prior": mixture(k), "context": 100} for k in (3, 4)]),
        *_of("linear, Adam", _flat((2, 50), (2, 100), (2, 200), (3, 50), (3, 100), (3, 200)), optimizer="adam"),
        *_of("linear, Adam", _match(0.0025, 0.04), optimizer="adam"),
    ]
    softmax = [
        *_of("softmax, SGD", _flat((2, 25), (2, 50), (2, 100), *((3, t) for t in lengths[:4]), (4, 100))),
        *_of("softmax, SGD", [*_rows((3, 0.3, 50), (4, 0.3, 25), (3, 3, 50)), {"prior": mixture(3), "context": 50}]),
        *_of("softmax, SGD", _match(0.25, 4.0)),
        *_of("softmax, Adam", _flat((2, 12), (2, 25), *((3, t) for t in lengths), (8, 100)), optimizer="adam"),
        *_of("softmax, Adam", _doubly((3, 50)), optimizer="adam"),
    ]
    third = [
        *_of("order 3", [{"states": 2, "order": 3, "context": t} for t in (25, 50)], "linear"),
        *_of("order 3", [{"states": 2, "order": 3, "context": 50}], "softmax", optimizer="adam"),
    ]
    return (*map(_more_seeds, (*linear, *softmax, *third)), _transformer(2, "standard"))


def _more_seeds(case: Case) -> Case:
    return replace(case, seeds=SEEDS_OF_SHORT) if case.setting.task.context <= SHORT_CONTEXT else case


def _corrections() -> tuple[Case, ...]:
    """The grid on which corrections for finite context are compared with finite context; nothing is trained.

    Under Adam the law includes mini-batches.
    """
    grid = [(k, c, t) for k in (2, 3, 4, 8) for c in (0.3, 1, 3) for t in (50, 100)]
    # As in the standard suite.
    rates = [{"learning_rate": {"match": (1600 if k == 8 else 100) / t**2}} for k, _, t in grid]
    flat = [{"states": k, "context": t} for k in (2, 3, 4, 8) for t in (50, 100)]
    sgd = [*_of("linear, SGD", map(operator.or_, _rows(*grid), rates)), *_of("softmax, SGD", _rows(*grid))]
    adam = [*_of("linear, Adam", flat, optimizer="adam"), *_of("softmax, Adam", flat, optimizer="adam")]
    return (
        *(replace(case, seeds=0, methods=CORRECTED) for case in sgd),
        *(replace(case, seeds=0, methods=("law", "finite-context")) for case in adam),
    )


def _plateau_law() -> tuple[Case, ...]:
    """Half an hour on two cores: the length of the unigram plateau over four decades of the context, from W₀ = 1/T."""
    trained, finite, long = (50, 100, 200, 400), (50, 100, 200), [10**n for n in range(2, 7)]
    result = []
    for states in PLATEAU_RATES:
        for context in sorted({*trained, *long}):
            asked = {"law": True, "mean-field": context in long, "finite-context": context in finite}
            methods = tuple(method for method, ask in asked.items() if ask)
            seeds, group = SEEDS if context in trained else 0, f"linear, SGD, k = {states}, W₀ = 1/T"
            result.append(Case(plateau_setting(states, context), seeds, group=group, methods=methods))
    return tuple(result)


def _calibration() -> tuple[Case, ...]:
    """A quarter of an hour on two cores: linear toys drawn at random, whether the law's interval holds the mean field.

    States, concentrations, contexts and rates spread over what the law may be asked; where it refuses, it is not
    counted.
    """
    generator = np.random.default_rng(0)
    settings = {}
    while len(settings) < CALIBRATION:
        states = int(generator.choice([2, 3, 4, 8], p=[0.35, 0.35, 0.2, 0.1]))
        concentration = float(generator.choice(CONCENTRATIONS))
        context, factor = np.exp(generator.uniform(*np.log(CALIBRATED).T))
        setting = Setting.of(
            "linear",
            prior=Dirichlet(states, concentration),
            context=int(context),
            learning_rate={"match": float(f"{factor * states * 50 / context**2:.2g}")},
        )
        settings.setdefault(setting.label, setting)
    return tuple(Case(s, 0, group="linear, SGD, at random", methods=("law", "mean-field")) for s in settings.values())


def _heads() -> tuple[Case, ...]:
    """About 45 minutes on two cores (estimated): arguments for induction heads, and pruning, on transformers that are
    trained for them and on public models; claims alone."""
    return ()


def plateau_setting(states: int, context: int) -> Setting:
    """A linear toy that starts at W₀ = 1/T, of the suite plateau-law."""
    rates = {"match": PLATEAU_RATES[states] / context**2}
    start = {"match": 1 / context}
    return Setting.of("linear", states=states, context=context, learning_rate=rates, initialization=start)


def _of(group: str, settings: Iterable[dict[str, Any]], family: str | None = None, **common: Any) -> list[Case]:
    """Cases of one group, whose name starts with their family unless that is given."""
    return [
        Case(Setting.of(family or group.partition(",")[0], **(common | options)), group=group) for options in settings
    ]


def _flat(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    return [{"states": k, "context": t} for k, t in sizes]


def _rows(*sizes: tuple[int, float, int]) -> list[dict[str, Any]]:
    return [{"prior": Dirichlet(k, concentration), "context": t} for k, concentration, t in sizes]


def _doubly(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    return [{"prior": DoublyStochastic(k), "context": t} for k, t in sizes]


def _match(*rates: float) -> list[dict[str, Any]]:
    """Three states at T = 100 with other rates of the match."""
    return [{"states": 3, "context": 100, "learning_rate": {"match": rate}} for rate in rates]


def _full() -> tuple[Case, ...]:
    """About 4 hours on two cores (estimated): standard with ten seeds, longer contexts and chains of order 4."""
    more = [
        *_of("linear, SGD, flat rows", _flat((2, 800), (3, 800))),
        *_of("linear, SGD, doubly stochastic and mixtures", _doubly((3, 400), (4, 100), (4, 400))),
        *_of("linear, Adam", _flat((3, 400)), optimizer="adam"),
        *_of("softmax, SGD", _flat((3, 400), (4, 200))),
        *_of("softmax, Adam", _flat((4, 100), (3, 800)), optimizer="adam"),
        *_of("order 4", [{"states": 2, "order": 4, "context": 50}], "linear"),
    ]
    return tuple(replace(case, seeds=10) for case in (*_standard(), *more, _transformer(3, "full")))


SUITES: dict[str, Callable[[], tuple[Case, ...]]] = {
    "smoke": _smoke,
    "quick": _quick,
    "standard": _standard,
    "full": _full,
    "corrections": _corrections,
    "plateau-law": _plateau_law,
    "calibration": _calibration,
    "heads": _heads,
}
"""Suites by name; the function's docstring says how long it takes and what it holds."""

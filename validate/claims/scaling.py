r"""Our own: the transformer's transition goes with T, k, rate, concentration and batch as the softmax toy's does, times one constant.

The constant c is the transformer's step of the passage to bigram over the toy's, both at `BASE`, the published configuration with three states. It is fitted there
and nowhere else; every other setting, which differs from the base in one number, is predicted as c times its toy's step, by the mean field under the same
optimiser at the same rate. Steps of seeds are averaged as logarithms: what is predicted is a ratio. Their spread is taken from all settings together, as
two seeds of one setting hardly have one.

If c were a clock alone, running slower or faster than the toy's, order parameters would take the toy's path too, as functions of the step over that of the
passage: `path` compares them, as `onset.validate.circuits` measures them. And a toy started at the untrained transformer's order parameters would need no
constant: under Adam no coordinate moves by more than about η a step, so that a start at x changes the wait by at most about |x|/η.

What a better theory has to know is how the transformer's lag logit, a product of weights, escapes from zero under the noise of mini-batches
(`onset.theory.derivations.transformer_escape`): t ∝ B^{-1/4}/η if the match grows by the learning rate, t ∝ B^{-1/2}/η if noise limits the match too. The
toy's mean field knows no batch. (The first exponent was written down before anything was trained; the second, and the comparisons within SGD, after the first
runs, whose match grew at a rate that goes as √B.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from onset.simulate.exponents import regression
from onset.theory.arrays import Array
from onset.theory.derivations import transformer_escape
from onset.theory.markov.priors import Dirichlet
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import TransitionSource
from onset.validate.claims.claim import LEVEL, Claim, Finding, Need, Runs, mean, share
from onset.validate.claims.trained import SEEDS, at, passage, published, seen
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import INCONCLUSIVE, Tolerance, Verdict, decide
from onset.validate.judging.verdicts import judge as judge_number
from onset.validate.store.jobs import Observation

__all__ = [
    "ADAMW",
    "BASE",
    "CLAIM",
    "PARAMETERS",
    "SGD",
    "VARIATIONS",
    "Spread",
    "Variation",
    "calibration",
    "geometric",
    "path",
    "predicted",
    "seen_step",
    "spread",
    "step_of",
    "told_step",
    "toy",
    "toy_path",
]

BASE = "base"
STATES = 3

TOLERANCE = Tolerance(0.15, "fixed beforehand: 15%, what the theory of the toys aims at under Adam")

PARTS = {"half-way to the passage": 0.5, "at the passage": 1.0}
"""Of its step: where order parameters are compared."""

PARAMETERS = ("lag logit v₁", "match ω", "read-out μ")
"""Those that the path consists of."""


@dataclass(frozen=True)
class Variation:
    """A setting that differs from the base of its optimiser in one number, `value` of `axis`."""

    optimizer: str
    axis: str
    value: float
    setting: Setting

    @property
    def name(self) -> str:
        return f"{self.optimizer}, {self.axis} = {self.value:g}"


def _vary(optimizer: str, axis: str, value: float, steps: int, record_every: int = 20, **changes: Any) -> Variation:
    options: dict[str, Any] = {"prior": Dirichlet(STATES), "whole": False, "steps": steps, "record_every": record_every}
    if optimizer == "SGD":
        options |= {"optimizer": "sgd", "learning_rate": SGD_RATE}
    options |= changes
    return Variation(optimizer, axis, value, published(options["prior"].states, **options))


ADAMW, SGD = "AdamW", "SGD"

AT_BASE = {"T": 100.0, "k": STATES, "rate": 5e-4, "concentration": 1.0, "batch": 64.0}
"""The base on each axis."""

SGD_RATE, SGD_BASE = 1.0, "SGD, rate = 1"
"""At a rate of 3 the weights become NaN; at 1 the first run left the plateau near step 2,100."""

VARIATIONS = (
    *(_vary(ADAMW, "T", T, 6000, context=T) for T in (50, 200)),
    *(_vary(ADAMW, "k", k, 8000, prior=Dirichlet(k)) for k in (2, 4)),
    _vary(ADAMW, "rate", 2.5e-4, 10000, learning_rate=2.5e-4),
    *(_vary(ADAMW, "rate", rate, 4000, 10, learning_rate=rate) for rate in (1e-3, 2e-3)),
    *(_vary(ADAMW, "concentration", alpha, 8000, prior=Dirichlet(STATES, alpha)) for alpha in (0.3, 3.0)),
    *(_vary(ADAMW, "batch", batch, 6000, batch=batch) for batch in (16, 256)),
    _vary(SGD, "rate", SGD_RATE, 8000),
    _vary(SGD, "rate", SGD_RATE / 2, 16000, 40, learning_rate=SGD_RATE / 2),
    *(_vary(SGD, "T", T, 12000, context=T) for T in (50, 200)),
)
"""One number changed at a time, with room for late seeds: runs stop a quarter past their last transition."""

FITTED = ((ADAMW, "T"), (ADAMW, "rate"), (ADAMW, "batch"), (SGD, "T"), (SGD, "rate"))
"""Lines along which an exponent is fitted."""

ESCAPE = dict(
    zip(
        ("of a product's escape", "of a product's escape, its match limited by noise"),
        transformer_escape.batch_exponents().values(),
        strict=True,
    )
)
"""Exponents of the step in the batch under AdamW, by the speed of the match."""

EARLY = (0.2, 0.5)
"""Of the step of the passage: where the match's speed is read, after the plateau is reached and before the lag logit counts."""


def toy(setting: Setting) -> Setting:
    """The softmax toy with the transformer's prior, context, optimiser, rate and batch, from zero weights; long enough to pass, with a record every hundredth of that."""
    adam = setting.training.optimizer.name != "sgd"
    rate = setting.training.optimizer.learning_rate["weights"]
    return Setting.of(
        "softmax",
        prior=setting.task.prior,
        context=setting.task.context,
        optimizer="adam" if adam else "sgd",
        learning_rate=rate,
        betas=setting.training.optimizer.betas,
        batch=setting.training.batch,
        steps=round((5 if adam else 4000) / rate),
        record_every=max(1, round((0.02 if adam else 5) / rate)),
    )


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    found = {BASE: Need(published(STATES), SEEDS[size])}
    # Under SGD runs are long: two seeds will do where there is no night to spend.
    found |= {one.name: Need(one.setting, 5 if one.optimizer == ADAMW or size == "full" else 2) for one in VARIATIONS}
    return found | {f"{name}, toy": Need(toy(need.setting), kind="mean-field") for name, need in found.items()}


@dataclass(frozen=True)
class Spread:
    """Standard deviation of ln t over seeds, and its degrees of freedom."""

    deviation: float
    freedom: int


def spread(runs: Runs) -> Spread:
    """Pooled over all settings of transformers."""
    each = [np.log(steps) for observed in runs.values() if len(steps := _steps(observed)) > 1 and _is_trained(observed)]
    freedom = sum(len(logs) - 1 for logs in each)
    squares = sum(float(((logs - logs.mean()) ** 2).sum()) for logs in each)
    return Spread(math.sqrt(squares / freedom) if freedom else math.inf, freedom)


def geometric(steps: Sequence[float | None], over: Spread, limit: float | None = None) -> Interval:
    """Geometric mean over seeds with Student's 95% interval of the logarithms' mean; none if it is missing in some, looked for up to `limit`."""
    found = [step for step in steps if step is not None]
    if len(found) < len(steps) or not steps:
        some = len(found) / len(steps) if found else None
        reason = f"in {len(found)} of {len(steps)} seeds"
        return Interval(None, reason=reason, limit=limit, share=some, curves=len(steps))
    value = math.exp(float(np.log(found).mean()))
    if not over.freedom:
        return Interval(value)
    factor = math.exp(float(stdtrit(over.freedom, LEVEL)) * over.deviation / math.sqrt(len(found)))
    return Interval(value, value / factor, value * factor)


def step_of(run: Trajectory) -> float | None:
    """The step of one run's passage to bigram."""
    return passage(run, "unigram", "bigram").step


def _steps(observed: TransitionSource) -> list[float]:
    """Of those seeds that pass."""
    return [step for one in observed.trajectories if (step := step_of(one)) is not None]  # type: ignore[attr-defined]


def _is_trained(observed: TransitionSource) -> bool:
    return isinstance(observed, Observation) and observed.setting.model.architecture is not None


def seen_step(runs: Runs, name: str) -> Interval:
    """The transformers' step."""
    observed = runs[name]
    return geometric(
        [step_of(one) for one in observed.trajectories], spread(runs), float(observed.setting.training.steps)
    )


def told_step(runs: Runs, name: str) -> Interval:
    """The toy's step beside the transformers called `name`."""
    prediction = runs.get(f"{name}, toy")
    if prediction is None:
        return Interval(None, reason="the mean field does not answer", refused=True)
    return Interval.of(prediction.transitions()[0][-1], float(prediction.setting.training.steps))


def calibration(transformer: Interval, theory: Interval) -> Interval:
    """c, the transformer's step over the toy's, with the intervals of both."""
    return _times(transformer, theory, -1)


def predicted(constant: Interval, theory: Interval) -> Interval:
    """c times the toy's step, with the intervals of both; what the toy never does, the transformer is predicted never to do."""
    return theory if theory.value is None else _times(constant, theory, 1)


def _times(a: Interval, b: Interval, power: int) -> Interval:
    """a·b^power, relative halves of the intervals added in squares."""
    if a.value is None or b.value is None:
        return Interval(None, reason=a.reason or b.reason)
    value = a.value * b.value**power
    half = value * math.hypot(a.half / a.value, b.half / b.value)
    return Interval(value) if math.isinf(half) else Interval(value, value - half, value + half)


def judge(runs: Runs) -> list[Finding]:
    found = [_uncalibrated(runs)]
    found += [_calibrated(runs, BASE, one.name) for one in VARIATIONS if f"{one.name}, toy" in runs]
    found += [
        _calibrated(runs, SGD_BASE, one.name)
        for one in VARIATIONS
        if one.optimizer == SGD and one.name != SGD_BASE and f"{one.name}, toy" in runs
    ]
    found += [finding for line in FITTED for finding in _exponents(*line, runs)]
    return [*found, *_batch(runs), *_paths(runs), *_controls(runs)]


def _calibrated(runs: Runs, at_: str, name: str) -> Finding:
    """A setting's step by the constant fitted at another."""
    constant = calibration(seen_step(runs, at_), told_step(runs, at_))
    told, observed = predicted(constant, told_step(runs, name)), seen_step(runs, name)
    verdict = judge_number(told, observed, TOLERANCE, seeds=len(runs[name].trajectories))
    return Finding(f"{name}: unigram → bigram, calibrated at {at_}", "steps", told, observed, verdict)


def _uncalibrated(runs: Runs) -> Finding:
    """The base without a constant, the toy started at the untrained transformer's order parameters."""
    observed, theory = runs[BASE], told_step(runs, BASE)
    quantity = f"{BASE}: unigram → bigram, uncalibrated, from the untrained transformer's order parameters"
    rate = observed.setting.training.optimizer.learning_rate["weights"]
    start = max(float(np.abs(path(observed.setting, one)[0]).max()) for one in observed.trajectories)
    told = theory
    if theory.value is not None:
        half = start / rate + (0.0 if math.isinf(theory.half) else theory.half)
        told = Interval(theory.value, theory.value - half, theory.value + half)
    seen_ = seen_step(runs, BASE)
    verdict = judge_number(told, seen_, TOLERANCE, seeds=len(observed.trajectories))
    return Finding(quantity, "steps", told, seen_, verdict)


def _line(optimizer: str, axis: str) -> dict[str, float]:
    """Names of the settings along a line, with their values on it."""
    places = {one.name: one.value for one in VARIATIONS if (one.optimizer, one.axis) == (optimizer, axis)}
    return (
        {BASE if optimizer == ADAMW else SGD_BASE: AT_BASE[axis]} | places
        if (optimizer, axis) != (SGD, "rate")
        else places
    )


def _exponents(optimizer: str, axis: str, runs: Runs) -> Iterator[Finding]:
    """d ln t/d ln x over all seeds beside the toy's over the same settings; nothing without three steps and two settings."""
    points = [
        (x, step, told)
        for name, x in _line(optimizer, axis).items()
        if (told := told_step(runs, name).value)
        for step in _steps(runs[name])
    ]
    if len(points) > 2 and len({x for x, *_ in points}) > 1:
        x, seen_, theory = np.log(points).T
        yield _beside(f"{optimizer}: exponent d ln t/d ln {axis}", x, seen_, theory)


def _batch(runs: Runs) -> Iterator[Finding]:
    """What noise does under AdamW: the step's exponent in the batch beside those of a product's escape, and the match's speed, which noise makes go as √B."""
    points = [
        (batch, step_of(one), speed)
        for name, batch in _line(ADAMW, "batch").items()
        for one in runs[name].trajectories
        if (speed := _match_speed(runs[name].setting, one)) is not None and speed > 0
    ]
    if len(points) < 3 or len({batch for batch, *_ in points}) < 2:
        return
    batch, step, speed = np.log(np.array(points, dtype=float)).T
    for what, exponent in ESCAPE.items():
        yield _beside(f"{ADAMW}: exponent d ln t/d ln batch, {what}", batch, step, exponent * batch)
    yield _beside(f"{ADAMW}: exponent of the match's speed in the batch", batch, speed, 0.5 * batch)


def _match_speed(setting: Setting, run: Trajectory) -> float | None:
    """dω/dt on the plateau, per step; None without a passage."""
    step = step_of(run)
    if step is None:
        return None
    on_plateau = (run.steps >= EARLY[0] * step) & (run.steps <= EARLY[1] * step)
    return regression(run.steps[on_plateau], path(setting, run)[on_plateau, 1])[0]


def _beside(quantity: str, x: Array, seen_: Array, theory: Array) -> Finding:
    """The slope of ln t against ln x, `seen_` and by `theory`; the verdict is on that of their difference, in which what both share cancels."""
    (slope, error), (difference, off) = regression(x, seen_), regression(x, theory - seen_)
    assert error is not None
    assert off is not None
    student = float(stdtrit(len(x) - 2, LEVEL))
    allowed = Tolerance(2 * TOLERANCE.value / float(np.ptp(x)), f"{TOLERANCE.source}, at both ends")
    kind = decide(difference, student * off, allowed.value)
    because = f"difference {difference:+.3f} ± {student * off:.3f}, tolerance {allowed.value:.3f}"
    decides = "more seeds" if kind == INCONCLUSIVE else None
    verdict = Verdict(kind, allowed, difference, student * off, difference / off if off else None, because, decides)
    fitted = Interval(slope, slope - student * error, slope + student * error)
    return Finding(quantity, "1", Interval(slope + difference), fitted, verdict)


def path(setting: Setting, run: Trajectory) -> Array:
    """Effective v₁ of the first head, ω and μ of the last layer's along a transformer's run, shape (n, 3)."""
    layers = setting.model.architecture.layers if setting.model.architecture else 1
    return np.stack(
        [
            seen(setting, run, "lag_logit", 1, 1),
            seen(setting, run, "match", 1, layers, 1),
            seen(setting, run, "readout", layers, 1),
        ],
        axis=-1,
    )


def toy_path(run: Trajectory) -> Array:
    """The same of a toy: its lag logit less that of lags it leaves at their start, and the contrasts of its matrices."""
    of = run.parameters
    match, readout = (of[f"{name}.diagonal"] - of[f"{name}.off_diagonal"] for name in ("match", "readout"))
    return np.stack([of["lag_logits.1"], match, readout], axis=-1)


def _paths(runs: Runs) -> Iterator[Finding]:
    """Order parameters on the way to the passage, of the transformer and of the toy."""
    observed, prediction = runs[BASE], runs.get(f"{BASE}, toy")
    for where, part in PARTS.items():
        told = _on_the_way(prediction.trajectories if prediction else (), toy_path, part)
        own = _on_the_way(observed.trajectories, lambda one: path(observed.setting, one), part)
        if not len(told) or not len(own):
            continue
        for name, theory, here in zip(PARAMETERS, told.T, own.T, strict=True):
            # A mean field that knows its prior exactly has one replicate and no spread.
            said = mean(theory) if len(theory) > 1 else Interval(float(theory[0]), float(theory[0]), float(theory[0]))
            verdict = judge_number(said, mean(here), TOLERANCE, seeds=len(here))
            yield Finding(f"{BASE}, {where}: {name}", "natural logits", said, mean(here), verdict)


def _on_the_way(runs: Sequence[Trajectory], of: Callable[[Trajectory], Array], part: float) -> Array:
    """`of` a run, shape (records, 3), at `part` of the step of its passage, for those that have one, shape (runs, 3)."""
    steps = [(one, step_of(one)) for one in runs]
    return np.array([at(one, of(one), part * step) for one, step in steps if step is not None])


def _controls(runs: Runs) -> list[Finding]:
    """Untrained, none of the order parameters is a tenth of what it becomes."""
    observed = runs[BASE]
    paths = [np.abs(path(observed.setting, one)) for one in observed.trajectories]
    held = [bool((one[0] < 0.1 * one[-1]).all()) for one in paths]
    return [share("control: untrained, order parameters below a tenth of their last", held, "seeds", control=True)]


CLAIM = Claim(
    id="scaling",
    title="Scaling as the toy's, times one constant",
    statement="With T, k, learning rate, concentration and batch the transformer's passage to bigram goes as the softmax toy's does, times one constant fitted at the published configuration.",
    source="our own; the toy by its mean field",
    needs=needs,
    judge=judge,
    untested="Two numbers changed at once; widths, depths and initialisations other than the published ones.",
)

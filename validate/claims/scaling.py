r"""Our own: the transformer's transition goes with T, k, rate, concentration and batch as the softmax toy's does, times one constant.

The constant c is the transformer's step of the passage to bigram over the toy's, both at `BASE`, the published configuration with three states. It is fitted there
and nowhere else; every other setting, which differs from the base in one number, is predicted as c times its toy's step, by the mean field under the same
optimiser at the same rate. Steps of seeds are averaged as logarithms: what is predicted is a ratio.

If c were a clock alone, running slower or faster than the toy's, order parameters would take the toy's path too, as functions of the step over that of the
passage: `path` compares them, as `validate.circuits` measures them. And a toy started at the untrained transformer's order parameters would need no
constant: under Adam no coordinate moves by more than about η a step, so that a start at x changes the wait by at most about |x|/η.

What a better theory has to know: the toy's lag logit is a parameter, the transformer's a product, v_r = q·ρ_r/√d of a query and an offset's vector, both small
at first. With g the drive -∂L/∂v₁ and x̄ the mean normed embedding, gradient descent moves

    dρ₁/dt = η g q/√d,    dq/dt = η g |x̄|² ρ₁/√d,    so that v₁ grows by a factor e^Λ a step,  Λ = 2 η g |x̄|/√d,

from a start of the order of the weights' variance: the wait is ln(v/v(0)) e-folds of 1/Λ, where the toy's is v/(η g). Under Adam a weight moves by
η·gradient/noise as long as noise dominates, noise ∝ 1/√B: the same exponential, Λ ∝ η √B g. Its drive is proportional to the match, which grows ballistically,
ω ∝ η t; so ∫Λ dt = ln(v/v(0)) gives t ∝ B^{-1/4}/η, where the toy's mean field knows no batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from simulate.exponents import regression
from theory.chains import Array
from theory.dynamics import Trajectory
from theory.priors import Dirichlet
from theory.setting import Setting
from validate.claims.claim import LEVEL, Claim, Finding, Need, Runs, mean, share
from validate.claims.trained import SEEDS, at, passage, published, seen
from validate.intervals import Interval
from validate.observed import Observation
from validate.verdicts import INCONCLUSIVE, Tolerance, Verdict, decide
from validate.verdicts import judge as judge_number

__all__ = [
    "ADAMW",
    "BASE",
    "CLAIM",
    "PARAMETERS",
    "SGD",
    "VARIATIONS",
    "Variation",
    "calibration",
    "geometric",
    "path",
    "predicted",
    "seen_step",
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

SGD_RATE = 1.0
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

ESCAPE = {(ADAMW, "batch"): -0.25}
"""Exponents that the escape of a product has and the toy has not; see above."""


def toy(setting: Setting) -> Setting:
    """The softmax toy with the transformer's prior, context, optimiser, rate and batch, from zero weights; long enough to pass, with a record every hundredth of that."""
    adam = setting.optimizer.name != "sgd"
    rate = setting.optimizer.learning_rate["weights"]
    return Setting.of(
        "softmax",
        prior=setting.prior,
        context=setting.context,
        optimizer="adam" if adam else "sgd",
        learning_rate=rate,
        betas=setting.optimizer.betas,
        batch=setting.batch,
        steps=round((5 if adam else 4000) / rate),
        record_every=max(1, round((0.02 if adam else 5) / rate)),
    )


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    found = {BASE: Need(published(STATES), SEEDS[size])}
    found |= {one.name: Need(one.setting, {"standard": 2, "full": 5}[size]) for one in VARIATIONS}
    return found | {f"{name}, toy": Need(toy(need.setting), kind="mean-field") for name, need in found.items()}


def geometric(steps: Sequence[float | None], limit: float | None = None) -> Interval:
    """Geometric mean over seeds with Student's 95% interval of the logarithms' mean; none if it is missing in some, looked for up to `limit`."""
    found = [step for step in steps if step is not None]
    if len(found) < len(steps) or not steps:
        some = len(found) / len(steps) if found else None
        return Interval(None, reason=f"in {len(found)} of {len(steps)} seeds", limit=limit, share=some)
    each = mean(np.log(found))
    value, low, high = (None if end is None else math.exp(end) for end in (each.value, each.low, each.high))
    return Interval(value, low, high)


def step_of(run: Trajectory) -> float | None:
    """The step of one run's passage to bigram."""
    return passage(run, "unigram", "bigram").step


def seen_step(runs: Runs, name: str) -> Interval:
    """The transformers' step."""
    observed = runs[name]
    return geometric([step_of(one) for one in observed.trajectories], float(observed.setting.steps))


def told_step(runs: Runs, name: str) -> Interval:
    """The toy's step beside the transformers called `name`."""
    prediction = runs.get(f"{name}, toy")
    if prediction is None:
        return Interval(None, reason="the mean field does not answer", refused=True)
    return Interval.of(prediction.transitions()[0][-1], float(prediction.setting.steps))


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
    base, theory = seen_step(runs, BASE), told_step(runs, BASE)
    constant = calibration(base, theory)
    found = [_uncalibrated(runs[BASE], theory, base)]
    for one in VARIATIONS:
        told, observed = predicted(constant, told_step(runs, one.name)), seen_step(runs, one.name)
        if told.refused:
            continue
        verdict = judge_number(told, observed, TOLERANCE, seeds=len(runs[one.name].trajectories))
        found.append(Finding(f"{one.name}: unigram → bigram, calibrated", "steps", told, observed, verdict))
    found += [finding for line in FITTED for finding in _exponents(*line, runs)]
    return [*found, *_paths(runs), *_controls(runs)]


def _uncalibrated(observed: Observation, theory: Interval, seen_: Interval) -> Finding:
    """The base without a constant, the toy started at the untrained transformer's order parameters."""
    quantity = f"{BASE}: unigram → bigram, uncalibrated, from the untrained transformer's order parameters"
    rate = observed.setting.optimizer.learning_rate["weights"]
    start = max(float(np.abs(path(observed.setting, one)[0]).max()) for one in observed.trajectories)
    told = theory
    if theory.value is not None:
        half = start / rate + (0.0 if math.isinf(theory.half) else theory.half)
        told = Interval(theory.value, theory.value - half, theory.value + half)
    verdict = judge_number(told, seen_, TOLERANCE, seeds=len(observed.trajectories))
    return Finding(quantity, "steps", told, seen_, verdict)


def _exponents(optimizer: str, axis: str, runs: Runs) -> Iterator[Finding]:
    """d ln t/d ln x over all seeds beside the toy's over the same settings, and beside `ESCAPE`'s; nothing without three steps and two settings."""
    places = {one.name: one.value for one in VARIATIONS if (one.optimizer, one.axis) == (optimizer, axis)}
    if axis != "rate" or optimizer == ADAMW:
        places[BASE if optimizer == ADAMW else f"{SGD}, rate = {SGD_RATE:g}"] = AT_BASE[axis]
    told = {name: told_step(runs, name).value for name in places}
    points = [
        (math.log(x), math.log(step), math.log(told[name] or math.nan))
        for name, x in places.items()
        for step in map(step_of, runs[name].trajectories)
        if step is not None and told[name]
    ]
    if len(points) < 3 or len({x for x, *_ in points}) < 2:
        return
    x, seen_, theory = np.array(points).T
    quantity = f"{optimizer}: exponent d ln t/d ln {axis}"
    yield _beside(quantity, x, seen_, theory)
    if (optimizer, axis) in ESCAPE:
        yield _beside(f"{quantity}, of a product's escape", x, seen_, ESCAPE[optimizer, axis] * x)


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
    layers = setting.architecture.layers if setting.architecture else 1
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

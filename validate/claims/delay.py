"""Claim 4: unigram chains mixed into doubly stochastic ones delay the head."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from simulate.losses import strategy_losses
from theory.dynamics import Trajectory
from theory.priors import Dirichlet, DoublyStochastic
from theory.setting import Setting
from theory.transitions import Transition, bootstrap, find_crossing
from validate.claims.claim import SPREAD, WIDEST, Claim, Finding, Need, Runs, positive, share
from validate.claims.trained import EDELMAN, SEEDS, in_order, mixture, no_repeats, published, untrained
from validate.intervals import Interval
from validate.verdicts import AGREES, DISAGREES, INCONCLUSIVE, Tolerance, Verdict
from validate.verdicts import judge as judge_number

__all__ = ["CLAIM", "delay", "half", "half_drop"]

STATES, CONTEXT = 4, 100

ARMS = {"doubly stochastic": DoublyStochastic(STATES), "mixture": mixture(STATES)}
"""What the two groups of models are trained on, the one without unigram chains first."""

PART = mixture(STATES).weights[0]
"""Of doubly stochastic sequences in the mixture: only these are counted."""

PUBLISHED, DIGITS, RUNS = 1.7, 0.05, 10
"""The published ratio of mean half-drops, half of its last digit, and the seeds behind it."""


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    tested = [Dirichlet(STATES)]
    arms = {
        name: Need(published(STATES, prior=prior, tested_on=tested), SEEDS[size] - (size == "standard"))
        for name, prior in ARMS.items()
    }
    return arms | {f"{toy}, {name}": need for toy in TOYS for name, need in _toy(toy).items()}


TOYS = ("linear toy, mean field", "linear toy, finite context", "softmax toy under Adam, mean field")
"""What theory predicts the delay of, each by its own method; the last one at the transformer's rate."""


def _toy(name: str) -> dict[str, Need]:
    """The predictions of both arms."""
    rate, betas = published(STATES).optimizer.learning_rate["weights"], published(STATES).optimizer.betas
    adam = {"optimizer": "adam", "learning_rate": rate, "betas": betas, "steps": 8000, "record_every": 20}
    family, _, method = name.partition(" toy")
    options = adam if "Adam" in method else {}
    return {
        arm: Need(
            Setting.of(family, prior=prior, context=CONTEXT, **options), kind=method.split(", ")[1].replace(" ", "-")
        )
        for arm, prior in ARMS.items()
    }


@cache
def half() -> float:
    """Half of what the bigram strategy gains on the uniform one on the last token of flat Dirichlet chains, nats."""
    losses = strategy_losses(Setting.of(states=STATES, context=CONTEXT))
    return (losses["uniform"].last - losses["bigram"].last) / 2


def half_drop(run: Trajectory) -> Transition:
    """When KL(true ‖ model) on flat Dirichlet chains has fallen by half of what separates the uniform from the bigram strategy.

    One level for both arms, below the unigram strategy's, so that learning unigram statistics first does not count.
    """
    curve = run.probes["tested_on"][:, 0]
    return find_crossing(run.steps, curve[0] - half() - curve, "uniform", "half-drop", "below half of the drop")


def delay(pure: Sequence[float], mixed: Sequence[float]) -> Interval:
    """Ratio of mean steps, in doubly stochastic sequences, with its bootstrap interval.

    Seeds are drawn in pairs: both arms of a seed start from the same parameters.
    """
    without, with_ = np.array(pure), np.array(mixed)

    def ratio(chosen: np.ndarray) -> np.ndarray:
        return PART * with_[chosen].mean(axis=-1) / without[chosen].mean(axis=-1)

    value = float(ratio(np.arange(len(without))[None])[0])
    if len(without) < 2:
        return Interval(value)
    below, above = bootstrap(ratio, len(without))
    return Interval(value, value - below, value + above)


def judge(runs: Runs) -> list[Finding]:
    trained = {name: runs[name].trajectories for name in ARMS}
    drops = [[half_drop(one).step for one in each] for each in trained.values()]
    formed = [[one.transitions()[1].step for one in each] for each in trained.values()]
    found = [_published(*drops)]
    pairs = [(a, b) for a, b in zip(*drops, strict=True) if a is not None and b is not None]
    found.append(positive("ln of the half-drops' ratio, seed by seed", "1", [np.log(PART * b / a) for a, b in pairs]))
    found += [_toys(name, runs, *formed) for name in TOYS if f"{name}, mixture" in runs]
    first = [in_order([t.step for t in one.transitions()[0]]) for one in trained["mixture"]]
    found.append(share("the mixture takes the unigram strategy before the bigram one", first, "seeds do"))
    # Doubly stochastic chains alone do not tell uniform from unigram.
    return [*found, untrained("mixture", trained["mixture"]), *(no_repeats(name, runs[name]) for name in ARMS)]


def _published(pure: Sequence[float | None], mixed: Sequence[float | None]) -> Finding:
    """The published ratio of means: ours may differ by what both samples of seeds, theirs of `RUNS`, spread."""
    quantity, told = "half-drop with the mixture / without", Interval(PUBLISHED, PUBLISHED - DIGITS, PUBLISHED + DIGITS)
    there = [(a, b) for a, b in zip(pure, mixed, strict=True) if a is not None and b is not None]
    if len(there) < max(2, len(pure)):
        because = f"both arms drop in {len(there)} of {len(pure)} seeds"
        decides = "longer runs" if len(there) < len(pure) else "more seeds"
        verdict = Verdict(INCONCLUSIVE, SPREAD, because=because, decides=decides)
        return Finding(quantity, "1", told, Interval(None, reason=because), verdict)
    seen = delay(*zip(*there, strict=True))  # type: ignore[arg-type]
    assert seen.value is not None
    room, off = seen.half * np.sqrt(1 + len(there) / RUNS) + DIGITS, abs(seen.value - PUBLISHED)
    kind = DISAGREES if off > room else AGREES if room <= WIDEST * PUBLISHED else INCONCLUSIVE
    each = sorted(PART * b / a for a, b in there)
    because = f"ours {seen.value:.3g}, another mean of {RUNS} within ± {room:.2g}; seed by seed {each[0]:.2g} to {each[-1]:.2g}"
    decides = f"more seeds than {len(there)}" if kind == INCONCLUSIVE else None
    return Finding(
        quantity, "1", told, seen, Verdict(kind, SPREAD, PUBLISHED / seen.value - 1, None, None, because, decides)
    )


def _toys(name: str, runs: Runs, pure: Sequence[float | None], mixed: Sequence[float | None]) -> Finding:
    """The delay of the head's formation, predicted for a toy model, beside the transformer's."""
    quantity = f"formation with the mixture / without: {name}"
    told = _ratio(*(runs[f"{name}, {arm}"].transitions()[1] for arm in ARMS))
    steps = [[step for step in each if step is not None] for each in (pure, mixed)]
    whole = all(len(some) == len(each) for some, each in zip(steps, (pure, mixed), strict=True))
    seen = delay(*steps) if whole else Interval(None, reason="a seed forms no head")
    order = np.log(CONTEXT) / CONTEXT
    tolerance = Tolerance(2 * order, f"twice the order of what the limit T → ∞ neglects, ln T/T = {order:.2g}")
    return Finding(quantity, "1", told, seen, judge_number(told, seen, tolerance, seeds=len(pure)))


def _ratio(pure: Transition, mixed: Transition) -> Interval:
    """Predicted, halves of both intervals added in squares."""
    if pure.step is None or mixed.step is None:
        return Interval(None, reason=pure.reason or mixed.reason)
    value = PART * mixed.step / pure.step
    halves = [(t.high - t.low) / 2 / t.step for t in (pure, mixed)]  # type: ignore[operator]
    half = value * math.hypot(*halves)
    return Interval(value, value - half, value + half)


CLAIM = Claim(
    id="delay",
    title="Unigram chains delay the head",
    statement="With a quarter of unigram chains among doubly stochastic ones, a model that could do without unigram statistics learns them first, and its loss on flat Dirichlet chains halves after more doubly stochastic sequences than without.",
    source=f"{EDELMAN}: about 1.7 times, k = 4, means over 10 seeds; theory of the toy families: derivation mixture-delay",
    needs=needs,
    judge=judge,
    untested="Both published arms see the same doubly stochastic sequences; ours share their start and draw sequences of their own, and a batch of the mixture holds 48 doubly stochastic ones on the average. Other shares of unigram chains.",
)

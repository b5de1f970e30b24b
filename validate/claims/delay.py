"""Claim 4: unigram chains mixed into doubly stochastic ones delay the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from onset.simulate.losses import strategy_losses
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import Transition, bootstrap, find_crossing
from onset.validate.claims.claim import SPREAD, WIDEST, Claim, Finding, Need, Runs, positive, share
from onset.validate.claims.trained import EDELMAN, in_order, mixture, no_repeats, published, untrained
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE, Verdict

__all__ = ["ARMS", "CLAIM", "CONTEXT", "PART", "STATES", "delay", "half", "half_drop"]

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
    tested, seeds = [Dirichlet(STATES)], {"standard": 4, "full": 10}[size]
    return {name: Need(published(STATES, prior=prior, tested_on=tested), seeds) for name, prior in ARMS.items()}


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
    found = [_published(*drops)]
    pairs = [(a, b) for a, b in zip(*drops, strict=True) if a is not None and b is not None]
    found.append(positive("ln of the half-drops' ratio, seed by seed", "1", [np.log(PART * b / a) for a, b in pairs]))
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


CLAIM = Claim(
    id="delay",
    title="Unigram chains delay the head",
    statement="With a quarter of unigram chains among doubly stochastic ones, a model that could do without unigram statistics learns them first, and its loss on flat Dirichlet chains halves after more doubly stochastic sequences than without.",
    source=f"{EDELMAN}: about 1.7 times, k = 4, means over 10 seeds",
    needs=needs,
    judge=judge,
    untested="Both published arms see the same doubly stochastic sequences; ours share their start and draw sequences of their own, and a batch of the mixture holds 48 doubly stochastic ones on the average. Other shares of unigram chains.",
)

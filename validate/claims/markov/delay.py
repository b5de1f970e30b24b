"""With a quarter of unigram chains among doubly stochastic ones, a model that could do without unigram statistics
learns them first, and its loss on flat Dirichlet chains halves after more doubly stochastic sequences than without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from onset.simulate.losses import strategy_losses
from onset.theory.estimates import SEEDS, StandardError
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import Transition, find_crossing
from onset.validate.claims.claim import (
    SPREAD,
    WIDEST_PREDICTION,
    Claim,
    Finding,
    Need,
    Runs,
    first_paragraph,
    holds_in_all,
    is_above,
)
from onset.validate.claims.markov.published import EDELMAN, mixture, published
from onset.validate.claims.markov.readings import no_repeats, untrained
from onset.validate.judging.intervals import Interval
from onset.validate.judging.trained import takes_in_order
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE, Verdict, two_sided

__all__ = ["ARMS", "CLAIM", "CONTEXT", "SHARES", "STATES", "delay", "half_drop", "half_gain"]

STATES, CONTEXT = 4, 100

ARMS = {"doubly stochastic": DoublyStochastic(STATES), "mixture": mixture(STATES)}
"""Training priors of the two groups of models, the one without unigram chains first."""

SHARES = {"doubly stochastic": 1.0, "mixture": mixture(STATES).weights[0]}
"""Share of doubly stochastic sequences in each arm: only these are counted."""

PUBLISHED, DIGITS, PUBLISHED_SEEDS = 1.7, 0.05, 10
"""The published ratio of mean half-drops, half of its last digit, and its number of seeds."""


def needs(size: str) -> Mapping[str, Need]:
    tested, seeds = [Dirichlet(STATES)], {"standard": 4, "full": 10}[size]
    return {name: Need(published(STATES, prior=prior, tested_on=tested), seeds) for name, prior in ARMS.items()}


@cache
def half_gain() -> float:
    """Half of what the bigram strategy gains on the uniform one on the last token of flat Dirichlet chains, nats."""
    losses = strategy_losses(Setting.of(states=STATES, context=CONTEXT))
    return (losses["uniform"].last - losses["bigram"].last) / 2


def half_drop(run: Trajectory) -> Transition:
    """When KL(true ‖ model) on flat Dirichlet chains has fallen by `half_gain`.

    Both arms share the level. It lies below the unigram strategy's, so that learning unigram statistics first does not
    count.
    """
    curve = run.probes["tested_on"][:, 0]
    return find_crossing(run.steps, curve[0] - half_gain() - curve, "uniform", "half-drop", "below half of the drop")


def delay(pure: Sequence[float], mixed: Sequence[float]) -> Interval:
    """Ratio of mean steps, counted in doubly stochastic sequences, with its 95% interval over seeds.

    Its standard error is that of the ratio to first order in both means. Seeds come in pairs: both arms of a seed start
    from the same parameters.
    """
    without, with_unigram = np.array(pure), np.array(mixed)
    value = float(SHARES["mixture"] * with_unigram.mean() / without.mean())
    if len(without) < 2:
        return Interval(value)
    influence = value * (with_unigram / with_unigram.mean() - without / without.mean())
    return Interval.around(value, StandardError.of_mean(influence), SEEDS)


def judge(runs: Runs) -> list[Finding]:
    drops = [[half_drop(run).step for run in runs[arm].trajectories] for arm in ARMS]
    pairs = [(a, b) for a, b in zip(*drops, strict=True) if a is not None and b is not None]
    ratios = [SHARES["mixture"] * b / a for a, b in pairs]
    ordered = [takes_in_order(run) for run in runs["mixture"].trajectories]
    return [
        _against_published(pairs, ratios, len(drops[0])),
        is_above("ln of the half-drops' ratio, seed by seed", "1", np.log(ratios)),
        holds_in_all("the mixture takes the unigram strategy before the bigram one", ordered, "seeds do"),
        # Doubly stochastic chains alone do not tell uniform from unigram.
        untrained("mixture", runs["mixture"].trajectories),
        *(no_repeats(arm, runs[arm]) for arm in ARMS),
    ]


def _against_published(pairs: Sequence[tuple[float, float]], ratios: Sequence[float], seeds: int) -> Finding:
    """The published ratio of means; ours may differ by the spread of both samples of seeds."""
    quantity = "half-drop with the mixture / without"
    published_ratio = Interval(PUBLISHED, PUBLISHED - DIGITS, PUBLISHED + DIGITS)
    if len(pairs) < max(2, seeds):
        because = f"both arms drop in {len(pairs)} of {seeds} seeds"
        decides = "longer runs" if len(pairs) < seeds else "more seeds"
        verdict = Verdict(INCONCLUSIVE, SPREAD, because=because, decides=decides)
        return Finding(quantity, "1", published_ratio, Interval(None, reason=because), verdict)
    observed = delay(*zip(*pairs, strict=True))  # type: ignore[arg-type]
    assert observed.value is not None
    assert observed.error is not None
    other = observed.error.times(math.sqrt(1 + len(pairs) / PUBLISHED_SEEDS))
    half, distance = other.half + DIGITS, abs(observed.value - PUBLISHED)
    kind = AGREES if half <= WIDEST_PREDICTION * PUBLISHED else INCONCLUSIVE
    if distance > half:
        kind = DISAGREES
    because = (
        f"ours {observed.value:.3g}, another mean of {PUBLISHED_SEEDS} within ± {half:.2g}; "
        f"seed by seed {min(ratios):.2g} to {max(ratios):.2g}"
    )
    decides = f"more seeds than {len(pairs)}" if kind == INCONCLUSIVE else None
    error, p = PUBLISHED / observed.value - 1, two_sided(distance - DIGITS, other)
    verdict = Verdict(kind, SPREAD, error, p=p, because=because, decides=decides)
    return Finding(quantity, "1", published_ratio, observed, verdict)


CLAIM = Claim(
    id="delay",
    title="Unigram chains delay the head",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN}: about 1.7 times, k = 4, means over 10 seeds",
    needs=needs,
    judge=judge,
    untested=(
        "Both published arms see the same doubly stochastic sequences; ours share their start and draw sequences of "
        "their own, and a batch of the mixture holds 48 doubly stochastic ones on the average. Other shares of "
        "unigram chains."
    ),
)

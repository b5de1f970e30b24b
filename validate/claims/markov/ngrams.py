"""On chains of order n = 3 and 4 the strategies come in order, each after the one before; with n - 1 heads in layer 1
each of the lags 1 … n - 1 is taken by a head of its own, and with one head the model stays at the bigram level.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from onset.theory.architecture import PRESETS
from onset.theory.arrays import Array
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims.claim import Claim, Finding, Need, Runs, compare_published, first_paragraph, holds_in_all
from onset.validate.claims.markov.published import EDELMAN, published
from onset.validate.claims.markov.readings import nearest, no_repeats, probe_curve, stages, untrained, value_at

__all__ = ["CLAIM", "PUBLISHED", "heads_divide_lags", "taken"]

PUBLISHED = {"n=3": (30.0, 1510.0, 1720.0), "n=4": (30.0, 1090.0, 1270.0, 1360.0)}
"""Steps of the transitions from each strategy to the next, k = 3."""

FINAL_KL, DIGITS, FINAL_STEP = 0.02, 0.005, 2000
"""Published final KL(n-gram ‖ model), half of its last digit, and the published number of steps."""

ONE_HEAD = "n=3, one head"

SEEDS = {"standard": {"n=3": 3, "n=4": 2, ONE_HEAD: 2}, "full": {"n=3": 8, "n=4": 5, ONE_HEAD: 7}}
"""Seeds in a suite of each size."""


def needs(size: str) -> Mapping[str, Need]:
    settings = {
        "n=3": published(3, order=3),
        "n=4": published(3, order=4),
        ONE_HEAD: published(3, order=3, architecture=PRESETS["one-head"](2)),
    }
    return {name: Need(settings[name], seeds) for name, seeds in SEEDS[size].items()}


def heads_divide_lags(attention: Array, lags: int) -> bool:
    """Whether each of the first `lags` lags has a head of its own, above the level of formation.

    `attention` has shape (heads, T).
    """
    by_lag = attention[:, 1 : lags + 1]
    return len(set(by_lag.argmax(axis=0))) == lags and bool((by_lag.max(axis=0) > FORMATION_LEVEL).all())


def taken(near: Array) -> list[int]:
    """Strategies that are nearest for two records in a row, in order of appearance; `near` as `nearest` returns it."""
    return list(dict.fromkeys(near[:-1][near[:-1] == near[1:]].tolist()))


def judge(runs: Runs) -> list[Finding]:
    findings = [finding for name in PUBLISHED for finding in _in_order(name, runs)]
    steps = [[stage.step for stage in stages(runs[ONE_HEAD].setting, run)] for run in runs[ONE_HEAD].trajectories]
    bigram = [to_bigram is not None for _, to_bigram, _ in steps]
    trigram = [to_trigram is None for *_, to_trigram in steps]
    return [
        *findings,
        holds_in_all(f"{ONE_HEAD}: passage to bigram", bigram, "seeds pass"),
        holds_in_all(f"{ONE_HEAD}: no passage to trigram", trigram, "seeds never pass"),
    ]


def _in_order(name: str, runs: Runs) -> list[Finding]:
    """Findings on the chains of one order with a head for each lag."""
    observed, setting = runs[name], runs[name].setting
    trajectories, strategies, lags = observed.trajectories, setting.task.strategies, len(setting.task.lags)
    ordered = [taken(nearest(setting, run)) == list(range(len(strategies))) for run in trajectories]
    steps = zip(*([stage.step for stage in stages(setting, run)] for run in trajectories), strict=True)
    grid = float(setting.training.record_every)
    last = [float(value_at(run, probe_curve(setting, run, "last", strategies[-1]), FINAL_STEP)) for run in trajectories]
    divided = [heads_divide_lags(run.attention[-1], lags) for run in trajectories]
    start = [not np.any(run.attention[0, :, 1 : lags + 1] > FORMATION_LEVEL) for run in trajectories]
    final = f"{name}: KL({strategies[-1]} ‖ model) at step {FINAL_STEP}"
    return [
        holds_in_all(f"{name}: order {' → '.join(strategies)}", ordered, "seeds take each for two records, in order"),
        *(
            compare_published(f"{name}: {a} → {b}", "steps", published_step, ours, resolution=grid)
            for (a, b), published_step, ours in zip(pairwise(strategies), PUBLISHED[name], steps, strict=True)
        ),
        compare_published(final, "nats", FINAL_KL, last, resolution=DIGITS),
        holds_in_all(f"{name}: each of {lags} lags has a head of its own", divided, "seeds divide them"),
        holds_in_all(f"{name}, control: untrained heads", start, "seeds attend to no lag", control=True),
        untrained(name, trajectories),
        no_repeats(name, observed),
    ]


CLAIM = Claim(
    id="n-grams",
    title="n-grams in order, a head for each lag",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN}: text, k = 3",
    needs=needs,
    judge=judge,
    untested=(
        "Distances are those on the last token, as published; the published numbers are of one run each. One head "
        "with n = 4. With n = 4 the counts of unigram are off by about (k - 1)/2T = .01 nats, twice the model's "
        "distance from uniform on its plateau: which of the two is nearer says little there."
    ),
)

"""Claim 5: n-gram strategies are learnt in order, and need as many heads as they look back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from onset.theory.architecture import PRESETS
from onset.theory.arrays import Array
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims.claim import Claim, Finding, Need, Runs, one_more, share
from onset.validate.claims.trained import EDELMAN, at, nearest, no_repeats, published, seen, stages, untrained

__all__ = ["CLAIM", "claimed", "taken"]

PUBLISHED = {"n=3": (30.0, 1510.0, 1720.0), "n=4": (30.0, 1090.0, 1270.0, 1360.0)}
"""Steps of the passages from each strategy to the next, k = 3."""

FINAL, DIGITS, AFTER = 0.02, 0.005, 2000
"""Published final KL(n-gram ‖ model), half of its last digit, and the published number of steps."""

ONE = "n=3, one head"

SEEDS = {"standard": {"n=3": 3, "n=4": 2, ONE: 2}, "full": {"n=3": 8, "n=4": 5, ONE: 7}}
"""Seeds in a suite of each size."""


def needs(size: str) -> Mapping[str, Need]:
    settings = {
        "n=3": published(3, order=3),
        "n=4": published(3, order=4),
        ONE: published(3, order=3, architecture=PRESETS["one-head"](2)),
    }
    return {name: Need(settings[name], seeds) for name, seeds in SEEDS.get(size, {}).items()}


def claimed(attention: Array, lags: int) -> bool:
    """Whether of heads with `attention` (heads, T) on each lag another one attends most to each of the first `lags` lags, and all of them above the level of formation."""
    own = attention[:, 1 : lags + 1]
    return len(set(own.argmax(axis=0))) == lags and bool((own.max(axis=0) > FORMATION_LEVEL).all())


def taken(near: Array) -> list[int]:
    """The strategies that are nearest for two records in a row, given the number of the nearest at each record, shape (n,), by first appearance."""
    return list(dict.fromkeys(near[:-1][near[:-1] == near[1:]].tolist()))


def judge(runs: Runs) -> list[Finding]:
    found: list[Finding] = []
    for name, told in PUBLISHED.items():
        observed, setting = runs[name], runs[name].setting
        each, names = observed.trajectories, setting.task.strategies
        steps = [[stage.step for stage in stages(setting, one)] for one in each]
        order = [taken(nearest(setting, one)) == list(range(len(names))) for one in each]
        found.append(share(f"{name}: order {' → '.join(names)}", order, "seeds take each for two records, in order"))
        for number, (a, b) in enumerate(pairwise(names)):
            ours, grid = [some[number] for some in steps], float(setting.training.record_every)
            found.append(one_more(f"{name}: {a} → {b}", "steps", told[number], ours, steps=grid))
        last = [float(at(one, seen(setting, one, "last", names[-1]), AFTER)) for one in each]
        found.append(one_more(f"{name}: KL({names[-1]} ‖ model) at step {AFTER}", "nats", FINAL, last, steps=DIGITS))
        lags = setting.task.order - 1
        own = [claimed(one.attention[-1], lags) for one in each]
        found.append(share(f"{name}: each of {lags} lags has a head of its own", own, "seeds divide them"))
        early = [not np.any(one.attention[0, :, 1 : lags + 1] > FORMATION_LEVEL) for one in each]
        found.append(share(f"{name}, control: untrained heads", early, "seeds attend to no lag", control=True))
        found += [untrained(name, each), no_repeats(name, observed)]
    single, setting = runs[ONE].trajectories, runs[ONE].setting
    _, to_bigram, to_trigram = zip(
        *([stage.step is not None for stage in stages(setting, one)] for one in single), strict=True
    )
    found.append(share(f"{ONE}: passage to bigram", to_bigram, "seeds pass"))
    return [*found, share(f"{ONE}: no passage to trigram", [not passed for passed in to_trigram], "seeds never pass")]


CLAIM = Claim(
    id="n-grams",
    title="n-grams in order, a head for each lag",
    statement="On chains of order n = 3 and 4 the strategies come in order, each after the one before; with n - 1 heads in layer 1 each of the lags 1 … n - 1 is taken by a head of its own, and with one head the model stays at the bigram level.",
    source=f"{EDELMAN}: text, k = 3",
    needs=needs,
    judge=judge,
    untested="Distances are those on the last token, as published; the published numbers are of one run each. One head with n = 4. With n = 4 the counts of unigram are off by about (k - 1)/2T = .01 nats, twice the model's distance from uniform on its plateau: which of the two is nearer says little there.",
)

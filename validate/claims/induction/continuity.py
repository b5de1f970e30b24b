"""From two layers to six, and over widths, the same change happens at about the same time; one layer never has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_above
from onset.validate.claims.induction.readings import best_scores, formed, of_seeds
from onset.validate.claims.induction.settings import OLSSON, segments

__all__ = ["CLAIM"]

LAYERS, WIDTHS = (1, 2, 3, 4, 5, 6), (24, 32, 48)

JUMP = 3.0
"""Largest ratio of the steps of formation of two neighbouring sizes that is no jump."""

SAME = 0.8
"""Least share of the largest model's in-context learning that the others reach."""


def needs(size: str) -> Mapping[str, Need]:
    return {_name(layers, width): Need(segments(layers, width)) for width in WIDTHS for layers in LAYERS}


def _name(layers: int, width: int) -> str:
    return f"{layers} layers of width {width}"


def judge(runs: Runs) -> list[Finding]:
    trained = {(n, w): of_seeds(runs[_name(n, w)])[0] for n in LAYERS for w in WIDTHS}
    steps = {place: formed(one.setting, one.curve) for place, one in trained.items()}
    deep = [place for place in steps if place[0] > 1]
    pairs = [
        (a, b)
        for a in deep
        for b in deep
        if (b[0] == a[0] + 1 and b[1] == a[1]) or (b[0] == a[0] and WIDTHS.index(b[1]) == WIDTHS.index(a[1]) + 1)
    ]
    near = [(steps[a], steps[b]) for a, b in pairs]
    smooth = [a is not None and b is not None and max(a, b) <= JUMP * min(a, b) for a, b in near]
    gains = {place: -float(one.in_context_scores[-1]) for place, one in trained.items()}
    largest = gains[LAYERS[-1], WIDTHS[-1]]
    return [
        holds_in_all("an induction head forms", [steps[place] is not None for place in deep], "models have one"),
        holds_in_all(f"neighbouring sizes form within a factor of {JUMP:g}", smooth, "pairs do"),
        is_above(
            f"in-context learning above {SAME:g} of the largest model's",
            "nats",
            np.array([gains[place] for place in deep]) - SAME * largest,
        ),
        is_above("best prefix-matching score", "1", [best_scores(trained[p].curve)[-1] for p in deep], 0.5),
        holds_in_all(
            "control: one layer has no induction head",
            [steps[1, width] is None for width in WIDTHS],
            "models have none",
            control=True,
        ),
    ]


CLAIM = Claim(
    id="continuity",
    title="Nothing jumps between small models and larger ones",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 6",
    needs=needs,
    judge=judge,
    untested="More than one seed of each size, and sizes beyond these.",
    sizes=("heads",),
)

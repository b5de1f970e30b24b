"""Models that cannot have induction heads have none by our own test, and models that have them are recognised.

In twenty draws of random tokens no head exceeds chance, but for one draw at most (the test has a family-wise error of
5%): in transformers of one layer, in two layers that were trained on text whose tokens are shuffled, and in a public
model of antibodies. In transformers of two layers that were trained on repeats some head does in all draws.
"""

from __future__ import annotations

from collections.abc import Mapping

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments, text
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import AGREES, DISAGREES, Tolerance, Verdict
from onset.validate.store.public_models import IGLM

__all__ = ["CLAIM"]

DRAWS, WITHOUT = 20, 19
"""Draws for each kind of model, and those at least in which no head exceeds chance."""

NONE = Tolerance(1 - WITHOUT / DRAWS, "the family-wise error of the test, 5%")


def needs(size: str) -> Mapping[str, Need]:
    models = {
        "one layer": (segments(1), SEEDS[size]),
        "two layers": (segments(), SEEDS[size]),
        "shuffled text": (text(shuffled=True, steps=2000), 1),
        IGLM.label: (IGLM, DRAWS),
    }
    return {name: Need(model, seeds, "specificity") for name, (model, seeds) in models.items()}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name in ("one layer", "shuffled text", "two layers"):
        if name in runs:
            numbers = [number for result in runs[name] for number in result["heads"][: DRAWS // len(runs[name])]]
            findings.append(_share(name, numbers, none=name != "two layers"))
    if IGLM.label in runs:
        findings.append(_share(IGLM.label, [result["heads"] for result in runs[IGLM.label]], none=True))
    return findings


def _share(name: str, numbers: list[int], *, none: bool) -> Finding:
    """Share of the draws without, or with, a head that exceeds chance."""
    share = sum((number == 0) == none for number in numbers) / len(numbers)
    least = WITHOUT / DRAWS if none else 1.0
    what = "no head exceeds chance" if none else "some head exceeds chance"
    kind = AGREES if share >= least else DISAGREES
    because = f"{round(share * len(numbers))} of {len(numbers)} draws, level {FORMATION_LEVEL:g}"
    quantity = f"{name}: {what}" + (", control" if none else "")
    verdict = Verdict(kind, NONE, because=because)
    return Finding(
        quantity, "share", Interval(None, reason=f"at least {least:g}"), Interval(share), verdict, control=none
    )


CLAIM = Claim(
    id="specificity",
    title="Where no induction head can be, our test finds none",
    statement=first_paragraph(__doc__),
    source=f"derived here, after the controls of {OLSSON}",
    needs=needs,
    judge=judge,
    untested="Models with induction heads that are weak.",
    sizes=("heads",),
)

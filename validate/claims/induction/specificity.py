"""Models that cannot have induction heads have none by our own test, and models that have them are recognised.

In twenty draws of random tokens no head exceeds chance, but for one draw at most (the test has a family-wise error of
5%): in transformers of one layer, in two layers that were trained on text whose tokens are shuffled, and in a public
model of antibodies. In transformers of two layers that were trained on repeats some head does in all draws.
"""

from __future__ import annotations

from collections.abc import Mapping

from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph
from onset.validate.claims.induction.readings import Trained, of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments, text
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import AGREES, DISAGREES, Tolerance, Verdict
from onset.validate.store.public_models import IGLM

__all__ = ["CLAIM"]

DRAWS, WITHOUT = 20, 19
"""Draws for each kind of model, and those at least in which no head exceeds chance."""

NONE = Tolerance(1 - WITHOUT / DRAWS, "the family-wise error of the test, 5%")


def needs(size: str) -> Mapping[str, Need]:
    ours = {"one layer": Need(segments(1), SEEDS[size]), "two layers": Need(segments(), SEEDS[size])}
    return ours | {"shuffled text": Need(text(shuffled=True, steps=2000)), IGLM.label: Need(IGLM, DRAWS, "specificity")}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name in ("one layer", "shuffled text", "two layers"):
        if name in runs:
            models = of_seeds(runs[name])
            numbers = [_heads(model, draw) for model in models for draw in range(DRAWS // len(models))]
            findings.append(_share(name, numbers, none=name != "two layers"))
    if IGLM.label in runs:
        findings.append(_share(IGLM.label, [result["heads"] for result in runs[IGLM.label]], none=True))
    return findings


def _heads(trained: Trained, draw: int) -> int:
    from onset.validate.inspection.sequences import Pool
    from onset.validate.measures.specificity import exceeding_heads

    pool = Pool.of(trained.setting.task.vocabulary)
    return exceeding_heads(trained.model, pool, 1000 * trained.seed + draw)[0]


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

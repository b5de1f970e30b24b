"""Weights say which heads induce, and idealised patterns keep what the heads do.

Over the heads of later layers the QK trace goes with the prefix-matching score, and over all heads the OV eigenvalues
go with copying. With their scores replaced by exact previous-token attention, layer 1's heads keep about 99% of the
loss that is lost without them; induction heads keep about 65% with attention to the first token and to what followed
earlier copies, and another 10% where two tokens match, as published for a model of natural text.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.theory.arrays import Array
from onset.validate.claims.claim import Claim, Finding, Need, Runs, compare_published, first_paragraph, is_above
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.store.public_models import SMOLLM2

__all__ = ["CLAIM"]

EXACT, MATCHES, ANOTHER = 0.99, 0.65, 0.10
"""Published shares of the loss gap that idealised patterns recover (quoted by Olsson et al.)."""


def needs(size: str) -> Mapping[str, Need]:
    seeds = SEEDS[size]
    return {
        "two layers": Need(segments(), seeds, "idealised"),
        "three layers": Need(segments(3), seeds, "circuits"),
        SMOLLM2.label: Need(SMOLLM2, seeds, "circuits"),
    }


def judge(runs: Runs) -> list[Finding]:
    exact, matches, longer = (
        np.array([result[name] for result in runs["two layers"]]) for name in ("exact", "matches", "longer")
    )
    findings = [
        compare_published("exact previous-token attention recovers", "share", EXACT, exact.tolist()),
        compare_published("first token and matches recover", "share", MATCHES, matches.tolist()),
        compare_published("matches of two tokens add", "share", ANOTHER, (longer - matches).tolist()),
        is_above("matches of two tokens add something", "share", longer - matches),
    ]
    for model in ("three layers", SMOLLM2.label):
        if model in runs:
            values = {key: np.array([result[key] for result in runs[model]]) for key in runs[model][0]}
            findings += _by_weights(model, values)
    return findings


def _by_weights(model: str, values: Mapping[str, Array]) -> list[Finding]:
    asks, copies = values["traces and prefix matching"], values["eigenvalues and copying"]
    findings = [
        is_above(f"{model}: rank correlation of QK trace and prefix matching", "1", asks),
        is_above(f"{model}: rank correlation of OV eigenvalues and copying", "1", copies),
    ]
    if (strong := values.get("strong among the largest traces")) is not None:
        quantity = f"{model}: heads that match strongly among those with the largest QK traces"
        findings.append(is_above(quantity, "share", strong, 0.5))
    return findings


CLAIM = Claim(
    id="mechanism",
    title="Weights and idealised patterns explain the heads",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 5, and the replication that it quotes",
    needs=needs,
    judge=judge,
    untested="Natural text, on which the published shares were measured.",
    sizes=("heads",),
)

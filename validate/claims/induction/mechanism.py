"""Weights say which heads induce, and idealised patterns keep what the heads do.

Over the heads of later layers the QK trace goes with the prefix-matching score, and over all heads the OV eigenvalues
go with copying. With their scores replaced by exact previous-token attention, layer 1's heads keep about 99% of the
loss that is lost without them; induction heads keep about 65% with attention to the first token and to what followed
earlier copies, and another 10% where two tokens match, as published for a model of natural text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, compare_published, first_paragraph, is_positive
from onset.validate.claims.induction.readings import of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.store.public_models import SMOLLM2

__all__ = ["CLAIM"]

EXACT, MATCHES, ANOTHER = 0.99, 0.65, 0.10
"""Published shares of the loss gap that idealised patterns recover (quoted by Olsson et al.)."""


def needs(size: str) -> Mapping[str, Need]:
    ours = {name: Need(segments(layers), SEEDS[size]) for name, layers in (("two layers", 2), ("three layers", 3))}
    return ours | {SMOLLM2.label: Need(SMOLLM2, SEEDS[size], "circuits")}


def judge(runs: Runs) -> list[Finding]:
    from onset.validate.claims.induction.measuring import correlations, recovered_shares

    shares = [recovered_shares(trained) for trained in of_seeds(runs["two layers"])]
    exact, matches, longer = (np.array(values) for values in zip(*shares, strict=True))
    asks, copies = zip(*map(correlations, of_seeds(runs["three layers"])), strict=True)
    findings = [
        compare_published("exact previous-token attention recovers", "share", EXACT, exact.tolist()),
        compare_published("first token and matches recover", "share", MATCHES, matches.tolist()),
        compare_published("matches of two tokens add", "share", ANOTHER, (longer - matches).tolist()),
        is_positive("matches of two tokens add, above zero", "share", longer - matches),
        is_positive("three layers: rank correlation of QK trace and prefix matching", "1", asks),
        is_positive("three layers: rank correlation of OV eigenvalues and copying", "1", copies),
    ]
    return findings + (_public(runs[SMOLLM2.label]) if SMOLLM2.label in runs else [])


def _public(results: Sequence[Mapping[str, float]]) -> list[Finding]:
    values = {key: np.array([result[key] for result in results]) for key in results[0]}
    return [
        is_positive(
            f"{SMOLLM2.label}: rank correlation of QK trace and prefix matching",
            "1",
            values["traces and prefix matching"],
        ),
        is_positive(
            f"{SMOLLM2.label}: rank correlation of OV eigenvalues and copying", "1", values["eigenvalues and copying"]
        ),
        is_positive(
            f"{SMOLLM2.label}: heads that match strongly among those with the largest QK traces, above a half",
            "share",
            values["strong among the largest traces"] - 0.5,
        ),
    ]


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

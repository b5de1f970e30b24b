"""Weights say which heads induce, and idealised patterns keep what the heads do.

Over the heads of later layers the QK trace goes with the prefix-matching score, and over all heads the OV eigenvalues
go with copying. With their scores replaced by exact previous-token attention, layer 1's heads keep about 99% of the
loss that is lost without them; induction heads keep about 65% with attention to the first token and to what followed
earlier copies, and another 10% where two tokens match, as published for a model of natural text.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.stats import spearmanr

from onset.validate.claims.claim import Claim, Finding, Need, Runs, compare_published, first_paragraph, is_positive
from onset.validate.claims.induction.readings import Trained, of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.inspection.circuits import Circuits, ov_eigenvalues, qk_traces
from onset.validate.inspection.idealised import INDUCTION, LONGER, PREVIOUS, recovered
from onset.validate.inspection.losses import in_context_positions
from onset.validate.store.probes import SCORES

__all__ = ["CLAIM"]

EXACT, MATCHES, ANOTHER = 0.99, 0.65, 0.10
"""Published shares of the loss gap that idealised patterns recover (quoted by Olsson et al.)."""


def needs(size: str) -> Mapping[str, Need]:
    return {name: Need(segments(layers), SEEDS[size]) for name, layers in (("two layers", 2), ("three layers", 3))}


def judge(runs: Runs) -> list[Finding]:
    shares = [_recovered(trained) for trained in of_seeds(runs["two layers"])]
    exact, matches, longer = (np.array(values) for values in zip(*shares, strict=True))
    asks, copies = zip(*map(_correlations, of_seeds(runs["three layers"])), strict=True)
    return [
        compare_published("exact previous-token attention recovers", "share", EXACT, exact.tolist()),
        compare_published("first token and matches recover", "share", MATCHES, matches.tolist()),
        compare_published("matches of two tokens add", "share", ANOTHER, (longer - matches).tolist()),
        is_positive("matches of two tokens add, above zero", "share", longer - matches),
        is_positive("three layers: rank correlation of QK trace and prefix matching", "1", asks),
        is_positive("three layers: rank correlation of OV eigenvalues and copying", "1", copies),
    ]


def _recovered(trained: Trained) -> tuple[float, float, float]:
    fitted, batches = trained.tokens(1)[:64], list(trained.tokens().split(64))
    early, _ = in_context_positions(trained.setting.task.context - 1)
    shares = []
    for score, features in (("previous-token", PREVIOUS), ("prefix-matching", INDUCTION), ("prefix-matching", LONGER)):
        share, _ = recovered(trained.model, trained.heads(score), features, fitted, batches, start=early)
        shares.append(float(share.value or np.nan))
    return shares[0], shares[1], shares[2]


def _correlations(trained: Trained) -> tuple[float, float]:
    """Of QK traces with prefix-matching scores over the heads above layer 1, and of OV eigenvalues with copying."""
    scores = trained.run.probes["head_score"][-1]
    by_name = {name: scores[n] for n, name in enumerate(SCORES)}
    circuits = Circuits.of(trained.model)
    traces = qk_traces(circuits, torch.from_numpy(by_name["previous-token"])).numpy()
    values = ov_eigenvalues(circuits).numpy()
    asks = spearmanr(traces[1:].ravel(), by_name["prefix-matching"][1:].ravel()).statistic  # pyright: ignore
    copies = spearmanr(values.ravel(), by_name["copying"].ravel()).statistic  # pyright: ignore
    return float(asks), float(copies)


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

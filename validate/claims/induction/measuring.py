"""What the claims about induction heads measure on trained transformers: ablations, idealised patterns, circuits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from onset.theory.arrays import Array
from onset.validate.claims.induction.readings import Trained
from onset.validate.evaluation.pruning import rank_correlation
from onset.validate.inspection.circuits import Circuits, ov_eigenvalues, previous_keys, qk_traces
from onset.validate.inspection.idealised import INDUCTION, LONGER, PREVIOUS, recovered
from onset.validate.inspection.in_context import in_context_positions, in_context_scores
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import Zero, intervene, preserved_patterns
from onset.validate.inspection.losses import before_and_after, position_losses, token_losses
from onset.validate.store.probes import SCORES

__all__ = ["ablations", "correlations", "recovered_shares"]


def ablations(trained: Trained) -> tuple[float, float, float]:
    """Share lost without the induction heads; what of each token's change is undone; share lost without as many other
    heads of the model, that is all there are."""
    model, batches = trained.model, list(trained.tokens().split(64))
    heads = trained.heads("prefix-matching")
    rest = [Head(layer, n) for layer, number in enumerate(model.heads) for n in range(number)]
    others = [head for head in rest if head not in heads][: len(heads)]
    intact = position_losses(model, batches)
    before = position_losses(trained.untrained, batches)
    ablated = _preserved(trained, heads)
    undone = -before_and_after(before.ravel(), intact.ravel(), ablated.ravel())
    scale = np.sqrt(intact.size)  # per token
    return _lost(intact, ablated), float(undone / scale), _lost(intact, _preserved(trained, others))


def _preserved(trained: Trained, heads: Sequence[Head]) -> Array:
    """Losses with the outputs of heads zero and all patterns as they were."""
    rows = []
    for tokens in trained.tokens().split(64):
        patterns = preserved_patterns(record(trained.model, tokens, "patterns"))
        with intervene(trained.model, *map(Zero, heads), *patterns):
            rows.append(token_losses(trained.model(tokens).detach(), tokens).double().numpy())
    return np.concatenate(rows)


def _lost(intact: Array, ablated: Array) -> float:
    """Share of the in-context-learning score that is lost."""
    return 1 - float(in_context_scores(ablated).mean() / in_context_scores(intact).mean())


def recovered_shares(trained: Trained) -> tuple[float, float, float]:
    """Of the loss gap: by exact previous-token attention, by matches of one token, and of two."""
    fitted, batches = trained.tokens(1)[:64], list(trained.tokens().split(64))
    early, _ = in_context_positions(trained.setting.task.context - 1)
    shares = []
    for score, features in (("previous-token", PREVIOUS), ("prefix-matching", INDUCTION), ("prefix-matching", LONGER)):
        share, _ = recovered(trained.model, trained.heads(score), features, fitted, batches, start=early)
        shares.append(share.value)
    return shares[0], shares[1], shares[2]


def correlations(trained: Trained) -> tuple[float, float]:
    """Of QK traces with prefix-matching scores over the heads above layer 1, and of OV eigenvalues with copying."""
    scores = trained.curve.probes["head_score"][-1]
    by_name = {name: scores[n] for n, name in enumerate(SCORES)}
    circuits = Circuits.of(trained.model)
    traces = qk_traces(circuits, previous_keys(circuits, torch.from_numpy(by_name["previous-token"])))[0].numpy()
    values = ov_eigenvalues(circuits).numpy()
    asks = rank_correlation(traces[1:].ravel(), by_name["prefix-matching"][1:].ravel())
    return asks, rank_correlation(values.ravel(), by_name["copying"].ravel())

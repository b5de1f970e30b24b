"""How far the weights of a trained transformer say which of its heads induce, and which copy."""

from __future__ import annotations

from typing import Any

import torch

from onset.validate.evaluation.pruning import rank_correlation
from onset.validate.inspection.circuits import Circuits, ov_eigenvalues, previous_keys, qk_traces
from onset.validate.measures.runs.trained import Trained
from onset.validate.store.probes import SCORES
from onset.validate.store.runs import Record

__all__ = ["measure"]


def measure(run: Record) -> dict[str, Any]:
    """Rank correlations over heads: of QK traces with prefix matching above layer 1, and of OV eigenvalues with
    copying."""
    trained = Trained.of(run)
    scores = dict(zip(SCORES, trained.curve.probes["head_score"][-1], strict=True))
    circuits = Circuits.of(trained.model)
    traces = qk_traces(circuits, previous_keys(circuits, torch.from_numpy(scores["previous-token"])))[0].numpy()
    values = ov_eigenvalues(circuits).numpy()
    return {
        "traces and prefix matching": rank_correlation(traces[1:].ravel(), scores["prefix-matching"][1:].ravel()),
        "eigenvalues and copying": rank_correlation(values.ravel(), scores["copying"].ravel()),
    }

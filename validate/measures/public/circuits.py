"""Whether weights tell which heads induce and copy: rank correlations over all heads of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onset.theory.recording import Progress
from onset.validate.evaluation.pruning import rank_correlation
from onset.validate.heads.scoring import inspect
from onset.validate.measures.public.ablation import STRONG

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["measure"]

SEQUENCES = 8

NAMES = ("previous-token", "prefix-matching, twice", "copying, outputs", "OV eigenvalues", "QK trace")


def measure(model: LanguageModel, seed: int, progress: Progress) -> dict[str, Any]:
    """Correlations of QK traces with prefix matching and of OV eigenvalues with copying; and of the heads with the
    largest traces, as many as match strongly, the share that does; `chance` is that of random heads."""
    table = inspect(model, NAMES, sequences=SEQUENCES, seed=seed, progress=progress)
    _, matching, copying, eigenvalues, traces = (table["mean"].sel(score=name).values for name in NAMES)
    above = ~np.isnan(traces)
    strong = matching[above] > STRONG
    largest = np.argsort(-traces[above], kind="stable")[: strong.sum()]
    return {
        "traces and prefix matching": rank_correlation(traces[above], matching[above]),
        "eigenvalues and copying": rank_correlation(eigenvalues.ravel(), copying.ravel()),
        "strong among the largest traces": float(strong[largest].mean()),
        "chance": float(strong.mean()),
    }

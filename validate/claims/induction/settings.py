"""Transformers on repeated random segments: the settings of the claims about induction heads."""

from __future__ import annotations

from typing import Any

from onset.theory.architecture import Architecture
from onset.theory.language.text import Text
from onset.theory.repeats.segments import RepeatedSegments
from onset.theory.setting import Setting

__all__ = ["OLSSON", "SEEDS", "TASK", "segments", "text"]

OLSSON = "Olsson et al., arXiv 2209.11895"

TASK = RepeatedSegments(vocabulary=32, context=48, shortest=6, longest=16)
"""Every token stands for itself alone, so that only a repeat tells what comes next."""

SEEDS = {"quick": 1, "heads": 4}
"""Seeds of a setting in a suite of each size."""


def segments(layers: int = 2, width: int = 32, steps: int = 1600, **shape: Any) -> Setting:
    """Attention-only transformers of four heads a layer, without dropout, under AdamW at a rate of 1e-3."""
    architecture = Architecture(layers, width, 4, dropout=0.0, **shape)
    return Setting.of(
        "transformer",
        task=TASK,
        architecture=architecture,
        learning_rate=1e-3,
        batch=64,
        steps=steps,
        record_every=20,
        whole=True,
    )


def text(*, shuffled: bool = False, steps: int = 6000) -> Setting:
    """Two layers on the plays of Shakespeare, in chunks of 64 tokens of 2,048."""
    return Setting.of(
        "transformer",
        task=Text(context=64, shuffled=shuffled),
        architecture=Architecture(2, 64, 4, dropout=0.0),
        learning_rate=2e-3,
        batch=64,
        steps=steps,
        record_every=200,
        whole=True,
    )

"""What the claims about pruning read: the same measure of a public model, and of transformers that we trained.

Ours have two tasks on repeated random segments: the tokens of a segment's second copy but its first, which nothing
announces, and those of later copies.
"""

from __future__ import annotations

from collections.abc import Mapping

from onset.validate.claims.claim import Need
from onset.validate.claims.induction.settings import SEEDS, segments
from onset.validate.store.public_models import SMOLLM2

__all__ = ["BANSAL", "needs"]

BANSAL = "Bansal et al., arXiv 2212.09095"


def needs(size: str) -> Mapping[str, Need]:
    """Our transformers of three layers, and SmolLM2."""
    models = {"three layers": segments(3), SMOLLM2.label: SMOLLM2}
    return {name: Need(model, SEEDS[size], "pruning") for name, model in models.items()}

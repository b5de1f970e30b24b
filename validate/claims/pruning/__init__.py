"""Importance and pruning of heads (Bansal et al., arXiv 2212.09095), each statement as a claim."""

from __future__ import annotations

from onset.validate.claims.claim import Claim
from onset.validate.claims.pruning import capacity, overlap, prunable

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = tuple(module.CLAIM for module in (prunable, overlap, capacity))

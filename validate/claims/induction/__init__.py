"""The six arguments for induction heads (Olsson et al., arXiv 2209.11895), each as a claim."""

from __future__ import annotations

from onset.validate.claims.claim import Claim
from onset.validate.claims.induction import (
    ablation,
    co_occurrence,
    co_perturbation,
    continuity,
    generality,
    mechanism,
    specificity,
)

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = tuple(
    module.CLAIM
    for module in (co_occurrence, co_perturbation, ablation, generality, mechanism, continuity, specificity)
)
"""In the order of the arguments."""

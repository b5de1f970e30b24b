"""Claims about transformers on in-context Markov chains, one module each."""

from __future__ import annotations

from onset.validate.claims.claim import Claim
from onset.validate.claims.markov import (
    alternation,
    delay,
    long_context,
    ngrams,
    one_layer,
    out_of_distribution,
    phases,
    plateaus,
    scaling,
    second_layer_first,
    toy_delay,
)

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = tuple(
    module.CLAIM
    for module in (
        phases,
        second_layer_first,
        alternation,
        delay,
        ngrams,
        one_layer,
        out_of_distribution,
        long_context,
        plateaus,
        toy_delay,
        scaling,
    )
)
"""In the order in which reports list them."""

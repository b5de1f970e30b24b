"""onset.theory.derivations.head_scores: predicted scores against those that are measured of the same model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import built_transformers
import torch

from onset.theory.derivations.head_scores import in_context_score, prefix_matching, previous_token
from onset.validate.inspection.losses import position_losses
from onset.validate.inspection.measuring import measure
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, PREVIOUS_TOKEN, PatternScore
from onset.validate.inspection.sequences import Pool, Recipe

VOCABULARY, TOKENS, COPIES = 24, 7, 3


@pytest.mark.parametrize(("match", "readout"), [(0.5, 6.0), (3.0, 4.0), (6.0, -2.0)])
def test_scores_and_losses_of_a_toy_are_as_derived(match, readout):
    """A toy whose layer 1 attends to lag 1 alone, built as a transformer; the first token attends to itself, which a
    large lag logit leaves."""
    context = TOKENS * COPIES
    lag_logits = torch.zeros(context, dtype=torch.float64)
    lag_logits[1] = 30.0
    identity = torch.eye(VOCABULARY).double()
    model = built_transformers.built(lag_logits, match * identity, readout * identity)
    recipe = Recipe(TOKENS, COPIES)
    score = PatternScore("p", "", "", PREFIX_MATCHING.targets, recipe)
    (measured,) = measure(model, Pool.of(VOCABULARY), [score], sequences=4)
    # Source 1 has no previous token, and attends to itself: it counts as a source that shows the query's own token.
    exact, derived = (
        np.mean([_matched(match, query, own) for query in range(TOKENS, context)]) for own in (np.exp(match), 1.0)
    )
    assert measured.values[:, 1, 0] == pytest.approx(np.full(4, exact), rel=1e-5)
    assert derived == pytest.approx(prefix_matching(match, 1.0, TOKENS, COPIES), rel=1e-12)
    batches = [tokens for tokens, _ in recipe.batches(Pool.of(VOCABULARY), 4, np.random.default_rng(0), tokens=100)]
    losses = position_losses(model, batches)
    first, last = TOKENS - 2, context - 2
    predicted = in_context_score(_matched(match, last, 1.0), readout, TOKENS, VOCABULARY)
    assert losses[:, last] - losses[:, first] == pytest.approx(np.full(4, predicted), abs=1e-4)


def _matched(match: float, query: int, own: float) -> float:
    """p, counted from the query 0; `own` is the weight of source 1 for queries that hold its token."""
    copies, raised = query // TOKENS, np.exp(match)
    return copies * raised / (copies * raised + query - copies + (own if query % TOKENS == 0 else 1.0))


def test_previous_token_score_of_a_lag_logit():
    context, logit = 30, 2.5
    lag_logits = torch.zeros(context, dtype=torch.float64)
    lag_logits[1] = logit
    identity = torch.eye(VOCABULARY + 10).double()
    model = built_transformers.built(lag_logits, identity, identity)
    score = PatternScore("a", "", "", PREVIOUS_TOKEN.targets, Recipe(context), by_content=False)
    (measured,) = measure(model, Pool.of(VOCABULARY + 10), [score], sequences=3)
    assert measured.values[:, 0, 0] == pytest.approx(np.full(3, previous_token(logit, context)), rel=1e-5)

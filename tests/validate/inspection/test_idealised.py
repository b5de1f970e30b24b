"""onset.validate.inspection.idealised: patterns of known form are recovered, and losses compared as stated."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.validate.inspection.idealised import FEATURES, INDUCTION, fit, idealising, recovered
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import ForcePattern, ReplaceScores, Zero, intervene
from onset.validate.inspection.losses import position_losses
from onset.validate.models.attention import previous_token

TOKENS = torch.randint(4, (6, 15), generator=torch.Generator().manual_seed(0))


def test_features_by_the_letter():
    row = TOKENS[0].tolist()
    holds = {
        "first": lambda t, s: s == 0,
        "previous": lambda t, s: s == t - 1,
        "match": lambda t, s: 1 <= s <= t and row[s - 1] == row[t],
        "longer match": lambda t, s: 2 <= s <= t and row[s - 1] == row[t] and row[s - 2] == row[t - 1],
    }
    assert set(holds) == set(FEATURES)
    for name, rule in holds.items():
        values = FEATURES[name](TOKENS[:1])[0]
        for t in range(len(row)):
            for s in range(t + 1):
                assert bool(values[t, s]) == rule(t, s), (name, t, s)


def test_coefficients_of_a_pattern_of_the_form_are_recovered():
    """Patterns made from known coefficients, and a constant for each query, which no pattern shows."""
    known = {"first": 1.5, "match": 2.5, "longer match": -0.7}
    scores = sum(c * FEATURES[name](TOKENS).double() for name, c in known.items()) + torch.randn(6, 15, 1).double()
    later = torch.ones(15, 15, dtype=torch.bool).triu(1)
    pattern = scores.masked_fill(later, -torch.inf).softmax(dim=-1)
    fitted = fit(pattern, TOKENS, tuple(known))
    assert fitted.coefficients == pytest.approx(known, abs=1e-4)
    assert fitted.divergence == pytest.approx(0, abs=1e-9)
    # A learned sink takes a part of every row.
    assert fit(0.6 * pattern, TOKENS, tuple(known)).coefficients == pytest.approx(known, abs=1e-4)
    # Without a feature that matters the pattern is not met.
    assert fit(pattern, TOKENS, INDUCTION).divergence > 1e-3


def test_exact_attention_is_met_at_the_bound():
    """No finite coefficient makes all attention go to the previous token; the largest does in single precision."""
    exact = previous_token(torch.zeros(6, 15, 15))
    fitted = fit(exact, TOKENS, ("previous",))
    assert fitted.coefficients["previous"] > 20
    later = torch.ones(15, 15, dtype=torch.bool).triu(1)
    pattern = fitted.scores(TOKENS).masked_fill(later, -torch.inf).softmax(dim=-1)
    torch.testing.assert_close(pattern, exact, atol=1e-6, rtol=0)


def test_an_unknown_feature_is_named():
    with pytest.raises(ValueError, match=r"feature = 'matches': expected one of first, .*'match'"):
        fit(torch.ones(6, 15, 15).tril(), TOKENS, ("matches",))


def test_idealised_scores_replace_those_of_the_head(model, tokens):
    """In every batch those of its own tokens."""
    head = Head(1, 0)
    idealised = fit(record(model, tokens, "patterns").patterns[1][:, 0], tokens, INDUCTION)
    for batch in (tokens, tokens.flip(1)):
        with idealising(model, {head: idealised}, lambda batch=batch: batch):
            ours = model(batch)
        with intervene(model, ReplaceScores(head, idealised.scores(batch))):
            torch.testing.assert_close(ours, model(batch))


def test_the_share_recovered_is_that_of_the_loss_gap(model, tokens):
    """All of it for a pattern that is forced whatever the scores; an ablation that helps leaves no gap."""
    head, other = Head(1, 0), torch.randint(4, (5, 11), generator=torch.Generator().manual_seed(5))
    exact = previous_token(torch.zeros(11, 11)).double()
    with intervene(model, ForcePattern(head, exact)):
        intact = position_losses(model, [other])[:, 3:].mean(axis=1)
        ablated = position_losses(model, [other], [head])[:, 3:].mean(axis=1)
    gap = float(np.mean(ablated - intact))

    if gap <= 0:
        with pytest.raises(ValueError, match="changes the loss by -"), intervene(model, ForcePattern(head, exact)):
            recovered(model, [head], ("previous",), tokens, [other], start=3)
        return
    with intervene(model, ForcePattern(head, exact)):
        share, idealised = recovered(model, [head], ("previous",), tokens, [other], start=3)
    assert share.value == pytest.approx(1, abs=1e-6)
    assert idealised[head].coefficients["previous"] > 20


def test_the_interval_is_that_of_a_ratio(model, tokens):
    """Means by hand over two batches."""
    head = Head(1, 0)
    batches = [torch.randint(4, (5, 11), generator=torch.Generator().manual_seed(n)) for n in (5, 6)]
    intact, ablated = position_losses(model, batches).mean(axis=1), position_losses(model, batches, [head]).mean(axis=1)
    if (ablated - intact).mean() <= 0:
        return
    share, idealised = recovered(model, [head], INDUCTION, tokens, batches)
    kept = []
    for batch in batches:
        with intervene(model, ReplaceScores(head, idealised[head].scores(batch))):
            kept += position_losses(model, [batch]).mean(axis=1).tolist()
    gap = ablated - intact
    assert share.value == pytest.approx((ablated.mean() - np.mean(kept)) / gap.mean())
    rest = (ablated - kept - share.value * gap) / gap.mean()
    assert share.error.value == pytest.approx(rest.std(ddof=1) / np.sqrt(10))
    with intervene(model, Zero(head)):
        assert position_losses(model, batches).mean() == pytest.approx(ablated.mean())

"""onset.validate.inspection.sequences: what a recipe says is what is drawn, and its control has no repeats."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.simulate.tasks import sampler
from onset.theory.markov.task import MarkovChains
from onset.validate.inspection.sequences import Pool, Recipe, TaskSequences

POOL = Pool(np.arange(10, 1010), first=3, ranked=True)


def _drawn(recipe, count=6, tokens=200, pool=POOL, context=None, seed=0):
    return list(recipe.batches(pool, count, np.random.default_rng(seed), tokens=tokens, context=context))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("copies", [1, 2, 4])
def test_distinct_tokens_are_repeated_and_controls_are_not(copies, first):
    batches = _drawn(Recipe(7, copies, first))
    assert sum(len(tokens) for tokens, _ in batches) == 6
    for tokens, control in batches:
        assert tokens.shape == control.shape == (len(tokens), 7 * copies + first)
        assert tokens.numel() <= 200
        assert tokens.dtype == torch.int64
        for row, other in zip(tokens.tolist(), control.tolist(), strict=True):
            assert row[:first] == other[:first] == [3] * first
            body = row[first:]
            assert len(set(body[:7])) == 7
            assert body == body[:7] * copies
            assert other[first:][:7] == body[:7]
            assert len(set(other[first:])) == 7 * copies
            assert {*body, *other[first:]} <= set(range(10, 1010))


def test_lengths_are_spread_and_fit_the_context():
    """Ends included; a context cuts the longest; sequences of one batch have one length."""
    recipe = Recipe(5, 4, first=True, longest=15)
    assert recipe.lengths(6) == [5, 7, 9, 11, 13, 15]
    assert recipe.lengths(3, context=41) == [5, 8, 10]
    assert [tokens.shape for tokens, _ in _drawn(recipe, tokens=50)] == [(1, 4 * n + 1) for n in range(5, 16, 2)]
    with pytest.raises(ValueError, match="context = 20: expected at least 21 for a first token, then 5 to 15 distinct"):
        _drawn(recipe, context=20)


def test_the_same_seed_gives_the_same_sequences_whatever_the_batches():
    recipe = Recipe(6, 2)
    small, large = (torch.cat([tokens for tokens, _ in _drawn(recipe, tokens=size)]) for size in (12, 72))
    assert torch.equal(small, large)
    assert not torch.equal(small, torch.cat([tokens for tokens, _ in _drawn(recipe, seed=1)]))


def test_most_and_least_common_tokens_are_left_out_where_they_are_known():
    recipe = Recipe(20, 2, trimmed=0.04)
    tokens = torch.cat([tokens for tokens, _ in _drawn(recipe, count=200)])
    assert (int(tokens.min()), int(tokens.max())) == (50, 969)
    unknown = torch.cat([tokens for tokens, _ in _drawn(recipe, count=200, pool=Pool.of(1000))])
    assert int(unknown.min()) < 5
    assert "the 4% most and least common left out" in recipe.description


@pytest.mark.parametrize(
    ("recipe", "pool", "says"),
    [
        (Recipe(25, 4), Pool.of(50), "a vocabulary of 50 tokens: expected at least 100 for 25 distinct random tokens"),
        (Recipe(2, 2, first=True), Pool.of(50), "no first token is known: expected one for a first token, then 2 dist"),
    ],
)
def test_sequences_that_cannot_be_drawn(recipe, pool, says):
    with pytest.raises(ValueError, match=says):
        _drawn(recipe, pool=pool)


def test_sequences_of_a_task_are_their_own_controls():
    """As the task samples them, whatever the pool, without the token that is only predicted."""
    task = MarkovChains.of(states=3, context=11)
    source = TaskSequences(task)
    drawn = list(source.batches(Pool.of(3), 7, np.random.default_rng(4), tokens=30))
    tokens = torch.cat([rows for rows, _ in drawn])
    expected = sampler(task).sample(7, np.random.default_rng(4)).tokens[:, :-1]
    assert torch.equal(tokens, torch.from_numpy(expected.astype(np.int64)))
    assert all(rows is control and rows.numel() <= 30 for rows, control in drawn)
    assert source.description == "sequences of the task k=3 T=11"
    assert not source.controlled
    assert not source.problem(Pool.of(3), 5)


def test_two_sequences_at_least():
    with pytest.raises(ValueError, match="sequences = 1"):
        _drawn(Recipe(5), count=1)

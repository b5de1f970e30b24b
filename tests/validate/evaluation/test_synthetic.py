"""onset.validate.evaluation.synthetic: what sequences hold, and that only the context tells answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.validate.evaluation.synthetic import SYNTHETIC, completion, repeats, synthetic
from onset.validate.inspection.sequences import Pool

POOL = Pool(np.arange(100, 1100))


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_same_seed_gives_the_same_task_from_tokens_of_the_pool(name):
    task, again, other = (synthetic(name, POOL, 8, seed) for seed in (0, 0, 1))
    assert task == again
    assert task.examples != other.examples
    assert task.name == name
    for example in task.examples:
        (option,) = example.options
        assert len(option.tokens) == len(option.answer)
        assert not option.answer[0]
        assert 0 < option.length < len(option.tokens)
        assert set(option.tokens) <= set(POOL.tokens.tolist())


def test_a_repeat_is_answered_by_its_first_copy():
    for example in repeats(POOL, 4, length=10).examples:
        tokens, answer = example.options[0].tokens, example.options[0].answer
        assert tokens[:10] == tokens[10:]
        assert len(set(tokens)) == 10
        assert answer == (False,) * 11 + (True,) * 9
    fresh = SYNTHETIC["fresh"](POOL, 4, 0)
    assert all(len(set(example.options[0].tokens)) == len(example.options[0].tokens) for example in fresh.examples)


def test_a_completion_has_been_shown_before():
    """What stands before an answer, back to the start of its phrase, occurred earlier and was followed by it."""
    for example in completion(POOL, 6, order=3).examples:
        tokens, answer = example.options[0].tokens, example.options[0].answer
        for t in np.flatnonzero(answer):
            before = tokens[t - 2 : t]
            earlier = [s for s in range(2, t) if tokens[s - 2 : s] == before]
            assert earlier
            assert {tokens[s] for s in earlier} == {tokens[t]}
        # Fresh tokens, one before each phrase, occur once.
        counts = {token: tokens.count(token) for token in tokens[::5]}
        assert set(counts.values()) == {1}


def test_chains_use_few_tokens_each():
    for example in synthetic("chains", POOL, 6).examples:
        option = example.options[0]
        assert len(set(option.tokens)) <= 4
        assert option.answer == (False,) * 48 + (True,) * 48


@pytest.mark.parametrize(
    ("name", "pool", "says"),
    [
        ("repeat", POOL, "synthetic task = 'repeat': expected one of .*'repeats'"),
        ("repeats", Pool(np.arange(60)), "a vocabulary of 60 tokens"),
        ("completion", Pool(np.arange(60)), "a vocabulary of 60 tokens: expected at least 112"),
        ("chains", Pool(np.arange(3)), "a vocabulary of 3 tokens: expected at least 4"),
    ],
)
def test_tasks_that_cannot_be_made(name, pool, says):
    with pytest.raises(ValueError, match=says):
        synthetic(name, pool, 4)

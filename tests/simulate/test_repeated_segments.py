"""The task of repeated segments: its sequences, the law of the latest copy's successor, and losses in closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onset.simulate.tasks import sampler
from onset.simulate.tasks.consistency import require_consistent
from onset.simulate.tasks.repeated_segments import latest_successors
from onset.theory.repeats.segments import RepeatedSegments
from onset.theory.setting import Setting


def test_segments_return():
    task = RepeatedSegments(vocabulary=300, context=40, shortest=5, longest=9)
    sample = sampler(task).sample(400, np.random.default_rng(0))
    assert sample.tokens.shape == (400, 41)
    assert set(sample.length.tolist()) == {5, 6, 7, 8, 9}
    for row, length in zip(sample.tokens, sample.length, strict=True):
        assert np.array_equal(row[length:], row[:-length])
    assert sample.tokens.max() > 255


def test_the_latest_successor_by_the_letter():
    tokens = np.random.default_rng(1).integers(5, size=(20, 13))
    successors = latest_successors(tokens, 5)
    for row, computed in zip(tokens.tolist(), successors, strict=True):
        for t in range(12):
            copies = [s for s in range(t) if row[s] == row[t]]
            assert computed[t] == (row[copies[-1] + 1] if copies else -1)
    assert np.array_equal(
        sampler(RepeatedSegments(5, 12, 3, 4)).masks(type("S", (), {"tokens": tokens}))["unseen"], successors < 0
    )


@pytest.mark.parametrize(("vocabulary", "length", "context"), [(2, 3, 7), (3, 4, 7), (2, 5, 6), (4, 4, 5), (3, 3, 3)])
def test_probabilities_of_copies_by_enumeration(vocabulary, length, context):
    """All segments: whether the token has an earlier copy, and whether the latest one's successor comes next."""
    task = RepeatedSegments(vocabulary, context, length, length)
    segments = np.array(list(itertools.product(range(vocabulary), repeat=length)))
    tokens = segments[:, np.arange(context + 1) % length]
    successors = latest_successors(tokens, vocabulary)
    exists, right = task.copies
    np.testing.assert_allclose(exists[0], (successors >= 0).mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(right[0], (successors == tokens[:, 1:]).mean(axis=0), atol=1e-14)


@pytest.mark.parametrize(
    "task", [RepeatedSegments(), RepeatedSegments(6, 30, 3, 20), RepeatedSegments(1000, 50, 20, 30)], ids=str
)
def test_losses_are_those_of_the_laws(task, within):
    """Tokens, laws and expected losses fit together; no other reliability loses less."""
    require_consistent(sampler(task))
    source = sampler(task)
    laws = source.laws(source.sample(4000, np.random.default_rng(2)))
    losses = laws.losses().mean(axis=-1)
    for n, strategy in enumerate(task.strategies):
        error = max(losses[n].std() / np.sqrt(4000), 1e-12)
        within(strategy, losses[n].mean(), task.expected_loss(strategy).value, error)
    exists, right = (share.mean() for share in task.copies)
    others = task.reliability + np.array([-1e-3, 1e-3]) * (1 - task.reliability)
    worse = -right * np.log(others) - (exists - right) * np.log((1 - others) / (task.vocabulary - 1))
    assert (worse + (1 - exists) * np.log(task.vocabulary) > task.expected_loss("induction").value).all()
    assert task.expected_loss("induction").value < task.expected_loss("uniform").value


def test_a_setting_of_the_task():
    task = RepeatedSegments(vocabulary=32, longest=16)
    setting = Setting.of("transformer", task=task)
    assert Setting.from_dict(setting.to_dict()) == setting
    assert "segments V=32 T=64 L=8-16" in setting.label


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"vocabulary": 1}, "vocabulary = 1: expected"),
        ({"shortest": 2}, "shortest = 2: expected"),
        ({"shortest": 30}, "shortest = 30, longest = 24 with context = 64: expected shortest ≤ longest ≤ context"),
        ({"longest": 65}, "longest = 65 with context = 64"),
    ],
)
def test_segments_that_cannot_return(entries, says):
    with pytest.raises(ValueError, match=says):
        RepeatedSegments(**entries)


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match="strategy = 'copy': expected one of induction, uniform"):
        RepeatedSegments().expected_loss("copy")

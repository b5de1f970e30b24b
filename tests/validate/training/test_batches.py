"""onset.validate.training.batches: sequences on the device that trains, and words of dropout."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.simulate.tasks.markov_chains import sample, tokens_from_uniforms
from onset.theory.markov import priors
from onset.theory.markov.chains import history_law
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Unigram
from onset.theory.setting import Setting
from onset.validate.training.batches import STEPS_AHEAD, STEPS_AHEAD_ON_HOST, Batches, MaskBits, tokens_on_device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "prior",
    [Dirichlet(2), Dirichlet(5, 0.3), DoublyStochastic(3), Unigram(4), Dirichlet(3, order=3), Dirichlet(2, order=4)],
    ids=str,
)
@pytest.mark.parametrize("length", [2, 40])
def test_both_samplers_make_the_same_tokens_of_the_same_uniforms(prior, length):
    """The torch loop equals the compiled kernel exactly, for every prior and order."""
    generator = np.random.default_rng(0)
    transition = priors.sample(prior, generator, 300)
    law, uniforms = history_law(transition), generator.random((300, length))
    found = tokens_on_device(*(torch.from_numpy(one) for one in (transition, law, uniforms)))
    assert np.array_equal(found, tokens_from_uniforms(transition, law, uniforms))


def test_sequences_drawn_on_a_device_have_the_law_of_the_compiled_sampler(within):
    """Frequencies of the tokens' pairs and of the first token: both samplers' differ by no more than chance (z over all cells)."""
    setting = Setting.of(prior=Dirichlet(3, 0.5), context=20, batch=256)
    ours = torch.cat(
        [Batches(setting, np.random.default_rng(seed), CPU, on_host=False).draw() for seed in range(8)]
    ).numpy()
    other = sample(setting.task, len(ours), np.random.default_rng(99)).tokens
    found = []
    for tokens in (ours, other):
        squares = (tokens[:, :-1, None] == np.arange(3)) @ np.eye(3)
        repeats = np.mean(tokens[:, 1:] == tokens[:, :-1], axis=1)
        found.append(np.column_stack([tokens[:, 0] == 0, squares.mean(axis=1)[:, :2] ** 2, repeats]))
    means = [one.mean(axis=0) for one in found]
    errors = [one.std(axis=0) / np.sqrt(len(one)) for one in found]
    within("moments", means[0], means[1], np.hypot(*errors))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "after", [0, 1, STEPS_AHEAD_ON_HOST - 1, STEPS_AHEAD_ON_HOST, STEPS_AHEAD - 1, STEPS_AHEAD, STEPS_AHEAD + 6]
)
def test_a_stream_goes_on_where_it_was_written_down(compiled, after):
    """Its state, through JSON, makes another stream draw what this one draws next, in the middle of what is drawn ahead too."""
    setting = Setting.of(states=2, context=6, batch=3)
    one, other = (Batches(setting, np.random.default_rng(seed), CPU, on_host=compiled) for seed in (0, 1))
    for _ in range(after):
        one.draw()
    other.restore(json.loads(json.dumps(one.state)))
    for _ in range(STEPS_AHEAD + 6):
        assert torch.equal(one.draw(), other.draw())


def test_words_are_uniform_and_go_on_where_they_were_written_down(within):
    """16 bits each: mean, spread and neighbours' correlation as of uniform integers; a stream taken up draws the same."""
    one = MaskBits(np.random.SeedSequence(0), CPU)
    (drawn,) = one.draw([(400, 501)])
    assert (drawn.dtype, tuple(drawn.shape)) == (torch.int16, (400, 501))
    values = (drawn.double().numpy().ravel() + 0.5) / 2**16
    within("mean", values.mean(), 0, np.sqrt(1 / 12 / values.size))
    within("variance", values.var(), 1 / 12, np.sqrt(1 / 180 / values.size))
    within("neighbours", np.corrcoef(values[1:], values[:-1])[0, 1], 0, 1 / np.sqrt(values.size))
    other = MaskBits(np.random.SeedSequence(1), CPU)
    other.restore(json.loads(json.dumps(one.state)))
    assert all(torch.equal(a, b) for a, b in zip(one.draw([(3, 3), (5,)]), other.draw([(3, 3), (5,)]), strict=True))

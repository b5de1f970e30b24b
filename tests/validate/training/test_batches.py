"""onset.validate.training.batches: sequences on the device that trains, and dropout mask bits."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.simulate.tasks import sampler
from onset.simulate.tasks.markov_chains import sample, tokens_from_uniforms
from onset.theory.markov import priors
from onset.theory.markov.chains import history_law
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Unigram
from onset.theory.modular.task import ModularArithmetic
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
    tokens = tokens_on_device(*map(torch.from_numpy, (transition, law, uniforms)))
    assert np.array_equal(tokens, tokens_from_uniforms(transition, law, uniforms))


def test_sequences_drawn_on_a_device_have_the_law_of_the_compiled_sampler(within):
    """Frequencies of the first token, squared frequencies and repeats of both samplers differ by chance alone."""
    setting = Setting.of(prior=Dirichlet(3, 0.5), context=20, batch=256)
    ours = torch.cat(
        [Batches(setting, np.random.default_rng(seed), CPU, on_host=False).draw() for seed in range(8)]
    ).numpy()
    other = sample(setting.task, len(ours), np.random.default_rng(99)).tokens
    moments = []
    for tokens in (ours, other):
        squares = (tokens[:, :-1, None] == np.arange(3)) @ np.eye(3)
        repeats = np.mean(tokens[:, 1:] == tokens[:, :-1], axis=1)
        moments.append(np.column_stack([tokens[:, 0] == 0, squares.mean(axis=1)[:, :2] ** 2, repeats]))
    means = [values.mean(axis=0) for values in moments]
    errors = [values.std(axis=0) / np.sqrt(len(values)) for values in moments]
    within("moments", means[0], means[1], np.hypot(*errors))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "after", [0, 1, STEPS_AHEAD_ON_HOST - 1, STEPS_AHEAD_ON_HOST, STEPS_AHEAD - 1, STEPS_AHEAD, STEPS_AHEAD + 6]
)
def test_a_stream_continues_from_its_state(compiled, after):
    """Another stream with its state, through JSON, draws what this one draws next, also amid sequences drawn ahead."""
    setting = Setting.of(states=2, context=6, batch=3)
    stream, other = (Batches(setting, np.random.default_rng(seed), CPU, on_host=compiled) for seed in (0, 1))
    for _ in range(after):
        stream.draw()
    other.restore(json.loads(json.dumps(stream.state)))
    for _ in range(STEPS_AHEAD + 6):
        assert torch.equal(stream.draw(), other.draw())


def test_mask_bits_are_uniform_and_continue_from_their_state(within):
    """Mean, variance and neighbours' correlation of uniform 16-bit integers; a restored stream draws the same."""
    stream = MaskBits(np.random.SeedSequence(0), CPU)
    (drawn,) = stream.draw([(400, 501)])
    assert (drawn.dtype, tuple(drawn.shape)) == (torch.int16, (400, 501))
    values = (drawn.double().numpy().ravel() + 0.5) / 2**16
    within("mean", values.mean(), 0, np.sqrt(1 / 12 / values.size))
    within("variance", values.var(), 1 / 12, np.sqrt(1 / 180 / values.size))
    within("neighbours", np.corrcoef(values[1:], values[:-1])[0, 1], 0, 1 / np.sqrt(values.size))
    other = MaskBits(np.random.SeedSequence(1), CPU)
    other.restore(json.loads(json.dumps(stream.state)))
    assert all(torch.equal(a, b) for a, b in zip(stream.draw([(3, 3), (5,)]), other.draw([(3, 3), (5,)]), strict=True))


@pytest.mark.parametrize("how", [{}, {"distinct": True}, {"noise": 0.2}, {"variables": 1, "rules": 3}], ids=str)
def test_modular_arithmetic_drawn_on_a_device(how, within):
    """Each rule and each input as often as by the compiled sampler, distinct inputs, and as many wrong answers."""
    task = ModularArithmetic(**({"modulus": 5, "rules": 12, "share": 0.6, "examples": 2} | how))
    count, size = 8000, task.variables + 1
    setting = Setting.of("transformer", task=task, batch=count // 64)
    batches = Batches(setting, np.random.default_rng(0), torch.device("cpu"), on_host=False)
    drawn = torch.cat([batches.draw() for _ in range(64)]).numpy().reshape(count, task.examples, size)
    compiled = sampler(task).sample(count, np.random.default_rng(1)).tokens.astype(int)
    compiled = compiled.reshape(count, task.examples, size)
    for name, number in (("inputs and answers", size), ("inputs", size - 1)):
        keys = [rows[..., :number].reshape(-1, number) @ 5 ** np.arange(number) for rows in (drawn, compiled)]
        ours, theirs = (np.bincount(key, minlength=5**number) / len(key) for key in keys)
        errors = np.sqrt((ours + theirs) / len(keys[0])) + 1e-9
        within(name, ours, theirs, errors)
    if task.distinct:
        assert (drawn[:, 0, :-1] != drawn[:, 1, :-1]).any(axis=-1).all()


def test_batches_that_share_inputs_are_whole():
    """Sixteen batches are drawn ahead; each is one with shared inputs."""
    task = ModularArithmetic(modulus=5, rules=4, share=0.8, examples=4, shared=True)
    batches = Batches(Setting.of("transformer", task=task, batch=8), np.random.default_rng(0), torch.device("cpu"))
    for _ in range(20):
        inputs = batches.draw().numpy().reshape(4, 2, 4, 3)[..., :2]
        assert (inputs == inputs[:1]).all()
        assert len(np.unique(inputs[0].reshape(8, 2), axis=0)) == 8

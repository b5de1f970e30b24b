"""Training on an accelerator: the same mathematics as on the host. Skipped where torch finds none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from onset.simulate.tasks.markov_chains import sample
from onset.theory.architecture import Architecture
from onset.theory.markov.chains import history_law
from onset.theory.markov.priors import Dirichlet
from onset.theory.setting import Setting
from onset.validate.models import build
from onset.validate.training import TrainingRun, resolve_device, train, train_together
from onset.validate.training.batches import Batches, MaskBits, tokens_on_device

pytestmark = pytest.mark.skipif(
    resolve_device("auto").type == "cpu", reason="torch finds no accelerator on this machine"
)

SHAPES = {
    "published": Architecture(),
    "bias": Architecture(positions="bias", norm=False),
    "rotary": Architecture(positions="rotary", feed_forward=2),
    "learned": Architecture(positions="learned", tied=True, smeared=True),
}


@pytest.fixture(scope="module")
def device() -> torch.device:
    return resolve_device("auto")


def short(**changes) -> Setting:
    return Setting.of(
        "transformer", states=3, **({"context": 20, "batch": 8, "steps": 40, "record_every": 10} | changes)
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_loss_and_gradient_are_those_of_the_host(device, shape):
    """On the same tokens with the same mask bits, up to rounding in single precision."""
    setting = short(architecture=shape)
    tokens = torch.from_numpy(sample(setting.task, 8, np.random.default_rng(0)).tokens).long()
    stream = MaskBits(np.random.SeedSequence(1), torch.device("cpu"))
    results = []
    mask_bits = stream.draw(build(setting, 0).sites(8, 20))
    for place in (torch.device("cpu"), device):
        model = build(setting, 0).to(place)
        logits = model(tokens[:, :-1].to(place), [site.to(place) for site in mask_bits])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten().to(place))
        loss.backward()
        results.append([loss.detach().cpu(), *(parameter.grad.cpu() for parameter in model.parameters())])
    terms = tokens.numel() * setting.model.architecture.width
    for host, accelerated in zip(*results, strict=True):
        scale = accelerated.abs().max().item()
        assert torch.allclose(host, accelerated, rtol=0, atol=scale * terms * torch.finfo(torch.float32).eps)


def test_sequences_on_the_device_have_the_law_of_the_host(device, within):
    """Given the chains, the frequency of each pair of tokens; and the same uniforms make the same tokens."""
    setting = Setting.of(prior=Dirichlet(3, 0.5), context=20, batch=256)
    generator = np.random.default_rng(0)
    transition = np.repeat(np.random.default_rng(1).dirichlet(np.ones(3), (1, 3)), 4096, axis=0)
    law = history_law(transition)
    uniforms = torch.rand(4096, 21, device=device)
    drawn = tokens_on_device(
        *(torch.from_numpy(values).float().to(device) for values in (transition, law)), uniforms
    ).cpu()
    first = torch.bincount(drawn[:, 0], minlength=3).numpy() / 4096
    within("first token", first, law[0], np.sqrt(law[0] * (1 - law[0]) / 4096))
    follow = np.array(
        [[float((drawn[drawn[:, 0] == i][:, 1] == j).float().mean()) for j in range(3)] for i in range(3)]
    )
    counts = np.bincount(drawn[:, 0].numpy(), minlength=3)[:, None]
    within("second token", follow, transition[0], np.sqrt(transition[0] * (1 - transition[0]) / counts))
    stream = Batches(setting, generator, device)
    batches = [stream.draw() for _ in range(3)]
    assert {tuple(tokens.shape) for tokens in batches} == {(256, 21)}
    assert not torch.equal(batches[0], batches[1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_seeds_together_are_those_alone(device, precision):
    """The first steps of three seeds as one batched model and one by one, up to rounding that grows in training."""
    setting = short(precision=precision, steps=10)
    together = train_together(setting, range(3), device=device)
    unit = torch.finfo(getattr(torch, precision)).eps
    for seed, ours in enumerate(together):
        alone = train(setting, seed, device=device)
        assert np.abs(ours.loss - alone.loss).max() < setting.training.steps * 64 * unit
        assert ours.probes.keys() == alone.probes.keys()


@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_a_toy_has_its_transition_when_it_has_on_the_host(device, family):
    """Other sequences of the same law: the transition to bigram within the spread of five seeds."""
    setting = Setting.of(family, states=3, context=25, optimizer="adam" if family == "softmax" else None)
    here, there = (
        [run.transitions()[0][-1].step for run in train_together(setting, range(5), device=place)]
        for place in (torch.device("cpu"), device)
    )
    error = np.sqrt((np.var(here, ddof=1) + np.var(there, ddof=1)) / 5)
    assert abs(np.mean(here) - np.mean(there)) < 5 * error + setting.training.record_every


def test_a_run_resumes_from_its_checkpoint(device, tmp_path):
    """Amid sequences drawn ahead: the same losses up to rounding."""
    from onset.validate.training.checkpoints import save_checkpoint

    setting = short(steps=20)
    uninterrupted = train_together(setting, [0, 1], device=device)
    run = TrainingRun(setting, [0, 1], device)
    run.record()
    for _ in range(10):
        run.advance()
    run.record()
    checkpoint = tmp_path / "kept.safetensors"
    save_checkpoint(checkpoint, setting, [0, 1], *run.state())
    resumed = train_together(setting, [0, 1], device=device, checkpoint=checkpoint)
    for run, expected in zip(resumed, uninterrupted, strict=True):
        assert np.abs(run.loss - expected.loss).max() < setting.training.steps * 64 * torch.finfo(torch.float32).eps

"""onset.validate.training.optimizer: the steps of torch's own optimisers, to the last bit."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.models import build
from onset.validate.training.optimizer import Optimizer

SHAPE = Architecture(width=8, dropout=0.0)
TORCH = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def setting(family: str, name: str) -> Setting:
    if family == "transformer":
        decay = {"weight_decay": 0.1} if name == "adamw" else {}
        return Setting.of(family, states=3, context=6, optimizer=name, learning_rate=0.01, architecture=SHAPE, **decay)
    rates = {"lag_logits": 0.03, "match": 0.01, "readout": 0.02}
    return Setting.of(family, states=3, context=6, optimizer=name, learning_rate=rates, betas=(0.8, 0.99), epsilon=1e-4)


@pytest.mark.parametrize(("family", "name"), [("softmax", "sgd"), ("softmax", "adam"), ("transformer", "adamw")])
def test_steps_are_those_of_torch(family, name):
    """Rates by group, both betas, epsilon, and weight decay on matrices alone; gradients change from step to step."""
    chosen, (ours, theirs) = setting(family, name), (build(setting(family, name)) for _ in range(2))
    optimizer, choice = Optimizer(ours, dict(ours.named_parameters()), chosen), chosen.training.optimizer
    more = {} if name == "sgd" else {"betas": choice.betas, "eps": choice.epsilon}
    decayed = theirs.decayed() if choice.weight_decay else set()
    groups = [
        {
            "params": [parameter],
            "lr": choice.learning_rate[theirs.group(key)],
            "weight_decay": choice.weight_decay if key in decayed else 0.0,
        }
        for key, parameter in theirs.named_parameters()
    ]
    reference = TORCH[name](groups, fused=True, **more)
    for step in range(6):
        generator = torch.Generator().manual_seed(step)
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator, dtype=mine.dtype)
            other.grad = mine.grad.clone()
        optimizer.step()
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert (name == "adamw") == bool(decayed)


def test_frozen_parts_have_no_gradients_and_no_moments():
    frozen = setting("softmax", "adam").replace(frozen=("match",))
    model = build(frozen)
    optimizer = Optimizer(model, dict(model.named_parameters()), frozen)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == {
        "lag_logits",
        "readout",
    }
    assert len(optimizer.parameters) == len(optimizer.state) == 2
    assert optimizer.parameters[0].grad is None

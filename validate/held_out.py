"""What is measured of a model along training, on held-out sequences of its own seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onset.simulate.sequences import next_rows, sample
from onset.simulate.strategies import predict
from onset.theory.chains import Array, entropy
from onset.theory.dynamics import Measurement
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import inspectable, record
from onset.validate.inspection.order_parameters import effective_order_parameters
from onset.validate.inspection.scores import head_scores, targets_on
from onset.validate.models import as_model
from onset.validate.probes import SCORES

__all__ = ["HELD_OUT", "HeldOut", "unseen"]

HELD_OUT = 512
"""Sequences on which a run is measured; each seed draws its own, so that intervals over seeds contain their sampling error."""

PART = 64
"""Of them at a time through the model, about as many as train: larger tensors would only grow the process."""


def unseen(tokens: Array, states: int, order: int) -> Array:
    """Where the history of the last n - 1 tokens stands for the first time: bool of the shape (n, T) of `tokens`; False where it is not yet whole."""
    width, length = order - 1, tokens.shape[1]
    digits = [tokens[:, i : length - width + 1 + i] * states ** (width - 1 - i) for i in range(width)]
    histories = np.sum(digits, axis=0)
    found = np.zeros(tokens.shape, dtype=bool)
    for history in range(states**width):
        here = histories == history
        came = np.flatnonzero(here.any(axis=1))
        found[came, here[came].argmax(axis=1) + width - 1] = True
    return found


class Sequences:
    """Held-out sequences of a prior, with the strategies' predictions on them."""

    def __init__(self, setting: Setting, generator: np.random.Generator, device: torch.device) -> None:
        drawn = sample(setting, HELD_OUT, generator)
        self.tokens = torch.from_numpy(drawn.tokens[:, :-1]).to(device, torch.int64)
        alpha = setting.prior.pseudo_count
        laws = {name: predict(drawn.tokens, setting.states, name, alpha) for name in setting.strategies}
        laws["true"] = next_rows(drawn)
        self.laws = torch.stack([torch.from_numpy(law).to(device, torch.float32) for law in laws.values()])
        self.entropy = {name: float(entropy(law).mean()) for name, law in laws.items()}
        self.last_entropy = np.array([float(entropy(law[:, -1]).mean()) for law in laws.values()])
        self.losses = {
            name: -np.einsum("ntj,ntj->n", laws["true"], np.log(laws[name])) / setting.context
            for name in setting.strategies
        }

    def log_model(self, model: nn.Module) -> Tensor:
        """Logarithm of the model's law at every position, shape (n, T, k)."""
        return torch.cat([F.log_softmax(model(part).float(), dim=-1) for part in self.tokens.split(PART)])

    def last(self, log_model: Tensor) -> Array:
        """KL(law ‖ model) on the last token, for each strategy and the true law."""
        crossed = -torch.einsum("snj,nj->sn", self.laws[:, :, -1], log_model[:, -1]).mean(dim=1)
        return crossed.double().cpu().numpy() - self.last_entropy


class HeldOut:
    """The same held-out sequences for every measurement of a run."""

    def __init__(
        self, setting: Setting, model: nn.Module, generator: np.random.Generator, device: torch.device
    ) -> None:
        self._setting = setting
        self._own = Sequences(setting, generator, device)
        self._tested = [Sequences(setting.replace(prior=prior), generator, device) for prior in setting.tested_on]
        new = unseen(self._own.tokens.cpu().numpy(), setting.states, setting.order)
        self._targets = targets_on(self._own.tokens[:PART]) if inspectable(model) else None
        self._unseen = torch.from_numpy(new).to(device)
        self._start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def measure(self, model: nn.Module) -> Measurement:
        """Loss (next token averaged out), distances to the strategies, layer-1 attention, loss above each strategy's, probes."""
        own = self._own
        log_model = own.log_model(model)
        by_position = -torch.einsum("sntj,ntj->snt", own.laws, log_model)
        crossed = by_position.mean(dim=-1).double().cpu().numpy()
        losses = crossed[-1]
        distances = {
            name: float(cross.mean()) - own.entropy[name]
            for cross, name in zip(crossed[:-1], self._setting.strategies, strict=True)
        }
        attention = _numbers(as_model(model).lag_attention(own.tokens))
        above = {name: losses - other for name, other in own.losses.items()}
        excess = {name: (float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))) for name, d in above.items()}
        probes = {"last": own.last(log_model)}
        inspected = inspectable(model)
        if inspected is not None and self._targets is not None:
            probes["loss_at"] = _numbers(by_position[-1].mean(dim=0))
            probes["unseen"] = _numbers(by_position[-1][self._unseen].mean())
            activations = record(inspected, own.tokens[:PART], "streams", "scores", "patterns")
            order_parameters = effective_order_parameters(inspected, activations)
            probes |= {name: _numbers(value) for name, value in order_parameters.items()}
            scores = head_scores(inspected, activations, self._targets)
            probes["head_score"] = _numbers(torch.stack([scores[name] for name in SCORES]))
            probes["movement"] = self._movement(model)
        if self._tested:
            probes["tested_on"] = np.array([one.last(one.log_model(model))[-1] for one in self._tested])
        return Measurement(float(losses.mean()), distances, attention, excess, probes)

    def _movement(self, model: nn.Module) -> Array:
        moved: dict[str, list[Tensor]] = {part: [] for part in self._setting.parts}
        for name, parameter in model.named_parameters():
            moved[as_model(model).part(name)].append((parameter - self._start[name]).flatten())
        return np.array([float(torch.cat(changes).square().mean().sqrt()) for changes in moved.values()])


def _numbers(found: Tensor) -> Array:
    """What is recorded of a tensor: a copy, which does not keep the tensor."""
    return found.double().cpu().numpy().copy()

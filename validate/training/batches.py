r"""Random input of training: fresh sequences and the mask bits of dropout, on the device that trains.

A seed has three independent streams: training sequences, held-out sequences, mask bits. Sequences are drawn for many
steps at once: on a CPU by the task's sampler; on another device by torch, if the task has a sampler for devices, from
random numbers of host and device. These sequences differ from the CPU's but have the same law. The state of a stream
can be stored and restored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onset.simulate.compiling import njit
from onset.simulate.tasks import sampler
from onset.theory import arguments
from onset.theory.markov import priors
from onset.theory.markov.chains import history_law
from onset.theory.markov.task import MarkovChains
from onset.theory.modular.task import ModularArithmetic
from onset.theory.setting import Setting
from onset.theory.tasks import Task

__all__ = ["DEVICE_SAMPLERS", "Batches", "MaskBits", "streams", "tokens_on_device"]

STEPS_AHEAD = 64
"""Steps whose sequences torch draws at once: starting a kernel costs more than its work."""

STEPS_AHEAD_ON_HOST = 16
"""Steps whose sequences a task's sampler draws at once: starting costs little, and fewer chains fit the cache."""


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator, np.random.SeedSequence]:
    """Generators of the training and of the held-out sequences, and the seed of the mask bits."""
    fresh, held_out, mask_bits = np.random.SeedSequence(arguments.seed("seed", seed)).spawn(3)
    return np.random.default_rng(fresh), np.random.default_rng(held_out), mask_bits


class Batches:
    """Fresh sequences of a setting's task, step after step.

    Parameters
    ----------
    setting : Setting
    generator : numpy.random.Generator
        The host's generator; it also seeds the device's.
    device : torch.device
    on_host : bool, optional
        True to draw with the task's sampler; the default on a CPU, and where the task has no sampler for devices.
    """

    def __init__(
        self, setting: Setting, generator: np.random.Generator, device: torch.device, *, on_host: bool | None = None
    ) -> None:
        self._task, self._batch, self._device = setting.task, setting.training.batch, device
        self._sampler = sampler(setting.task)
        default = device.type == "cpu" or type(setting.task) not in DEVICE_SAMPLERS or not self._sampler.independent
        self._on_host = default if on_host is None else on_host
        self._host_generator = generator
        self._device_generator = torch.Generator(device)
        self._device_generator.manual_seed(int(generator.bit_generator.seed_seq.generate_state(1)[0]))  # type: ignore[attr-defined]
        self._before: dict[str, Any] = {}
        self._ahead, self._left = torch.empty(0), 0

    def draw(self) -> Tensor:
        """Tokens of one step, shape (B, T + 1)."""
        if not self._left:
            self._fill()
        self._left -= 1
        return self._ahead[self._left].long()

    def _fill(self) -> None:
        self._before = self._generators()
        self._left = STEPS_AHEAD_ON_HOST if self._on_host else STEPS_AHEAD
        if self._on_host:
            drawn = self._sampler.batches(self._left, self._batch, self._host_generator)
            tokens = torch.from_numpy(drawn).to(self._device)
        else:
            count, generators = self._left * self._batch, (self._host_generator, self._device_generator)
            tokens = DEVICE_SAMPLERS[type(self._task)](self._task, count, *generators)
        self._ahead = tokens.unflatten(0, (self._left, -1))

    def _generators(self) -> dict[str, Any]:
        device_state = [] if self._on_host else self._device_generator.get_state().tolist()
        return {"host": self._host_generator.bit_generator.state, "device": device_state}

    @property
    def state(self) -> dict[str, Any]:
        """Position of the stream, as plain data that JSON can hold."""
        return (self._before if self._left else self._generators()) | {"ahead": self._left}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._host_generator.bit_generator.state = state["host"]
        if state["device"]:
            self._device_generator.set_state(torch.tensor(state["device"], dtype=torch.uint8))
        if state["ahead"]:
            self._fill()
        self._left = state["ahead"]


class MaskBits:
    """Mask bits of dropout, 16 random bits each (`onset.validate.models.dropout`).

    On a CPU they are a function of the seed and of the number drawn before (SplitMix64: Steele, Lea, Flood, OOPSLA
    2014), which can be vectorised.
    """

    def __init__(self, seed: np.random.SeedSequence, device: torch.device) -> None:
        self._device = device
        self._key, self._drawn = seed.generate_state(1, np.uint64)[0], 0
        self._device_generator = torch.Generator(device)
        self._device_generator.manual_seed(int(seed.generate_state(1)[0]))
        self._buffer = np.empty(0, np.uint64)

    def draw(self, shapes: list[tuple[int, ...]]) -> list[Tensor]:
        """One tensor of int16 for each shape; on a CPU, the next draw overwrites them."""
        if self._device.type != "cpu":
            options = {"dtype": torch.int16, "device": self._device, "generator": self._device_generator}
            return [torch.randint(-(2**15), 2**15, shape, **options) for shape in shapes]
        counts = [math.prod(shape) for shape in shapes]
        total = -(-sum(counts) // 4)
        if len(self._buffer) != total:
            self._buffer = np.empty(total, np.uint64)
        _mix(self._key, np.uint64(self._drawn), self._buffer)
        self._drawn += total
        bits = torch.from_numpy(self._buffer.view(np.int16)[: sum(counts)])
        return [part.view(shape) for part, shape in zip(bits.split(counts), shapes, strict=True)]

    @property
    def state(self) -> dict[str, Any]:
        """Position of the stream, as plain data that JSON can hold."""
        if self._device.type != "cpu":
            return {"device": self._device_generator.get_state().tolist()}
        return {"key": int(self._key), "drawn": self._drawn}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        if "device" in state:
            self._device_generator.set_state(torch.tensor(state["device"], dtype=torch.uint8))
        else:
            self._key, self._drawn = np.uint64(state["key"]), state["drawn"]


@njit(cache=True, nogil=True)
def _mix(key, first, out):
    """Entries first, first + 1, … of the sequence that starts at `key`."""
    for n in range(len(out)):
        z = key + (first + np.uint64(n) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[n] = z ^ (z >> np.uint64(31))


def _markov_chains(task: MarkovChains, count: int, host: np.random.Generator, on_device: torch.Generator) -> Tensor:
    """Sequences from chains that the host draws."""
    transition = priors.sample(task.prior, host, count)
    device = on_device.device
    chains, law = (
        torch.from_numpy(values).to(device, torch.float32) for values in (transition, history_law(transition))
    )
    uniforms = torch.rand(count, task.context + 1, generator=on_device, device=device)
    return tokens_on_device(chains, law, uniforms)


def _modular_arithmetic(task: ModularArithmetic, count: int, _: np.random.Generator, drawn: torch.Generator) -> Tensor:
    """Independent sequences, drawn on the device."""
    device, p = drawn.device, task.modulus
    rules, inputs = (torch.from_numpy(vectors).to(device) for vectors in (task.drawn_rules, task.drawn_inputs))
    of_sequence = rules[torch.randint(len(rules), (count,), generator=drawn, device=device)]
    if task.distinct:
        places = torch.rand(count, len(inputs), generator=drawn, device=device).argsort(dim=1)[:, : task.examples]
    else:
        places = torch.randint(len(inputs), (count, task.examples), generator=drawn, device=device)
    vectors = inputs[places]
    answers = (vectors * of_sequence[:, None]).sum(dim=-1) % p
    wrong = torch.rand(answers.shape, generator=drawn, device=device) < task.noise
    other = (answers + torch.randint(1, p, answers.shape, generator=drawn, device=device)) % p
    answers = torch.where(wrong, other, answers)
    return torch.cat([vectors, answers[..., None]], dim=-1).flatten(1)


DEVICE_SAMPLERS: dict[type[Task], Callable[[Any, int, np.random.Generator, torch.Generator], Tensor]] = {
    MarkovChains: _markov_chains,
    ModularArithmetic: _modular_arithmetic,
}
"""Samplers for devices: tokens (n, T + 1), given the task, n, and the generators of host and device."""


def tokens_on_device(transition: Tensor, law: Tensor, uniforms: Tensor) -> Tensor:
    """`onset.simulate.tasks.markov_chains.tokens_from_uniforms` in torch, one time step after another.

    Parameters
    ----------
    transition : tensor, shape (n, k^{order-1}, k)
    law : tensor, shape (n, k^{order-1})
        Law of the first history.
    uniforms : tensor, shape (n, length)
        Random numbers in [0, 1).
    """
    count, rows, states = transition.shape
    sequence = torch.arange(count, device=transition.device)
    edges = transition.cumsum(dim=-1)[..., :-1]
    history = (uniforms[:, :1] >= law.cumsum(dim=-1)[:, :-1]).sum(dim=-1)
    tokens = [history // states**place % states for place in reversed(range(round(np.log(rows) / np.log(states))))]
    for t in range(len(tokens), uniforms.shape[1]):
        symbol = (uniforms[:, t, None] >= edges[sequence, history]).sum(dim=-1)
        history = history * states % rows + symbol
        tokens.append(symbol)
    return torch.stack(tokens[: uniforms.shape[1]], dim=1)
